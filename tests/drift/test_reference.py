"""The pages list exactly the commands, exit codes, settings, error classes and codes that exist."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest

from batchgate.account_settings import AccountSettings, PriceSettings
from batchgate.cli import failures, main
from batchgate.engine.model.errors import STATUSES, ErrorKind
from batchgate.providers.registry.providers import PROVIDER_NAMES, PROVIDERS
from batchgate.providers.simulator.batches.faults import BatchFaults
from batchgate.settings import ApiKeySettings, Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "handwritten" / "docs"
COMPONENTS = json.loads((ROOT / "generated" / "batchgate_api" / "openapi.json").read_text())["components"]
TABLES = {
    "## Gateway and worker": Settings,
    "## Accounts": AccountSettings,
    "### Prices": PriceSettings,
    "## API keys": ApiKeySettings,
}
"""The sections of the page on settings, each with the struct whose fields it lists."""


def first_column(page: str, heading: str) -> list[str]:
    """Return the names in the first column of the table below a heading, without arguments in capitals."""
    text = (DOCS / page).read_text()
    assert f"\n{heading}\n" in text, f"{page} has no section {heading}"
    section = re.split(r"\n#+ ", text.split(f"\n{heading}\n", 1)[1])[0]
    return re.findall(r"^\| `?([a-z_0-9]+(?:[ -][a-z-]+)*)(?: [A-Z]+)*`? \|", section, re.MULTILINE)


def commands(group: click.Group, *parents: str) -> Iterator[str]:
    """Yield the commands of a group and of the groups in it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group):
            yield from commands(command, *parents, name)
        else:
            yield " ".join((*parents, name))


def options(group: click.Group, path: str) -> set[str]:
    """Return the long options of a command."""
    command: click.Command = group
    for name in path.split():
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None, path
        command = found
    return {option for parameter in command.params for option in parameter.opts if option.startswith("--")}


def test_the_page_lists_exactly_the_commands_that_exist() -> None:
    named = first_column("command-line.md", "## Commands")
    assert sorted(set(named) - {"command"}) == sorted(commands(main))


@pytest.mark.parametrize("command", list(commands(main)))
def test_the_page_names_only_options_that_a_command_has(command: str) -> None:
    (row,) = re.findall(rf"^\| `{command}(?: [A-Z]+)*` \|(.*?)\|", (DOCS / "command-line.md").read_text(), re.MULTILINE)
    unknown = set(re.findall(r"`(--[a-z-]+)`", row)) - options(main, command)
    assert not unknown, f"{command} has no {', '.join(unknown)}"


def test_the_page_lists_exactly_the_faults_that_simulated_batch_apis_play() -> None:
    named = first_column("command-line.md", "### Faults of batch APIs")
    assert [name for name in named if name != "fault"] == [*BatchFaults.__struct_fields__]


def test_the_page_lists_exactly_the_exit_codes_that_exist() -> None:
    known = {value for name, value in vars(failures).items() if name.endswith("_STATUS")}
    named = {int(code) for code in first_column("command-line.md", "## Exit codes") if code.isdigit()}
    assert named == known | {0, 1}


@pytest.mark.parametrize("heading", TABLES)
def test_the_page_lists_exactly_the_settings_that_exist(heading: str) -> None:
    named = [name for name in first_column("settings.md", heading) if name != "setting"]
    fields = list(TABLES[heading].__struct_fields__)
    assert sorted(named) == sorted(fields), f"correct the section {heading} of handwritten/docs/settings.md"


def test_the_page_names_the_error_classes_with_their_status() -> None:
    section = (DOCS / "http" / "errors.md").read_text().split("\n## Classes\n", 1)[1].split("\n## ", 1)[0]
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| ([0-9, ]+) \|", section, re.MULTILINE))
    assert sorted(rows) == sorted(get_args(ErrorKind))
    wrong = [kind for kind, status in STATUSES.items() if str(status) not in rows[kind].split(", ")]
    assert not wrong, f"the status of {', '.join(wrong)} differs"


def test_the_page_on_settings_names_the_providers_that_an_account_can_have() -> None:
    (row,) = re.findall(r"^\| `provider` \| required \|(.*)$", (DOCS / "settings.md").read_text(), re.MULTILINE)
    assert sorted(re.findall(r"`([a-z]+)`", row)) == sorted({*PROVIDERS, "simulator"})


def test_the_page_on_http_names_the_providers_that_calls_can_name() -> None:
    section = (
        (DOCS / "http" / "index.md").read_text().split("\n## Names of providers\n", 1)[1].split("\n\nA file", 1)[0]
    )
    named = re.findall(r"`([a-z]+)`", section)
    assert sorted(set(named) - {"provider"}) == sorted(PROVIDER_NAMES)


def test_the_page_on_operation_names_the_codes_of_health_problems() -> None:
    section = (DOCS / "operating.md").read_text().split("\n| code | meaning |\n", 1)[1].split("\n\n", 1)[0]
    named = {code for row in section.splitlines() for code in re.findall(r"`([a-z_]+)`", row.split(" | ")[0])}
    assert named == set(COMPONENTS["schemas"]["HealthProblemCode"]["enum"])


def test_the_page_on_concepts_names_the_codes_of_pauses() -> None:
    section = (DOCS / "concepts.md").read_text().split("\n## Paused accounts\n", 1)[1].split("\n\nRequests", 1)[0]
    named = set(re.findall(r"\| `([a-z_]+)` \|$", section, re.MULTILINE))
    assert named == set(COMPONENTS["schemas"]["PauseCode"]["enum"])


def test_the_page_on_tenants_names_the_quotas_and_the_scopes() -> None:
    quotas = [name for name in first_column("tenants.md", "## Quotas") if name != "quota"]
    assert sorted(quotas) == sorted(COMPONENTS["schemas"]["Quotas"]["properties"])
    scopes = [name for name in first_column("tenants.md", "## Scopes") if name != "scope"]
    assert sorted(scopes) == sorted(COMPONENTS["schemas"]["KeyScope"]["enum"])

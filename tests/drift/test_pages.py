"""No page points to what is not there: relative links, headings, modules and messages."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from batchgate.cli import main

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "handwritten" / "docs"
PAGES = sorted(path for path in ROOT.rglob("*.md") if not any(part[0] == "." for part in path.relative_to(ROOT).parts))
PACKAGE = ROOT / "handwritten" / "batchgate"
TOP = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
LEAST = 12
"""Characters that a piece of a message needs to be looked for."""


def prose(page: Path) -> str:
    """Read a page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def links(page: Path) -> Iterator[str]:
    """Find the relative links of a page."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """Name the headings of a page as GitHub does in links."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, link: str) -> bool:
    """Tell if a link leads nowhere."""
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        return True
    return bool(anchor) and target.suffix == ".md" and anchor not in anchors(target)


def literals() -> Iterator[str]:
    """Read every text in the source of the service."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def code(page: Path) -> Iterator[str]:
    """Read the lines of shell blocks and the code in the text of a page, one command each."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", page.read_text(), re.DOTALL | re.MULTILINE)
    for text in (*blocks, *re.findall(r"`([^`\n]+)`", prose(page))):
        yield from re.split(r"[\n|;&#()]", text)


def wrong_options(words: list[str]) -> str | None:
    """Tell what is wrong with a call of the command line, if anything is."""
    command: click.Command = main
    for word in words:
        if not isinstance(command, click.Group) or word.startswith("-"):
            break
        found = command.get_command(click.Context(command), word)
        if found is None:
            return f"there is no command {word}"
        command = found
    known = {option for parameter in command.params for option in parameter.opts} | {"--version", "--help", "-h"}
    unknown = {word.partition("=")[0] for word in words if word.startswith("--")} - known
    return f"{' '.join(words)}: no {', '.join(unknown)}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_on_a_page_is_one_of_the_command_line(page: Path) -> None:
    found = (re.search(r"(?:^|[\s/])(?<!-n )batchgate ((?:-|[a-z]).*)", line) for line in code(page))
    calls = [match[1] for match in found if match]
    wrong = [fault for call in calls if (fault := wrong_options(call.split())) is not None]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    dead = [link for link in links(page) if broken(page, link)]
    assert not dead, f"{page.relative_to(ROOT)} links to {', '.join(dead)}"


def test_a_link_to_a_page_or_a_heading_that_is_gone_is_seen(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A page\n\n## Its `second` part\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#its-second-part) [c](gone.md) [d](there.md#gone) [e](https://x.example)\n"
    )
    assert [link for link in links(page) if broken(page, link)] == ["gone.md", "there.md#gone"]


def test_a_command_or_an_option_that_is_gone_is_seen() -> None:
    assert wrong_options(["serve", "--port", "8080"]) is None
    assert wrong_options(["keys", "create", "ci", "--days", "3"]) is None
    assert wrong_options(["keys", "make", "ci"]) == "there is no command make"
    assert wrong_options(["serve", "--prot=1"]) == "serve --prot=1: no --prot"


def test_every_page_can_be_reached_from_the_index() -> None:
    waiting, reached = [DOCS / "index.md"], set[Path]()
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            targets = ((page.parent / link.partition("#")[0]).resolve() for link in links(page))
            waiting += [target for target in targets if target.suffix == ".md" and target.is_file()]
    lost = [str(page.relative_to(DOCS)) for page in PAGES if DOCS in page.parents and page not in reached]
    assert not lost, f"no page leads to {', '.join(lost)}"


def pages_of(entry: Any) -> Iterator[str]:
    """Yield the pages of an entry of the navigation, which may have entries of its own."""
    if isinstance(entry, str):
        yield entry
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from pages_of(inner)


def test_the_navigation_of_the_site_has_every_page_once() -> None:
    site = tomllib.loads((DOCS / "zensical.toml").read_text())["project"]
    wanted = [page for page in PAGES if DOCS in page.parents or page.parent == ROOT]
    wanted.append(ROOT / "handwritten" / "deploy" / "README.md")
    assert sorted(pages_of(site["nav"])) == sorted(str(page.relative_to(ROOT)) for page in wanted)


@pytest.mark.parametrize(
    "page", [ROOT / "ARCHITECTURE.md", *sorted((DOCS / "decisions").glob("*.md")), DOCS / "contributing.md"], ids=str
)
def test_every_module_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(r"`((?:\w[\w.-]*/)+(?:[\w.-]+\.(?:py|sql))?)`", prose(page))
    places = {**dict.fromkeys(TOP, PACKAGE), **dict.fromkeys(("tests", "spec", "generated", "handwritten"), ROOT)}
    gone = [name for name in named if (place := places.get(name.split("/")[0])) and not (place / name).exists()]
    assert not gone, f"{page.name} names {', '.join(gone)}"


def test_every_name_in_the_architecture_is_in_the_code() -> None:
    sources = [path for folder in ("handwritten", "spec", "tests") for path in (ROOT / folder).rglob("*.*")]
    texts = (path.read_text() for path in sources if path.suffix in {".py", ".sql", ".yaml"})
    words = {word for text in texts for word in re.findall(r"\w+", text)}
    named = re.findall(r"`([A-Z]\w+|[a-z]+(?:_[a-z]+)+)`", prose(ROOT / "ARCHITECTURE.md"))
    gone = sorted(set(named) - words)
    assert not gone, f"ARCHITECTURE.md names {', '.join(gone)}"


def test_every_message_on_the_page_of_troubleshooting_is_in_the_code() -> None:
    text = "\0".join(literals())
    messages = re.findall(r"^### `(.*)`$", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    assert messages
    # What differs from case to case is `...`; what stands before a colon is a place or another message.
    pieces = [piece.strip() for message in messages for piece in re.split(r"\.\.\.|: ", message)]
    pieces = [piece for piece in pieces if len(piece) >= LEAST]
    gone = [piece for piece in pieces if piece not in text]
    assert not gone, f"no message says {gone}; mend handwritten/docs/troubleshooting.md"

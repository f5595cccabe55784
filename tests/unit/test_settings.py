"""Settings come from a file, the environment and the command line; a wrong one is named with what it expects."""

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from batchgate.account_settings import AccountSettings
from batchgate.engine.model.errors import ConfigurationError
from batchgate.settings import ApiKeySettings, Settings, is_loopback, load_settings, unknown_variables

SIMULATED = '[accounts.s]\nprovider = "simulator"\n'


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, in which there is no batchgate.toml."""
    monkeypatch.chdir(tmp_path)


def load(toml: str = "", environment: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    Path("settings.toml").write_text(toml, encoding="utf-8")
    return load_settings(Path("settings.toml"), environment or {}, **overrides)


def refused(toml: str = "", environment: Mapping[str, str] | None = None, **overrides: object) -> tuple[str, str]:
    """Load settings that are wrong, and return the setting and what it expects."""
    with pytest.raises(ConfigurationError) as error:
        load(toml, environment, **overrides)
    assert str(error.value) == f"{error.value.setting}: {error.value.expected}"
    return error.value.setting, error.value.expected


def test_without_any_setting_it_listens_on_this_machine_only_and_has_no_account() -> None:
    settings = load_settings(None, {})
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.accounts == {}
    assert settings.api_keys == {}
    assert settings.trusted_proxies == ()
    assert settings.public_url is None


def test_a_file_sets_what_it_names_and_leaves_the_rest() -> None:
    settings = load(
        """
        port = 9000
        public_url = "https://api.example/llm"
        trusted_proxies = ["10.0.0.0/8", "::1"]
        live_counts = true
        shutdown_timeout = 5

        [accounts.mine]
        provider = "openai"
        base_url = "http://models.example/v1"
        api_key_env = "MY_KEY"
        concurrency = 8

        [accounts.demo]
        provider = "simulator"
        simulator.latency = 0.5

        [api_keys.ci]
        key = "sk-0123456789abc"
        workspace = "ci"
        """
    )
    assert (settings.host, settings.port, settings.shutdown_timeout) == ("127.0.0.1", 9000, 5.0)
    assert settings.public_url == "https://api.example/llm"
    assert settings.networks == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert settings.live_counts
    assert settings.accounts["mine"] == AccountSettings(
        provider="openai", base_url="http://models.example/v1", api_key_env="MY_KEY", concurrency=8
    )
    assert settings.accounts["demo"].simulator.latency == 0.5
    assert settings.api_keys == {"ci": ApiKeySettings(key="sk-0123456789abc", workspace="ci")}


def test_the_file_is_utf_8_whatever_the_locale() -> None:
    assert load('data_dir = "größe-😀"').data_dir == "größe-😀"


def test_the_environment_wins_over_the_file_and_the_command_line_over_both() -> None:
    toml = 'port = 1\nhost = "127.0.0.2"\ndata_dir = "from-file"\n'
    environment = {"BATCHGATE_PORT": "2", "BATCHGATE_DATA_DIR": "from-environment"}
    assert load(toml).port == 1
    settings = load(toml, environment, port=3, host=None)
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.2", 3, "from-environment")


def test_the_file_is_the_one_named_or_that_of_the_environment_or_that_of_the_folder() -> None:
    for port, name in enumerate(["batchgate.toml", "of-environment.toml", "named.toml"], start=1):
        Path(name).write_text(f"port = {port}")
    assert load_settings(None, {}).port == 1
    assert load_settings(None, {"BATCHGATE_CONFIG": ""}).port == 1
    assert load_settings(None, {"BATCHGATE_CONFIG": "of-environment.toml"}).port == 2
    assert load_settings(Path("named.toml"), {"BATCHGATE_CONFIG": "of-environment.toml"}).port == 3


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("BATCHGATE_HOST", "localhost", {"host": "localhost"}),
        ("BATCHGATE_PORT", "0", {"port": 0}),
        ("BATCHGATE_SHUTDOWN_TIMEOUT", "2.5", {"shutdown_timeout": 2.5}),
        ("BATCHGATE_PUBLIC_URL", "https://api.example", {"public_url": "https://api.example"}),
        ("BATCHGATE_TRUSTED_PROXIES", "10.0.0.0/8, ::1,", {"trusted_proxies": ("10.0.0.0/8", "::1")}),
        ("BATCHGATE_TRUSTED_PROXIES", "", {"trusted_proxies": ()}),
        *(("BATCHGATE_LIVE_COUNTS", text, {"live_counts": True}) for text in ("1", "true", "True", "yes")),
        *(("BATCHGATE_LIVE_COUNTS", text, {"live_counts": False}) for text in ("0", "false", "FALSE", "no")),
    ],
)
def test_a_variable_sets_what_its_name_says(variable: str, text: str, expected: dict[str, Any]) -> None:
    settings = load(environment={variable: text})
    assert {name: getattr(settings, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("environment", "accounts"),
    [
        ({}, {}),
        ({"ANTHROPIC_API_KEY": "k"}, {"anthropic": ("anthropic", None, "ANTHROPIC_API_KEY")}),
        ({"OPENAI_API_KEY": "k"}, {"openai": ("openai", None, "OPENAI_API_KEY")}),
        ({"OPENAI_API_KEY": ""}, {}),
        ({"OLLAMA_HOST": "h"}, {"ollama": ("ollama", "http://h:11434/v1", None)}),
        ({"VLLM_BASE_URL": "http://h:8000/v1"}, {"vllm": ("vllm", "http://h:8000/v1", None)}),
        (
            {"VLLM_BASE_URL": "http://h:8000/v1", "VLLM_API_KEY": "k"},
            {"vllm": ("vllm", "http://h:8000/v1", "VLLM_API_KEY")},
        ),
        ({"VLLM_API_KEY": "k"}, {}),
        (
            {"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"},
            {"anthropic": ("anthropic", None, "ANTHROPIC_API_KEY"), "openai": ("openai", None, "OPENAI_API_KEY")},
        ),
    ],
    ids=str,
)
def test_a_well_known_key_switches_its_account_on(
    environment: dict[str, str], accounts: dict[str, tuple[str, str | None, str | None]]
) -> None:
    found = load(environment=environment).accounts
    assert {name: (one.provider, one.base_url, one.api_key_env) for name, one in found.items()} == accounts


def test_an_account_of_the_file_stands_beside_those_of_the_environment_or_replaces_one() -> None:
    environment = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
    settings = load(f'{SIMULATED}[accounts.openai]\nprovider = "vllm"\n', environment)
    assert {name: one.provider for name, one in settings.accounts.items()} == {
        "anthropic": "anthropic",
        "openai": "vllm",
        "s": "simulator",
    }


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost", "http://localhost:11434/v1"),
        ("localhost:8000", "http://localhost:8000/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0:8000", "http://127.0.0.1:8000/v1"),
        ("100.0.0.0", "http://100.0.0.0:11434/v1"),
        (":8000", "http://127.0.0.1:8000/v1"),
        ("[::1]", "http://[::1]:11434/v1"),
        ("[::]:8000", "http://[::1]:8000/v1"),
        ("http://h", "http://h/v1"),
        ("https://h/", "https://h/v1"),
        ("https://h:8443/ollama/", "https://h:8443/ollama/v1"),
        ("h/ollama", "http://h:11434/ollama/v1"),
        (" h ", "http://h:11434/v1"),
    ],
)
def test_ollama_host_is_read_as_ollama_reads_it(host: str, url: str) -> None:
    assert load(environment={"OLLAMA_HOST": host}).accounts["ollama"].base_url == url


@pytest.mark.parametrize(
    ("toml", "setting", "expected"),
    [
        ('port = "8080"', "port", "Input should be an integer, not a string"),
        ("port = -1", "port", "Input should be greater than or equal to 0"),
        ("port = 65536", "port", "Input should be less than or equal to 65535"),
        ('host = ""', "host", "String should have at least 1 character"),
        ("host = 1", "host", "Input should be a string, not an integer"),
        ('live_counts = "yes"', "live_counts", "Input should be a boolean, not a string"),
        ("shutdown_timeout = -1", "shutdown_timeout", "Input should be greater than or equal to 0"),
        ("shutdown_timeout = nan", "shutdown_timeout", "Input should be greater than or equal to 0"),
        ('public_url = "api.example"', "public_url", "String should match pattern '^https?://"),
        ('public_url = "https://api.example/?a=b"', "public_url", "String should match pattern '^https?://"),
        ('trusted_proxies = "10.0.0.0/8"', "trusted_proxies", "Input should be an array, not a string"),
        ('trusted_proxies = ["::1", "proxy"]', "trusted_proxies.1", "a network such as 10.0.0.0/8: 'proxy' does not"),
        ('trusted_proxies = ["10.0.0.1/8"]', "trusted_proxies.0", "a network such as 10.0.0.0/8: 10.0.0.1/8 has host"),
        ("prot = 8080", "prot", "there is no such setting; did you mean port?"),
        ("accounts = 5", "accounts", "Input should be an object, not an integer"),
        ('[[accounts]]\nprovider = "openai"', "accounts", "Input should be an object, not an array"),
        ("[accounts]\ns = 5", "accounts.s", "Input should be an object, not an integer"),
        ("[accounts.s]", "accounts.s.provider", "Field required"),
        (f"{SIMULATED}[accounts.t]\nprovider = 1", "accounts.t.provider", "Input should be a string, not an integer"),
        (f"{SIMULATED}concurrency = 0", "accounts.s.concurrency", "Input should be greater than or equal to 1"),
        (f"{SIMULATED}timeout = 0", "accounts.s.timeout", "Input should be greater than 0"),
        (f"{SIMULATED}apikey = 'x'", "accounts.s.apikey", "there is no such setting; did you mean api_key?"),
        (f"{SIMULATED}simulator.latency = 'x'", "accounts.s.simulator.latency", "Input should be a number"),
        (
            f"{SIMULATED}simulator.lag = 1",
            "accounts.s.simulator.lag",
            "there is no such setting; the settings are ",
        ),
        ('[accounts."a/b"]\nprovider = "simulator"', "accounts.a/b", "a name without a slash"),
        (f'default_provider = "x"\n{SIMULATED}', "default_provider", "the name of an account: s"),
        ('default_provider = "x"', "default_provider", "the name of an account: none is configured"),
        ("[api_keys.ci]", "api_keys.ci", "a key, or key_env with the variable that holds it"),
        ('[api_keys.ci]\nkey = ""', "api_keys.ci", "a key, or key_env with the variable that holds it"),
        ('[api_keys.ci]\nkey = "123456789012345"', "api_keys.ci", "a key of at least 16 characters"),
        ('[api_keys.ci]\nkey_env = "CI_KEY"', "api_keys.ci.key_env", "the environment variable CI_KEY"),
        ("[api_keys]\nci = 'sk-1'", "api_keys.ci", "Input should be an object, not a string"),
        ("[api_keys.ci]\nkey = 1", "api_keys.ci.key", "Input should be a string or null, not an integer"),
        (
            "[api_keys.ci]\nkey = 'k'\nworkspace = ''",
            "api_keys.ci.workspace",
            "String should have at least 1 character",
        ),
        (
            "[api_keys]\na.key = 'kkkkkkkkkkkkkkkk'\nb.key = 'kkkkkkkkkkkkkkkk'\nb.workspace = 'w'",
            "api_keys.b",
            "a unique key; a has the same one",
        ),
        ("port = ", "settings.toml", "valid TOML: "),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_expects(toml: str, setting: str, expected: str) -> None:
    found, said = refused(toml)
    assert found == setting
    assert said.startswith(expected)


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("BATCHGATE_PORT", "http", "Input should be an integer, not 'http'"),
        ("BATCHGATE_PORT", "", "Input should be an integer, not ''"),
        ("BATCHGATE_PORT", "70000", "Input should be less than or equal to 65535, not '70000'"),
        ("BATCHGATE_LIVE_COUNTS", "perhaps", "Input should be a boolean, not 'perhaps'"),
        ("BATCHGATE_DATA_DIR", "", "String should have at least 1 character, not ''"),
        ("BATCHGATE_PUBLIC_URL", "x", "String should match pattern '^https?://[^/?#]+[^?#]*$', not 'x'"),
        ("OLLAMA_HOST", "ftp://h", "a host, perhaps with a scheme and a port, not 'ftp://h'"),
        ("OLLAMA_HOST", "h:port", "a host, perhaps with a scheme and a port, not 'h:port'"),
    ],
)
def test_a_wrong_variable_is_named_with_what_it_expects_and_what_it_is(variable: str, text: str, expected: str) -> None:
    assert refused(environment={variable: text}) == (variable, expected)


def test_an_empty_variable_counts_as_not_set_where_a_setting_may_have_no_value() -> None:
    names = ("DATABASE_URL", "DATABASE_URL_FILE", "BLOB_URL", "DEFAULT_PROVIDER", "PUBLIC_URL", "MASTER_KEY_FILE")
    empty = {f"BATCHGATE_{name}": "" for name in names}
    assert load(environment=empty) == load()
    assert load('public_url = "https://api.example"', empty).public_url == "https://api.example"
    assert refused('database_url = ""')[0] == "database_url"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (None, None),
        ("postgresql://u:hidden@db.example:5433/bg?password=hidden", "PostgreSQL, db.example/bg"),
        ("postgresql:///bg?host=/tmp", "PostgreSQL, on this machine/bg"),
    ],
)
def test_a_database_is_named_without_who_connects_to_it(url: str | None, place: str | None) -> None:
    assert load(database_url=url).database_display == place


@pytest.mark.parametrize("name", ["nowhere.toml", "."], ids=["missing", "a folder"])
def test_a_file_that_cannot_be_read_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: a readable file: ".replace(".", r"\.")):
        load_settings(Path(name), {})
    with pytest.raises(ConfigurationError, match="a readable file"):
        load_settings(None, {"BATCHGATE_CONFIG": name})


def test_a_file_that_is_not_utf_8_is_no_toml() -> None:
    Path("latin.toml").write_bytes(b'data_dir = "gr\xf6\xdfe"')
    with pytest.raises(ConfigurationError, match=r"^latin\.toml: valid TOML: .*utf-8"):
        load_settings(Path("latin.toml"), {})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "localhost", "::1", "[::1]"])
def test_an_address_of_this_machine_is_known_as_one(host: str) -> None:
    assert is_loopback(load(host=host).host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "[::]", "192.168.0.1", "gateway.example", "2001:db8::1", "localhost.example"]
)
def test_any_other_address_is_not(host: str) -> None:
    assert not is_loopback(load(host=host).host)


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("BATCHGATE_DATADIR", "there is no such setting; did you mean BATCHGATE_DATA_DIR?"),
        ("BATCHGATE_LOGLEVEL", "there is no such setting; did you mean BATCHGATE_LOG_LEVEL?"),
        ("BATCHGATE_PROT", "there is no such setting; did you mean BATCHGATE_PORT?"),
        ("BATCHGATE_API_KEYS", "[api_keys.NAME] in the settings file; the environment cannot hold a table"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(variable: str, expected: str) -> None:
    assert refused("", {variable: "x"}) == (variable, expected)


def test_what_kubernetes_sets_for_a_service_of_that_name_is_passed_over() -> None:
    links = {
        "BATCHGATE_SERVICE_HOST": "10.0.0.1",
        "BATCHGATE_SERVICE_PORT": "8080",
        "BATCHGATE_SERVICE_PORT_HTTP": "8080",
        "BATCHGATE_PORT": "tcp://10.0.0.1:8080",
        "BATCHGATE_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "BATCHGATE_PORT_8080_TCP_ADDR": "10.0.0.1",
        "BATCHGATE_METRICS_PORT": "tcp://10.0.0.2:9090",
    }
    settings = load("port = 9000", links)
    assert settings.port == 9000
    assert unknown_variables(settings, links) == []


def test_a_port_that_is_none_is_still_refused() -> None:
    assert refused("", {"BATCHGATE_PORT": "http"})[0] == "BATCHGATE_PORT"


def test_variables_that_hold_keys_or_belong_to_the_commands_are_known() -> None:
    toml = '[api_keys.a]\nkey_env = "BATCHGATE_KEY_OF_A"\n'
    environment = {
        "BATCHGATE_KEY_OF_A": "sk-a-0123456789abc",
        "BATCHGATE_URL": "http://x",
        "BATCHGATE_API_KEY": "k",
        "BATCHGATE_ZOO": "1",
    }
    assert unknown_variables(load(toml, environment), environment) == ["BATCHGATE_ZOO"]


@pytest.mark.parametrize(
    "given",
    [
        "mysql://u:hidden@h/db",
        "h/db?password=hidden",
        "sqlite:///hidden",
        "postgresql://u:hid/den@h/db",
        "postgresql://u:hidden@[h/db",
        " ",
    ],
)
def test_a_database_that_is_not_postgresql_is_refused_without_being_quoted(given: str) -> None:
    expected = (
        "database_url",
        "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or unset for a SQLite file in data_dir",
    )
    assert refused(f'database_url = "{given}"') == expected
    assert refused(environment={"BATCHGATE_DATABASE_URL": given}) == expected
    assert load(environment={"BATCHGATE_DATABASE_URL": "postgresql://h/db"}).database_url == "postgresql://h/db"

"""The sessions in the README print what the README shows."""

import doctest
import re
from pathlib import Path

import pytest

from tests.support.gateway_process import GatewayProcess

README = Path(__file__).parents[2] / "README.md"


SESSIONS = re.findall(r"^```python\n(>>> .*?)```", README.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("session", "lines"), [*zip(SESSIONS, (6, 9), strict=True)], ids=("anthropic", "openai"))
def test_a_session_in_the_readme_prints_the_output_that_it_shows(tmp_path: Path, session: str, lines: int) -> None:
    with GatewayProcess(data_dir=tmp_path) as gateway:
        source = session.replace("http://127.0.0.1:8080", gateway.url)
        example = doctest.DocTestParser().get_doctest(source, {}, "README", str(README), 0)
        assert len(example.examples) == lines
        try:
            assert doctest.DocTestRunner().run(example, clear_globs=False).failed == 0
        finally:
            example.globs["client"].close()

"""What templates of prompts mean, for every implementation: the command line, batchgate-streams, the dashboard."""

from __future__ import annotations

from typing import Final

ROW: Final = {"a": "1", "b": "{a}", "with space": "3", "": "4", "é": ""}
"""The row that the templates are filled with."""

FILLED: Final = {
    "": "",
    "no columns\n": "no columns\n",
    "{a}{b}": "1{a}",
    "{{a}} {{ }}": "{a} { }",
    "{{{a}}}": "{1}",
    '{{"a": {{"b": "{a}"}}}}': '{"a": {"b": "1"}}',
    "{with space} {}{é}": "3 4",
    "}}{{": "}{",
}
"""Templates, and what they become."""

REFUSED: Final = {
    "a } b": "} at character 3 of the template has no counterpart",
    "a {b": "{ at character 3 of",
    "{a}}": "} at character 4 of",
    "{{a}": "} at character 4 of",
    "😀{": "{ at character 2 of",
    "{a {b}": "{ at character 1 of",
    '{"a": 1}': "no column '\"a\": 1'",
    "{ a}": "no column ' a'",
    "{A}": "no column 'A'",
}
"""Templates with a mistake, and what the message says."""

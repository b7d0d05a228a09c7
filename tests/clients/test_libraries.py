"""The snippets of ``docs/clients.md`` for people who write programs, run as they stand."""

import pytest

from support.agents import run_section
from support.client_page import sections

pytestmark = pytest.mark.clients
LANGUAGES = ("python", "js")
SNIPPETS = [heading for heading, section in sections().items() if section.language in LANGUAGES]


@pytest.mark.parametrize("heading", SNIPPETS)
def test_a_snippet_gets_its_answer(heading, page, tmp_path, attempt):
    # The heading names the package; Python's are installed with everything else that tests need.
    client = heading.removeprefix("JavaScript: ") if page[heading].language == "js" else None
    turn = attempt(run_section, page[heading], client, tmp_path, script=[{"text": "Hello to you"}])
    assert turn.status == 0, turn.said + turn.served
    assert turn.said.strip() == "Hello to you"

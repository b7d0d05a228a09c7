"""Coding agents as they come, configured by the text of ``docs/clients.md``: one turn in which their own tool writes a file."""

import pytest

from support.agents import AGENTS, CHAT, CONTENT, DONE, OTHERS, Agent, Turn, call_of, run_section, take_turn
from support.toolcall_cases.faults import as_text

pytestmark = pytest.mark.clients
AIDER = {"aider": CHAT, "aider, through Ollama's API": "/api/chat"}
LISTING = f"hello.txt\n```\n{CONTENT}```\n"


def expect(turn: Turn, route: str) -> None:
    told = (
        f"{turn.status}, {turn.written!r}\n{turn.said[-3000:]}\n--- the server:\n{turn.served[-2000:]}\n{turn.requests}"
    )
    assert turn.succeeded, told
    assert [status for asked, status in turn.requests if asked == route][:2] == [200, 200], told
    assert {status for _, status in turn.requests} == {200}, told
    assert "/api/pull" not in dict(turn.requests), "codex --oss pulls what it does not find listed by its exact name"
    assert " error " not in turn.served, told


@pytest.mark.parametrize("agent", [*AGENTS, *OTHERS], ids=str)
def test_an_agent_takes_a_turn_with_its_own_tool(agent: Agent, page, tmp_path, attempt):
    turn = attempt(take_turn, agent, page[agent.section], tmp_path, replies=[call_of(agent, tmp_path).reply])
    expect(turn, agent.route)
    assert DONE in turn.said


@pytest.mark.parametrize("agent", AGENTS, ids=str)
@pytest.mark.parametrize("fault", ["prose plus a fenced JSON", "Hermes"])
def test_an_agent_takes_a_turn_when_its_model_prints_the_call(agent: Agent, fault: str, page, tmp_path, attempt):
    call = call_of(agent, tmp_path)
    text = as_text(call.name, call.arguments)[fault]
    expect(attempt(take_turn, agent, page[agent.section], tmp_path, replies=[{"text": text}]), agent.route)


@pytest.mark.parametrize("section", AIDER)
def test_aider_writes_the_file_its_model_lists(section: str, page, tmp_path, attempt):
    script = [{"when": "Create the file", "text": LISTING}, {"text": "chore: add a greeting"}]
    turn = attempt(run_section, page[section], "aider", tmp_path, script=script)
    expect(turn, AIDER[section])
    assert "chore: add a greeting" in turn.said, "the message of the commit is asked for, too"

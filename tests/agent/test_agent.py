"""One turn, against a scripted engine and a real index."""

import asyncio
from pathlib import Path

import pytest

from fireside import Fireside
from fireside.agent.session import Session
from fireside.context.builder import SYSTEM, Attachment
from fireside.core.streams import closing
from fireside.core.turns import ContextGathered, TextDelta, TurnFailed, TurnFinished
from support.project import write_project

SCRIPT = {"engines.script.kind": "scripted", "models.chat": "@script"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    return write_project(tmp_path)


async def ask(house: Fireside, session: Session, question: str, *attachments: Attachment) -> list[object]:
    return [event async for event in house.agent.turn(session, question, attachments=attachments)]


async def test_a_turn_gathers_then_speaks_then_finishes(root: Path):
    async with await Fireside.open(root, flags={**SCRIPT, "engines.script.says": "by length"}) as house:
        events = await ask(house, Session(), "how is a berth chosen?")
    assert isinstance(events[0], ContextGathered)
    assert events[0].citations[0].path == "harbour/berths.py"
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "by length"
    assert isinstance(events[-1], TurnFinished)
    assert events[-1].generated


async def test_a_turn_is_remembered_exactly_as_it_was_sent(root: Path):
    async with await Fireside.open(root, flags={**SCRIPT, "engines.script.says": "yes"}) as house:
        session = Session()
        await ask(house, session, "one?")
        await ask(house, session, "two?")
    assert [message.role for message in session.history] == ["user", "assistant"] * 2
    assert session.history[0].content == "one?"


async def test_an_answer_that_is_stopped_is_kept_as_far_as_it_came(root: Path):
    async with await Fireside.open(root, flags={**SCRIPT, "engines.script.says": "first second third"}) as house:
        session = Session()
        async with closing(house.agent.turn(session, "go?")) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break
    assert session.history[-1].content == "first"


async def test_an_engine_that_fails_ends_the_turn_with_its_error(root: Path, tmp_path: Path):
    script = tmp_path / "script.json"
    script.write_text('[{"text": "half of", "error": "connection", "fail_after": 1}]')
    async with await Fireside.open(root, flags={**SCRIPT, "engines.script.script": str(script)}) as house:
        events = await ask(house, Session(), "go?")
    assert isinstance(events[-1], TurnFailed)
    assert events[-1].error.kind == "connection"


async def test_without_a_model_the_turn_is_honest(root: Path):
    async with await Fireside.open(root) as house:
        events = await ask(house, Session(), "how is a berth chosen?")
    assert isinstance(events[-1], TurnFinished)
    assert not events[-1].generated
    assert "No model wrote this" in "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_an_attachment_reaches_the_model(root: Path):
    async with await Fireside.open(root, flags={**SCRIPT, "engines.script.says": "ok"}) as house:
        session = Session()
        await ask(house, session, "what changed?", Attachment("standard input", "+added line"))
    assert "### standard input\n```\n+added line\n```" in session.history[0].content


async def test_two_turns_at_once_do_not_mix(root: Path):
    async with await Fireside.open(root, flags={**SCRIPT, "engines.script.says": "same words for both"}) as house:
        one, two = Session(), Session()
        answers = await asyncio.gather(ask(house, one, "a?"), ask(house, two, "b?"))
    for events in answers:
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "same words for both"


def test_the_system_prompt_holds_nothing_that_changes():
    assert "{" not in SYSTEM
    assert "202" not in SYSTEM

"""What a conversation does beside answering."""

import asyncio
import threading
import time
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from fireside import Fireside
from fireside.agent.session import Session
from fireside.cli.conversation import Conversation, _in_thread
from fireside.cli.naming import Known, begun, completer, suggestions
from fireside.index.names import Names
from support.project import write_project


async def test_reading_the_project_ends_when_the_chat_is_left():
    reading, ended = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def update(go_on):
        loop.call_soon_threadsafe(reading.set)
        try:
            while True:
                go_on(None)
        finally:
            ended.set()

    waiting = asyncio.create_task(_in_thread(update))
    await reading.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.to_thread(ended.wait, 10)


class Heard(Known):
    """Tells when names are there."""

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if value is not None:
            self.loop.call_soon_threadsafe(self.heard.set)


async def test_names_are_learnt_while_the_chat_is_open_and_kept_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    Heard.loop, Heard.heard = asyncio.get_running_loop(), asyncio.Event()
    known = Heard()
    async with asyncio.timeout(30), await Fireside.open(write_project(tmp_path)) as house:
        conversation = Conversation(house, Session(), known)
        watching = asyncio.create_task(conversation.watch())
        await conversation.warm()
        await known.heard.wait()
        assert known.names.matching("allocate")[0].text == "allocate_berth"
        known.heard.clear()
        (tmp_path / "harbour" / "cranes.py").write_text("def lift(): ...\n")
        while not known.names.matching("lift"):
            await known.heard.wait()
            known.heard.clear()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert not any(thread.name == "fireside-watch" for thread in threading.enumerate())


NAMES = Names(
    ["src/app/main.py", "src/app/my view.py", "tests/test_main.py", "README.md"],
    [
        ("Main.run", "function", "src/app/main.py"),
        ("run", "function", "tests/test_main.py"),
        ("main", "function", "src/app/main.py"),
    ],
)


def offered(typed: str) -> list[str]:
    """What the line would be with each suggestion."""
    return [typed[: len(typed) + one.start_position] + one.text for one in suggestions(typed, Known(NAMES))]


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        ("explain @READ", ["explain @README.md"]),
        ("@main", ["@main", "@src/app/main.py", "@Main.run", "@tests/test_main.py"]),
        ("@MAIN.r", ["@Main.run"]),
        ("@src/app/", ["@src/app/main.py", '@"src/app/my view.py"', "@src/app/"]),
        ("@my", ['@"src/app/my view.py"']),
        ('@"my v', ['@"src/app/my view.py"']),
        ("@", ["@diff", "@map", "@src/", "@tests/"]),
        ("@di", ["@diff"]),
        ("no mention", []),
        ("me@example", []),
        ("@main and then", []),
    ],
)
def test_what_is_offered_after_an_at_sign(typed, lines):
    assert offered(typed) == lines


def test_nothing_but_the_fixed_names_is_offered_before_the_project_is_read():
    assert [one.text for one in suggestions("@", Known())] == ["diff", "map"]


def test_prompt_toolkit_asks_with_what_stands_before_the_cursor():
    document = Document("see @READ and more", cursor_position=9)
    found = list(completer(Known(NAMES)).get_completions(document, CompleteEvent()))
    assert [one.text for one in found] == ["README.md"]


def test_names_defined_in_sources_come_before_those_in_tests():
    names = Names(["a.py", "tests/test_a.py"], [("go", "function", "tests/test_a.py"), ("go", "class", "a.py")])
    assert names.matching("go")[0].about == "class in a.py"


@pytest.mark.slow
def test_a_key_stroke_among_20_000_names_costs_little():
    paths = [f"src/pkg{number % 200}/module_{number}/file{number}.py" for number in range(5_000)]
    names = Names(
        paths,
        [(f"Class{number % 3000}.method_{number}", "function", paths[number % 5_000]) for number in range(20_000)],
    )
    began = time.process_time()
    for typed in ("e", "met", "method_4999", "zzzz", "src/pkg1"):
        names.matching(typed)
    assert time.process_time() - began < 0.2


def test_an_at_sign_is_known_where_it_begins_a_mention():
    assert begun("see @a.p") == "a.p"
    assert begun('see @"a b') == '"a b'
    assert begun("mail me@a.p") is None
    assert begun("see @a.py ") is None

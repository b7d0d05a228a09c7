"""What a question brings before the model: what it names, what is found, what is kept out, and that it fits."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from fireside.agent.agent import Agent
from fireside.agent.session import Session
from fireside.agent.settings import AgentSettings
from fireside.context.builder import Attachment
from fireside.context.project import Project
from fireside.core.turns import ContextGathered, TextDelta, TurnEvent, TurnFailed, TurnFinished
from fireside.engines.scripted import ScriptedEngine, scripted_card
from fireside.index.index import LOCK
from support.gateways import opened
from support.knowing import open_project
from support.project import FILES

KEY = "AKIA" + "Z7Q4MKRT2WXE5VNB"


@pytest.fixture
def project(tmp_path: Path):
    made = open_project(tmp_path, {**FILES, "harbour/config.py": f'HARBOUR_KEY = "{KEY}"\nPIERS = 3\n'})
    yield made
    made.close()


class Talk:
    """A conversation with a scripted model about a project."""

    def __init__(self, agent: Agent, engine: ScriptedEngine) -> None:
        self.agent = agent
        self.engine = engine
        self.session = Session()

    async def ask(self, question: str, *attachments: Attachment) -> list[TurnEvent]:
        return [event async for event in self.agent.turn(self.session, question, attachments=attachments)]

    async def prompt(self, question: str, *attachments: Attachment) -> str:
        """What the model is shown with a question."""
        events = await self.ask(question, *attachments)
        assert isinstance(events[-1], TurnFinished), events
        return self.engine.requests[-1].messages[-1].content

    async def left_out(self, question: str, *attachments: Attachment) -> tuple[str, ...]:
        gathered = (await self.ask(question, *attachments))[0]
        assert isinstance(gathered, ContextGathered)
        return gathered.left_out


@asynccontextmanager
async def talk(
    project: Project, *, window: int = 8192, says: str = "so it is", **settings: object
) -> AsyncIterator[Talk]:
    engine = ScriptedEngine(says=says, cards=[scripted_card("scripted", context_window=window)])
    async with opened(engine) as (gateway, _):
        yield Talk(Agent(gateway, project, AgentSettings(**settings)), engine)


async def test_what_a_question_names_is_shown_whole_and_cited_first(project):
    async with talk(project) as one:
        prompt = await one.prompt("what does @tide_height use?")
        events = await one.ask("what does @harbour/tides.py use?")
    assert prompt.startswith("### harbour/tides.py:6-8 (tide_height)\n```python\ndef tide_height")
    assert prompt.endswith("Question: what does @tide_height use?")
    assert str(events[0].citations[0]) == "harbour/tides.py:1-8"


async def test_what_cannot_be_shown_is_said_with_the_nearest_names(project):
    async with talk(project) as one:
        assert (await one.left_out("explain @harbour/tide.py"))[:1] == (
            "@harbour/tide.py: there is no such file or folder here; did you mean harbour/tides.py?",
        )


async def test_no_key_of_a_file_reaches_the_model_by_any_way(project):
    ways = ("what is HARBOUR_KEY?", "@harbour/config.py", "@HARBOUR_KEY", "@harbour/", "@map", "what is this project?")
    async with talk(project) as one:
        for question in ways:
            assert KEY not in await one.prompt(question), question
        left_out = await one.left_out("@harbour/config.py", Attachment("standard input", f"\nkey = '{KEY}'\n"))
        assert KEY not in "".join(message.content for request in one.engine.requests for message in request.messages)
    assert left_out == (
        "2 values that look like keys: harbour/config.py:1 (aws-access-token), standard input:2 (aws-access-token)",
    )


async def test_keys_are_shown_where_the_user_wants_it(project):
    async with talk(project, redact_secrets=False) as one:
        assert KEY in await one.prompt("@harbour/config.py")
        assert await one.left_out("@harbour/config.py") == ()


async def test_what_the_user_types_is_sent_as_it_is_with_a_warning(project):
    async with talk(project) as one:
        assert KEY in await one.prompt(f"why is {KEY} refused?")
        assert "nothing of what you typed" in (await one.left_out(f"why is {KEY} refused?"))[-1]


@pytest.mark.parametrize("question", ["", "  \n\t"])
async def test_an_empty_question_is_refused_before_anybody_is_asked(project, question):
    async with talk(project) as one:
        (failed,) = await one.ask(question)
        assert isinstance(failed, TurnFailed)
        assert failed.error.message == "the question is empty"
        assert one.engine.requests == []


async def test_a_question_of_100_kilobytes_is_refused_with_what_the_model_takes(project):
    async with talk(project) as one:
        (failed,) = await one.ask("why does this fail? " + "line of a log\n" * 7_000)
    assert isinstance(failed, TurnFailed)
    assert failed.error.kind == "context_length"
    assert "8,192" in failed.error.message


async def test_a_question_in_another_language_is_answered_with_the_map_before_the_model(project):
    async with talk(project) as one:
        prompt = await one.prompt("船の停泊場所はどこで選ばれますか")
    assert prompt.startswith("### map of the project")


async def test_each_prompt_begins_with_the_one_before(project):
    questions = ["how is a berth chosen?", "why?", "what does @tides.py do?", "and who calls it?", "@map", "thanks"]
    async with talk(project) as one:
        for question in questions:
            await one.ask(question)
        prompts = [request.messages for request in one.engine.requests]
    assert len(prompts) == len(questions)
    for before, after in itertools.pairwise(prompts):
        assert after[: len(before)] == before
        assert after[len(before)].content == "so it is"


async def test_a_conversation_that_grows_too_long_is_cut_for_good_and_then_grows_on(project):
    async with talk(project, window=2048, says="word " * 150, answer_tokens=256) as one:
        prompts = []
        for number in range(14):
            await one.ask(f"how is a berth chosen for ship {number}?")
            prompts.append(one.engine.requests[-1].messages)
    kept = sum(after[: len(before)] == before for before, after in itertools.pairwise(prompts))
    assert 0 < one.session.since < len(one.session.history)
    assert kept >= 7


async def test_a_question_that_refers_back_is_looked_up_with_the_one_before(project):
    async with talk(project) as one:
        await one.ask("how high is the tide at noon?")
        events = await one.ask("and where is it used?")
    assert events[0].citations[0].path == "harbour/tides.py"


async def test_what_is_still_being_read_by_another_process_is_said(project):
    async with talk(project) as one:
        (project.root / "harbour" / "cranes.py").write_text("def lift(): ...\n")
        with FileLock(project.index.folder / LOCK):
            left_out = await one.left_out("how is a berth chosen?")
    assert left_out == ("1 changed file: the project is still being read",)


async def test_where_the_window_is_small_the_models_own_tokenizer_decides_what_fits(project, tmp_path):
    text = "".join(f"def berth_{number}():\n    return {'+'.join(['berth'] * 100)}\n\n" for number in range(12))
    (project.root / "harbour" / "long.py").write_text(text)
    async with talk(project, window=1_500, answer_tokens=300) as one:
        first = (await one.ask("how is a berth chosen?"))[0]
        request = one.engine.requests[-1]
        counted = await one.engine.count_tokens(request, scripted_card("scripted"))
        guessed = sum(len(message.content.encode()) // 3 for message in request.messages)
    assert len(first.citations) > 2
    assert counted <= 1_200 < guessed


async def test_a_window_nobody_knows_is_taken_to_be_as_large_as_we_want(project):
    async with talk(project, window=0) as one:
        events = await one.ask("how is a berth chosen?", Attachment("standard input", "line of a log\n" * 4_000))
    assert isinstance(events[-1], TurnFinished)
    assert "standard input: only its first" in events[0].left_out[0]


async def test_without_a_model_what_is_named_is_shown_first(project):
    async with opened() as (gateway, _):
        agent = Agent(gateway, project, AgentSettings())
        events = [event async for event in agent.turn(Session(), "explain @tide_height and @map")]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text.startswith("**map of the project**")
    assert "**harbour/tides.py:6-8** · `tide_height`" in text

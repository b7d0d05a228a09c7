"""A completion comes from the model where there is one, and from copying where there is none or it fails."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fireside.assist.completion import Assist, split_at
from fireside.assist.likelihood import Likelihood
from fireside.assist.settings import AssistSettings
from fireside.assist.trim import Trimmer
from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, ModelNotFound
from fireside.core.requests import CompletionRequest, Delta, Logprob, Snippet
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.models.card import ModelCard

CODE = "def add(first, second):\n    return first + second\n\ntotal = add(first, second)\nother = add(\nprint(other)\n"


@dataclass
class Text:
    text: str


@dataclass
class Folder:
    """A workspace and its neighbours in memory."""

    files: dict[str, str]
    near: list[Snippet] = field(default_factory=list)

    @property
    def workspace(self) -> "Folder":
        return self

    def read(self, path: Path | str) -> Text | None:
        return Text(self.files[str(path)]) if str(path) in self.files else None

    def neighbours(self, path: str) -> list[Snippet]:
        return self.near


@dataclass
class OneEngine:
    """A gateway of one engine, which can fill in the middle or not."""

    engine: ScriptedEngine | None = None
    error: FiresideError | None = None

    async def card_for(self, model: str, *, needs) -> ModelCard | None:
        if self.error:
            raise self.error
        return (await self.engine.models())[0] if self.engine else None

    async def complete(self, request: CompletionRequest) -> AsyncIterator[Delta]:
        assert self.engine is not None
        stream = self.engine.complete(request, (await self.engine.models())[0])
        try:
            async for delta in stream:
                yield delta
        finally:
            await stream.aclose()


def assist(engine: ScriptedEngine | None = None, **options) -> Assist:
    return Assist(OneEngine(engine, options.pop("error", None)), Folder({"a.py": CODE}, **options))


async def test_a_model_completes_the_line():
    engine = ScriptedEngine("total, 1)")
    completion = await assist(engine).complete("a.py", 5)
    assert (completion.text, completion.source, completion.model) == ("total, 1)", "model", "script@scripted")
    asked = engine.requests[0]
    assert asked.prefix.endswith("other = add(")
    assert asked.suffix == "\nprint(other)\n"
    assert asked.path == "a.py"


async def test_a_model_that_goes_on_is_stopped_at_the_end_of_the_line():
    engine = ScriptedEngine("total, 1)\n\ndef more():\n" + "    x = 1\n" * 50)
    assert (await assist(engine).complete("a.py", 5)).text == "total, 1)"
    assert engine.cancelled == 1
    assert engine.running == 0


async def test_neighbours_reach_the_model_shortened():
    engine = ScriptedEngine("x)")
    near = [Snippet(f"{index}.py", "line\n" * 500) for index in range(9)]
    await assist(engine, near=near).complete("a.py", 5)
    sent = engine.requests[0].neighbours
    assert [snippet.path for snippet in sent] == ["0.py", "1.py", "2.py"]
    assert sent[0].text.count("\n") < 100


KEY = "AKIA" + "QX7Z4T2M5B3NJ6KW"
PRIVATE = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEAx7Zq3vT9\n" * 12 + "-----END RSA PRIVATE KEY-----"


async def test_a_key_in_a_neighbour_does_not_reach_the_model():
    engine = ScriptedEngine("x)")
    near = [
        Snippet("keys.py", f'region = "eu"\naccess = "{KEY}"\n'),
        Snippet("private.py", f'pem = """{PRIVATE}"""\nafter = 1\n'),
    ]
    await assist(engine, near=near).complete("a.py", 5)
    keys, private = engine.requests[0].neighbours
    assert 'region = "eu"' in keys.text
    assert KEY not in keys.text
    assert "MIIE" not in private.text
    assert "after = 1" in private.text


async def test_a_key_is_found_before_the_neighbour_is_shortened():
    engine = ScriptedEngine("x)")
    await assist(engine, near=[Snippet("a.py", "line\n" * 55 + PRIVATE + "\n")]).complete("a.py", 5)
    assert "MIIE" not in engine.requests[0].neighbours[0].text


async def test_files_of_secrets_are_no_neighbours_and_the_next_take_their_places():
    engine = ScriptedEngine("x)")
    paths = [".env", "1.py", "deploy/id_rsa", "2.py", "secrets.yaml", "3.py", "4.py"]
    await assist(engine, near=[Snippet(path, "text") for path in paths]).complete("a.py", 5)
    assert [snippet.path for snippet in engine.requests[0].neighbours] == ["1.py", "2.py", "3.py"]


@pytest.mark.parametrize("line", [3, 1])
async def test_a_key_above_or_below_the_cursor_does_not_reach_the_model(line: int):
    engine = ScriptedEngine("x)")
    await assist(engine).complete("a.py", line, text=f'total = add(\naccess = "{KEY}"\nother = add(\n')
    asked = engine.requests[0]
    assert KEY not in asked.prefix + asked.suffix
    assert "access = " in asked.prefix + asked.suffix
    assert (asked.prefix + asked.suffix).count("\n") == 3
    assert asked.prefix.endswith("= add(")


@pytest.mark.parametrize("offset", [4, 12, 19])
async def test_half_a_key_on_each_side_of_the_cursor_does_not_reach_the_model(offset: int):
    engine = ScriptedEngine("x")
    text = f'access = "{KEY}"\nrest = 1\n'
    await assist(engine).complete("a.py", 1, 11 + offset, text=text)
    asked = engine.requests[0]
    assert KEY[:offset] not in asked.prefix
    assert KEY[offset:] not in asked.suffix
    assert asked.suffix.endswith("rest = 1\n")


async def test_in_the_middle_of_a_private_key_neither_half_reaches_the_model():
    engine = ScriptedEngine("x")
    await assist(engine).complete("a.py", 6, text=f'pem = """{PRIVATE}"""\n')
    assert "MIIE" not in engine.requests[0].prefix + engine.requests[0].suffix


async def test_a_file_that_holds_nothing_but_secrets_is_shown_to_no_model():
    engine = ScriptedEngine("hunter2")
    completion = await assist(engine).complete(".env", 1, text="PASSWORD=\n")
    assert completion.source != "model"
    assert engine.requests == []


async def test_without_a_model_the_line_is_copied():
    completion = await assist().complete("a.py", 5)
    assert (completion.text, completion.source, completion.model) == ("first, second)", "copying", "")


async def test_a_model_that_fails_is_replaced_by_copying():
    broken = ScriptedEngine(Reply("x", error=ConnectionFailed("gone", cause="refused")))
    assert (await assist(broken).complete("a.py", 5)).source == "copying"


async def test_a_choice_that_is_wrong_is_replaced_by_copying():
    assert (await assist(error=ModelNotFound("no such model")).complete("a.py", 5)).source == "copying"


async def test_a_model_that_says_nothing_is_replaced_by_copying():
    assert (await assist(ScriptedEngine("\n\n")).complete("a.py", 5)).source == "copying"


async def test_where_nobody_knows_nothing_is_said():
    completion = await assist().complete("new.py", 1, 1, text="")
    assert (completion.text, completion.source) == ("", "none")


async def test_what_the_editor_holds_counts_more_than_the_file():
    completion = await assist().complete("a.py", 2, text="answer = ask(question)\nreply = ask(\n")
    assert completion.text == "question)"


async def test_a_column_may_lie_within_the_line():
    engine = ScriptedEngine("second, first)")
    await assist(engine).complete("a.py", 4, 13)
    assert engine.requests[0].prefix.endswith("total = add(")
    assert engine.requests[0].suffix.startswith("first, second)\n")


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [(0, None, "7 lines"), (99, None, "7 lines"), (1, 0, "23 characters"), (1, 25, "23 characters")],
)
async def test_a_place_the_file_does_not_have_is_refused_with_its_real_size(line: int, column: int | None, words: str):
    with pytest.raises(Invalid, match=words) as caught:
        await assist().complete("a.py", line, column)
    assert caught.value.remedy


async def test_a_file_that_is_not_text_is_refused():
    with pytest.raises(Invalid, match="cannot be read"):
        await assist().complete("picture.png", 1)


def test_the_end_of_the_line_is_before_its_line_break():
    assert split_at("a\r\nb\r\n", 1, None, "x") == ("a", "\r\nb\r\n")
    assert split_at("a\nb", 2, 2, "x") == ("a\nb", "")
    assert split_at("", 1, 1, "x") == ("", "")


@pytest.mark.parametrize(
    ("prefix", "suffix", "written", "lines", "kept"),
    [
        ("x = f(", ")\n", "a)", 1, "a"),
        ("x = f(", ")\n", "g(a)", 1, "g(a)"),
        ("x = f(", ")\n", "g(a))", 1, "g(a)"),
        ("x = ", "\ny = 2\n", "1\ny = 2\nz = 3", 3, "1"),
        ("", "\ny = 2\n", "y = 2", 1, ""),
        ("if a:\n    ", "\n", "return 1\n    return 2\n", 2, "return 1\n    return 2"),
        ("x = 1\n", "", "\n\ny = 2\n", 1, "y = 2"),
        ("say(", '"there")', '"hello, " "there")', 1, '"hello, " '),
        ("a", "", "  \n", 1, ""),
    ],
)
def test_a_completion_is_trimmed_to_what_is_missing(prefix: str, suffix: str, written: str, lines: int, kept: str):
    trimmer = Trimmer(prefix, suffix, max_lines=lines)
    for char in written:
        if trimmer.take(char):
            break
    assert trimmer.text() == kept


# How sure, and of whom


@dataclass
class Sure:
    """A gateway whose model tells how likely its tokens were, and refuses to where it is told so."""

    tokens: list[tuple[str, float]]
    refuses: bool = False
    requests: list[CompletionRequest] = field(default_factory=list)

    async def card_for(self, model: str, *, needs) -> ModelCard | None:
        return ModelCard("small", "here", capabilities=frozenset(("fim",)))

    async def complete(self, request: CompletionRequest) -> AsyncIterator[Delta]:
        self.requests.append(request)
        if self.refuses and request.sampling.logprobs is not None:
            raise Invalid("no logprobs here", remedy="")
        for text, logprob in self.tokens:
            told = () if self.refuses else (Logprob(text, logprob),)
            yield Delta(text=text, logprobs=told)
        yield Delta(finish_reason="stop")


def sure_of(tokens: list[tuple[str, float]], **settings) -> tuple[Assist, Sure]:
    gateway = Sure(tokens, refuses=settings.pop("refuses", False))
    return Assist(gateway, Folder({"a.py": CODE}), AssistSettings(**settings)), gateway


async def test_what_a_model_only_guesses_is_not_shown():
    guessing, _ = sure_of([("total", -2.5), (", 1)", -1.5)])
    assert (await guessing.complete("a.py", 5)).source == "copying"
    knowing, _ = sure_of([("total", -0.2), (", 1)", -0.4)])
    assert (await knowing.complete("a.py", 5)).text == "total, 1)"


async def test_only_what_would_be_shown_counts():
    knowing, _ = sure_of([("total)", -0.1), ("\n", -9.0), ("garbage()", -9.0)])
    assert (await knowing.complete("a.py", 5)).text == "total)"


async def test_the_limit_is_the_users():
    patient, _ = sure_of([("total)", -5.0)], least_logprob=-100.0)
    assert (await patient.complete("a.py", 5)).source == "model"


async def test_a_server_that_refuses_to_tell_is_asked_without():
    silent, gateway = sure_of([("total)", -0.1)], refuses=True)
    assert (await silent.complete("a.py", 5)).source == "model"
    assert [request.sampling.logprobs for request in gateway.requests] == [0, None]


async def test_a_copy_that_is_surely_right_needs_no_model():
    certain, gateway = sure_of([("total)", -0.1)], copy_confidence=0.0)
    assert (await certain.complete("a.py", 5)).source == "copying"
    assert gateway.requests == []
    always, gateway = sure_of([("total)", -0.1)], copy_confidence=2.0)
    assert (await always.complete("a.py", 5)).source == "model"
    assert len(gateway.requests) == 1


async def test_what_does_not_parse_is_cut_to_what_does():
    broken, _ = sure_of([("total) ) ]", -0.1)], copy_confidence=2.0)
    assert (await broken.complete("a.py", 5)).text == "total)"


@pytest.mark.parametrize("heal", [True, False])
async def test_whether_tokens_are_healed_is_the_users_choice(heal: bool):
    chosen, gateway = sure_of([("total)", -0.1)], heal=heal)
    await chosen.complete("a.py", 5)
    assert gateway.requests[0].heal is heal


async def test_a_key_stroke_in_a_long_file_only_adds_to_the_prompt():
    long = "".join(f"value_{number} = {number}\n" for number in range(3_000))
    asking, gateway = sure_of([("1", -0.1)], copy_confidence=2.0)
    for typed in ("other", "other ", "other ="):
        await asking.complete("a.py", 3_001, text=long + typed)
    first, second, third = (request.prefix for request in gateway.requests)
    assert second == first + " "
    assert third == second + "="
    assert 9_000 < len(third) <= 12_000


def test_tokens_that_only_touch_what_is_shown_count_too():
    likelihood = Likelihood()
    for token, logprob in (("\n", -8.0), ("ab", -1.0), ("cd", -3.0), ("e", -9.0)):
        likelihood.take(Delta(text=token, logprobs=(Logprob(token, logprob),)))
    assert likelihood.mean(1, 4) == -2.0
    assert likelihood.mean(1, 3) == -1.0
    assert likelihood.mean(3, 3) is None


def test_an_engine_that_says_nothing_is_neither_sure_nor_unsure():
    likelihood = Likelihood()
    likelihood.take(Delta(text="ab"))
    assert likelihood.mean(0, 2) is None

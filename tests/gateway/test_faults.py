"""An engine that raises what no engine should: the reader gets one typed line, the slot is free, others may stand in."""

from collections.abc import AsyncIterator, Sequence

import pytest

from fireside.core.errors import Unknown
from fireside.core.requests import ChatRequest, Delta, Vectors
from fireside.engines.engine import Boundary, EngineHealth, PullProgress
from fireside.engines.scripted import ScriptedEngine, scripted_card
from fireside.gateway.signals import RequestFailed
from fireside.models.card import ModelCard
from support.gateways import Moody, ask, deltas_of, opened, text_of


class Clumsy(ScriptedEngine):
    """A plug-in with a fault: it raises ``ValueError`` after so many pieces."""

    def __init__(self, after: int, name: str = "clumsy") -> None:
        super().__init__(name=name)
        self._after = after

    async def chat(self, request: ChatRequest, card: ModelCard) -> AsyncIterator[Delta]:
        for _ in range(self._after):
            yield Delta(text="word ")
        raise ValueError("a fault\nover two lines")

    async def embed(self, texts: Sequence[str], card: ModelCard) -> Vectors:
        raise KeyError("vectors")


@pytest.mark.parametrize("after", [0, 2])
async def test_a_fault_of_an_engine_is_one_typed_line(after: int):
    async with opened(Clumsy(after)) as (gateway, ears):
        with pytest.raises(Unknown, match="clumsy failed in a way it should not: ValueError: a fault over two lines"):
            await deltas_of(gateway.chat(ask()))
        assert gateway.load() == {"clumsy": (0, 0)}
        assert len(ears.of(RequestFailed)) == 1


async def test_a_fault_before_the_first_word_lets_another_engine_answer():
    async with opened(Clumsy(0), ScriptedEngine(name="b", says="hello")) as (gateway, _):
        assert await text_of(gateway.chat(ask())) == "hello"


async def test_a_fault_while_embedding_is_typed_too():
    async with opened(Clumsy(0)) as (gateway, _):
        with pytest.raises(Unknown, match="KeyError"):
            await gateway.embed(["a"])


class Broken(Moody):
    """A plug-in with a fault in everything but the answer."""

    async def models(self) -> list[ModelCard]:
        raise ValueError("models")

    async def health(self) -> EngineHealth:
        raise ValueError("health")

    async def aclose(self) -> None:
        raise ValueError("aclose")


class Lazy(Moody):
    """A plug-in with a fault in whatever comes before and after an answer."""

    async def count_tokens(self, request: ChatRequest | str, card: ModelCard) -> int | None:
        raise ValueError("count_tokens")

    async def warm(self, request: ChatRequest, card: ModelCard) -> None:
        raise ValueError("warm")

    async def pull(self, name: str) -> AsyncIterator[PullProgress]:
        raise ValueError("pull")
        yield PullProgress("never")


async def test_an_engine_that_cannot_list_its_models_is_down_and_says_why():
    async with opened(Broken(name="a"), ScriptedEngine(name="b", says="hello")) as (gateway, _):
        assert await text_of(gateway.chat(ask())) == "hello"
        with pytest.raises(Unknown, match=r"the engine a failed .* ValueError: models"):
            await deltas_of(gateway.chat(ask(model="@a")))
        states = await gateway.health()
        assert (states["a"].state, states["b"].state) == ("down", "ready")
        assert "ValueError" in states["a"].detail


async def test_an_engine_that_cannot_close_keeps_no_other_from_closing():
    other = Moody(name="b")
    async with opened(Broken(name="a"), other):
        pass
    assert other.closed == 1


async def test_faults_beside_the_answer_are_typed_too():
    async with opened(Lazy(name="a")) as (gateway, _):
        assert await gateway.count_tokens("some words") is None
        with pytest.raises(Unknown, match="ValueError: warm"):
            await gateway.warm(ask())
        with pytest.raises(Unknown, match="ValueError: pull"):
            [step async for step in gateway.pull("m")]


async def test_no_engine_lists_models_of_another():
    """Else a prompt for a model nearby could be sent to an engine nobody permitted."""
    far = ScriptedEngine(name="far", says="far", boundary=Boundary.CLOUD)
    near = Moody("near", name="near", cards=[scripted_card("far", "m")])
    async with opened(near, far) as (gateway, _):
        assert await text_of(gateway.chat(ask(model="m"))) == "near"

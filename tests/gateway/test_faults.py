"""An engine that raises what no engine should: the reader gets one typed line, the slot is free, others may stand in."""

from collections.abc import AsyncIterator, Sequence

import pytest

from fireside.core.errors import Unknown
from fireside.core.requests import ChatRequest, Delta, Vectors
from fireside.engines.scripted import ScriptedEngine
from fireside.gateway.signals import RequestFailed
from fireside.models.card import ModelCard
from support.gateways import ask, deltas_of, opened, text_of


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

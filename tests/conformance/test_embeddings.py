"""Texts to vectors."""

import asyncio
import math

import pytest

from fireside.core.errors import FiresideError, Invalid, ModelNotFound
from fireside.core.requests import Vectors
from fireside.core.values import replace
from support.answers import GUARD, check_error
from support.subject import Subject

TEXTS = {
    "one": ["def add(a, b): return a + b"],
    "several": ["first", "the second text", "and, after that, a third one"],
    "none": [],
    "unicode": ["grüße 👍", "你好，世界", "e\u0301"],
    "an empty one among them": ["first", "", "and a third"],
    "many": [f"text number {number}" * (1 + number % 3) for number in range(40)],
    "long": ["a word " * 200],
    "line ends": ["a\nb\r\nc\td"],
}


async def embedded(subject: Subject, texts: list[str]) -> Vectors | None:
    """The vectors; without the capability the refusal is checked instead."""
    async with asyncio.timeout(GUARD):
        if subject.embedder.can("embed"):
            return await subject.engine.embed(texts, subject.embedder)
        with pytest.raises(Invalid) as caught:
            await subject.engine.embed(texts, subject.embedder)
    check_error(caught.value)
    return None


@pytest.mark.parametrize("case", TEXTS)
async def test_each_text_has_its_vector(subject: Subject, case):
    if (vectors := await embedded(subject, TEXTS[case])) is not None:
        assert len(vectors) == len(TEXTS[case])
        assert len({len(vector) for vector in vectors}) <= 1
        assert all(math.isfinite(value) for vector in vectors for value in vector)


async def test_vectors_come_in_the_order_of_the_texts(subject: Subject):
    texts = ["a", "bb bb", "ccc ccc ccc", "dddd dddd dddd dddd"]
    if (vectors := await embedded(subject, texts)) is not None:
        backwards = await embedded(subject, texts[::-1])
        assert backwards is not None
        for one, other in zip(vectors, backwards[::-1], strict=True):
            assert one == pytest.approx(other, abs=0.02)
        assert vectors[0] != pytest.approx(vectors[3], abs=1e-6)


async def test_equal_texts_have_equal_vectors(subject: Subject):
    if (vectors := await embedded(subject, ["same text", "other", "same text"])) is not None:
        assert vectors[0] == pytest.approx(vectors[2], abs=0.02)


async def test_a_model_that_is_not_there_cannot_embed(subject: Subject):
    with pytest.raises(FiresideError) as caught:
        await subject.engine.embed(["text"], replace(subject.embedder, name="no-such-model"))
    assert isinstance(caught.value, ModelNotFound | Invalid)
    check_error(caught.value)

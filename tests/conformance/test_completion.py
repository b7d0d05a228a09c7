"""Code between a prefix and a suffix."""

import pytest

from fireside.core.errors import ContextTooLong, Invalid
from fireside.core.requests import CompletionRequest, Sampling, Snippet
from support.answers import Answer, check_error, failure, read
from support.subject import Says, Subject

PLACES = {
    "prefix and suffix": {"prefix": "def add(a, b):\n    return ", "suffix": "\n\nprint(add(1, 2))\n"},
    "no suffix": {"prefix": "import os\n", "suffix": ""},
    "no prefix": {"prefix": "", "suffix": "\n    return x\n"},
    "a path": {"prefix": "x = ", "path": "src/a.py"},
    "neighbours": {
        "prefix": "x = ",
        "path": "src/a.py",
        "neighbours": (Snippet("src/b.py", "y = 1\n"), Snippet("src/größe.py", "z = 2\n")),
    },
    "unicode": {"prefix": "s = '👍 你好", "suffix": "'\r\n"},
    "what looks like control tokens": {"prefix": "a = '<|fim_suffix|>", "suffix": "<|endoftext|>'"},
}


async def filled(subject: Subject, request: CompletionRequest) -> Answer | None:
    """The answer; without the capability the refusal is checked instead."""
    if subject.card.can("fim"):
        return await read(subject.engine.complete(request, subject.card))
    _, error = await failure(subject.engine.complete(request, subject.card))
    assert isinstance(error, Invalid)
    check_error(error)
    return None


@pytest.mark.parametrize("case", PLACES)
async def test_fills_in(subject: Subject, case):
    says = Says(text="a + b")
    answer = await filled(subject, subject.fill(says, **({"max_tokens": 16} | PLACES[case])))
    if answer is not None:
        assert answer.text == says.text or not subject.programmable
        assert answer.tool_calls == ()
        assert "<|fim_" not in answer.text


async def test_stops_at_the_limit_of_tokens(subject: Subject):
    answer = await filled(subject, subject.fill(Says(text=" ".join("abcdefghij" * 4)), max_tokens=5))
    if answer is not None:
        assert answer.finish == "length"
        assert 0 < answer.usage.completion_tokens <= 5


async def test_a_completion_tells_its_usage(subject: Subject):
    if (answer := await filled(subject, subject.fill(max_tokens=8))) is not None:
        assert answer.usage.prompt_tokens > 0
        assert answer.usage.completion_tokens > 0


async def test_a_completion_stops_where_it_is_told(subject: Subject):
    request = subject.fill(Says(text="one\ntwo"), max_tokens=64, sampling=Sampling(stop=("\n",)))
    if (answer := await filled(subject, request)) is not None:
        assert "\n" not in answer.text
        assert answer.text == "one" or not subject.programmable


async def test_a_prefix_that_does_not_fit_is_never_cut_silently(subject: Subject):
    request = subject.fill(prefix=subject.words(1.01))
    if not subject.card.can("fim"):
        await filled(subject, request)
        return
    _, error = await failure(subject.engine.complete(request, subject.card))
    assert isinstance(error, ContextTooLong)
    check_error(error)

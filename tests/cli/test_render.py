"""Drawing an answer: in a pipe as it is, in a terminal block by block."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fireside.cli.render import Blocks, PlainPage, draw, sources
from fireside.core.errors import ConnectionFailed
from fireside.core.requests import Usage
from fireside.core.turns import Citation, ContextGathered, TextDelta, TurnFailed, TurnFinished


async def stream(*events):
    for event in events:
        yield event


def test_a_finished_paragraph_is_given_out_and_the_rest_is_kept():
    blocks = Blocks()
    assert blocks.feed("one\n\ntw") == ["one\n\n"]
    assert blocks.pending == "tw"


def test_a_blank_line_inside_a_fence_does_not_cut_it():
    blocks = Blocks()
    assert blocks.feed("```python\na = 1\n\nb = 2\n") == []
    assert blocks.feed("```\n\nafter") == ["```python\na = 1\n\nb = 2\n```\n\n"]


def test_a_shorter_fence_inside_a_longer_one_is_text():
    blocks = Blocks()
    assert blocks.feed("````\n```\n\n```\n\n````\n\n") == ["````\n```\n\n```\n\n````\n\n"]


@given(st.lists(st.sampled_from(["a", "\n", "\n\n", "```", "```py\n", "~~~", " b", "é"]), max_size=40), st.randoms())
def test_blocks_lose_nothing_wherever_the_stream_is_cut(pieces, random):
    text = "".join(pieces)
    blocks, given_out, position = Blocks(), "", 0
    while position < len(text):
        step = random.randint(1, 7)
        given_out += "".join(blocks.feed(text[position : position + step]))
        position += step
    given_out += blocks.rest()
    assert given_out.split() == text.split()


async def test_a_pipe_gets_the_answer_as_it_is_and_a_last_newline():
    out = io.StringIO()
    with PlainPage(out) as page:
        await draw(stream(TextDelta("# one "), TextDelta("two"), TurnFinished(Usage(), "stop")), page)
    assert out.getvalue() == "# one two\n"


async def test_what_was_left_out_goes_to_standard_error(capsys: pytest.CaptureFixture[str]):
    with PlainPage(io.StringIO()) as page:
        await draw(stream(ContextGathered((), ("3 of 8 excerpts found",)), TurnFinished(Usage(), "stop")), page)
    assert capsys.readouterr().err == "left out: 3 of 8 excerpts found\n"


async def test_sources_name_places_and_who_wrote_it():
    places = (Citation("a.py", 3, 9, "load"),)
    finished = TurnFinished(Usage(10, 5), "length", "ollama", "qwen")
    drawn = await draw(stream(ContextGathered(places), TextDelta("x"), finished), None)
    assert sources(drawn).splitlines() == [
        "looked at:",
        "  a.py:3-9  load",
        "qwen on ollama: 10 + 5 tokens, cut at its limit",
    ]


async def test_an_error_is_collected_not_raised():
    drawn = await draw(stream(TextDelta("half"), TurnFailed(ConnectionFailed("gone"))), None)
    assert drawn.text == "half"
    assert drawn.error is not None
    assert drawn.error.message == "gone"

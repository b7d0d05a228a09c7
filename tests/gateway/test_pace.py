"""An answer that crawls is given up."""

import asyncio

import pytest

from fireside.core.errors import TimedOut
from fireside.core.messages import ToolSpec
from fireside.core.requests import Delta
from fireside.gateway.pace import Slow, kept_up
from support.gateways import Moody, ask, deltas_of, opened, text_of

CRAWLING = Slow(characters_per_second=1000, seconds=0.02)
END = Delta(finish_reason="stop")


class Drip(Moody):
    """Says ``first``, then a word, then nothing for ever."""

    def __init__(self, first: Delta, **options: object) -> None:
        super().__init__("x", **options)
        self.first = first
        self.left = 0

    async def stream(self, request, card):
        self.requests.append(request)
        try:
            yield [self.first]
            await asyncio.Event().wait()
        finally:
            self.left += 1


async def pieces(*waits: float, text: str = "word"):
    for wait in waits:
        await asyncio.sleep(wait)
        yield [Delta(text)]
    yield [END]


async def test_before_the_first_content_another_engine_is_asked():
    slow, quick = Drip(Delta(), name="a"), Moody("quick", name="b")
    async with opened(slow, quick, slow=CRAWLING) as (gateway, _):
        assert (await deltas_of(gateway.chat(ask())))[-1].engine == "b"
        assert slow.left == 1
        assert gateway._gates.of(slow).standing().slow


async def test_after_it_the_answer_ends_with_an_error():
    slow, quick = Drip(Delta("half a "), name="a"), Moody("quick", name="b")
    heard: list[str] = []

    async def read(gateway) -> None:
        async for delta in gateway.chat(ask()):
            heard.append(delta.text)

    async with opened(slow, quick, slow=CRAWLING) as (gateway, _):
        with pytest.raises(TimedOut, match="a wrote 0 characters in 0 s, fewer than 1000 a second") as caught:
            await read(gateway)
        assert caught.value.context["phase"] == "slow"
        assert heard == ["half a "]
        assert quick.requests == []


async def test_a_first_piece_may_take_its_time():
    stream = kept_up(pieces(0.05), CRAWLING, "a")
    assert [batch async for batch in stream] == [[Delta("word")], [END]]


async def test_who_keeps_up_is_let_be():
    stream = kept_up(pieces(*[0.004] * 20, text="x" * 100), CRAWLING, "a")
    assert len([batch async for batch in stream]) == 21


async def test_a_pause_after_much_text_is_no_crawl():
    stream = kept_up(pieces(0, 0, 0.05, text="x" * 500), CRAWLING, "a")
    assert len([batch async for batch in stream]) == 4


async def test_time_the_reader_takes_does_not_count():
    stream = kept_up(pieces(0, 0, 0), CRAWLING, "a")
    async for _ in stream:
        await asyncio.sleep(0.03)


async def test_a_tool_call_comes_whole_and_is_not_measured():
    slow = Drip(Delta(), name="a")
    tools = (ToolSpec("read", "", {"type": "object"}),)
    async with opened(slow, slow=CRAWLING) as (gateway, _):
        asked = asyncio.create_task(text_of(gateway.chat(ask(tools=tools))))
        done, _ = await asyncio.wait({asked}, timeout=0.08)
        assert not done
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)

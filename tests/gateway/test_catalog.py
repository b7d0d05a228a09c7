"""All models of all engines, remembered for a moment."""

import asyncio

from fireside.core.errors import ConnectionFailed
from fireside.engines.scripted import scripted_card
from fireside.gateway.catalog import Catalog
from support.gateways import Clock, Moody, until

REFUSED = ConnectionFailed("refused")


class Slow(Moody):
    def __init__(self, **options):
        super().__init__(**options)
        self.answer = asyncio.Event()

    async def models(self):
        await self.answer.wait()
        return await super().models()


async def test_a_list_is_asked_for_once_and_kept_for_five_seconds():
    engine, clock = Moody(name="a"), Clock()
    catalog = Catalog([engine], clock=clock)
    await asyncio.gather(*(catalog.listing() for _ in range(3)))
    clock.now += 4.9
    await catalog.listing()
    assert engine.listed == 1
    await catalog.aclose()


async def test_an_old_list_is_used_while_a_new_one_is_on_its_way():
    engine, clock = Moody(name="a"), Clock()
    catalog = Catalog([engine], clock=clock)
    await catalog.listing()
    engine._cards.append(scripted_card("a", "new"))
    clock.now += 6
    assert len((await catalog.listing()).cards["a"]) == 1
    await until(lambda: engine.listed == 2)
    assert len((await catalog.listing()).cards["a"]) == 2
    await catalog.aclose()


async def test_an_engine_that_is_down_is_left_out_and_its_error_kept():
    catalog = Catalog([Moody(name="a", listing_error=REFUSED), Moody(name="b")])
    listing = await catalog.listing()
    assert list(listing.cards) == ["b"]
    assert listing.errors == {"a": REFUSED}
    await catalog.aclose()


async def test_an_old_failure_is_not_believed_for_the_engine_may_have_been_started():
    engine, clock = Moody(name="a", listing_error=REFUSED), Clock()
    catalog = Catalog([engine], clock=clock)
    await catalog.listing()
    engine.listing_error = None
    clock.now += 6
    assert list((await catalog.listing()).cards) == ["a"]
    await catalog.aclose()


async def test_a_slow_engine_does_not_hold_up_who_does_not_need_it():
    slow = Slow(name="slow")
    catalog = Catalog([slow, Moody(name="quick")], patience=0.01)
    assert list((await catalog.listing()).cards) == ["quick"]
    slow.answer.set()
    assert set((await catalog.listing(needed=("slow",))).cards) == {"slow", "quick"}
    await catalog.aclose()


async def test_an_engine_that_is_needed_is_waited_for():
    slow = Slow(name="slow")
    catalog = Catalog([slow, Moody(name="quick")], patience=0.01)
    asyncio.get_running_loop().call_later(0.03, slow.answer.set)
    assert "slow" in (await catalog.listing(needed=("slow",))).cards
    await catalog.aclose()


async def test_who_leaves_while_the_list_is_on_its_way_does_not_stop_it():
    slow = Slow(name="slow")
    catalog = Catalog([slow])
    reader = asyncio.create_task(catalog.listing())
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    slow.answer.set()
    assert "slow" in (await catalog.listing()).cards
    assert slow.listed == 1
    await catalog.aclose()

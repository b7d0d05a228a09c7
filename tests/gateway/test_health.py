"""What is known of the engines, and that nobody waits for it."""

import asyncio

from fireside.core.errors import ConnectionFailed, ModelNotFound
from fireside.engines.engine import EngineHealth
from fireside.gateway.health import HealthBoard
from support.gateways import Clock, Moody, until


async def test_nothing_known_is_no_reason_to_wait():
    engine = Moody(name="a")
    board = HealthBoard([engine], clock=Clock())
    assert board.known("a") is None
    await until(lambda: engine.looked == 1)
    await until(lambda: board.known("a") is not None)
    await board.aclose()


async def test_a_look_is_shared_and_stays_good_for_two_seconds():
    engine, clock = Moody(name="a"), Clock()
    board = HealthBoard([engine], clock=clock)
    await asyncio.gather(*(board.look("a") for _ in range(5)))
    clock.now += 1.9
    await board.look("a")
    assert engine.looked == 1
    clock.now += 0.2
    await board.look("a")
    assert engine.looked == 2
    await board.aclose()


async def test_an_old_look_is_used_while_a_new_one_is_on_its_way():
    engine, clock = Moody(name="a"), Clock()
    board = HealthBoard([engine], clock=clock)
    await board.look("a")
    engine.state = EngineHealth("down", "gone")
    clock.now += 5
    assert board.known("a").state == "ready"
    await until(lambda: board.known("a").state == "down")
    await board.aclose()


async def test_knowledge_of_half_a_minute_ago_is_no_knowledge():
    clock = Clock()
    board = HealthBoard([Moody(name="a")], clock=clock)
    await board.look("a")
    clock.now += 30
    assert board.known("a") is None
    await board.aclose()


async def test_an_engine_that_does_not_say_how_it_is_counts_as_down():
    class Mute(Moody):
        async def health(self):
            await asyncio.Event().wait()

    board = HealthBoard([Mute(name="a")], limit=0.01)
    health = await board.look("a")
    assert (health.state, health.detail) == ("down", "no answer within 0.01 s")
    await board.aclose()


async def test_an_answered_request_is_as_good_as_a_look():
    engine = Moody(name="a")
    board = HealthBoard([engine], clock=Clock())
    board.succeeded("a", "m")
    assert board.known("a") == EngineHealth("ready", "answered a request", loaded=("m",))
    assert engine.looked == 0
    await board.aclose()


async def test_a_refused_connection_is_as_bad_as_a_look_and_a_missing_model_is_not():
    board = HealthBoard([Moody(name="a")], clock=Clock())
    await board.look("a")
    board.failed("a", ModelNotFound("no such model"))
    assert board.known("a").state == "ready"
    board.failed("a", ConnectionFailed("refused", remedy="ollama serve"))
    assert (board.known("a").state, board.known("a").remedy) == ("down", "ollama serve")
    await board.aclose()


async def test_who_sees_an_engine_answer_says_so():
    answered: list[str] = []
    engine = Moody(name="a")
    board = HealthBoard([engine], answered=answered.append)
    engine.state = EngineHealth("down")
    await board.look("a", refresh=True)
    assert answered == []
    engine.state = EngineHealth("idle")
    await board.look("a", refresh=True)
    assert answered == ["a"]
    await board.aclose()

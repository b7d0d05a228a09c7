"""The front of the inference wing as doors and agents use it."""

import asyncio
import random

import msgspec
import pytest

from fireside.core.errors import ConnectionFailed, Invalid, ModelNotFound, RateLimited
from fireside.core.requests import Priority
from fireside.engines.engine import Boundary, EngineHealth
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.gateway.routes import Choice
from fireside.gateway.settings import GatewaySettings
from fireside.gateway.signals import PullMoved, Queued, RequestFinished
from support.gateways import Moody, Unpullable, ask, card, deltas_of, opened, text_of, until

REFUSED = ConnectionFailed("refused", remedy="ollama serve")


async def test_models_of_all_engines_come_together_and_silent_engines_are_left_out():
    engines = [Moody(name="a"), Moody(name="b", listing_error=REFUSED), Moody(name="c")]
    async with opened(*engines) as (gateway, _):
        assert [(each.name, each.engine) for each in await gateway.models()] == [("script", "a"), ("script", "c")]


async def test_a_refresh_asks_again():
    engine = Moody(name="a")
    async with opened(engine) as (gateway, _):
        await gateway.models()
        await gateway.models()
        assert engine.listed == 1
        await gateway.models(refresh=True)
        assert engine.listed == 2


async def test_health_tells_of_every_engine_and_why_one_cannot_list_its_models():
    down = Moody(name="b")
    down.state = EngineHealth("down", "gone", "start it")
    async with opened(Moody(name="a"), down, Moody(name="c", listing_error=REFUSED)) as (gateway, _):
        health = await gateway.health()
        assert {name: found.state for name, found in health.items()} == {"a": "ready", "b": "down", "c": "down"}
        assert (health["b"].remedy, health["c"].remedy) == ("start it", "ollama serve")


async def test_the_card_for_an_alias_is_that_of_its_model():
    async with opened(ScriptedEngine(name="a", cards=[card("m", "a"), card("n", "a")]), aliases={"chat": "n"}) as (
        gateway,
        _,
    ):
        assert (await gateway.card_for("chat", needs=("chat",))).name == "n"


async def test_there_is_no_card_where_nothing_was_chosen_and_nothing_can():
    async with opened(Moody(name="a", listing_error=REFUSED), Moody(name="b", cards=[])) as (gateway, _):
        assert await gateway.card_for("chat", needs=("chat",)) is None


async def test_a_choice_that_cannot_be_had_is_an_error_and_not_no_card():
    async with opened(Moody(name="a", listing_error=REFUSED), aliases={"chat": "m@a"}) as (gateway, _):
        with pytest.raises(ConnectionFailed):
            await gateway.card_for("chat", needs=("chat",))
        with pytest.raises(ModelNotFound):
            await gateway.card_for("typo", needs=("chat",))


async def test_a_model_that_came_a_moment_ago_is_found():
    engine = Moody(name="a")
    async with opened(engine) as (gateway, _):
        await gateway.models()
        engine._cards.append(card("new", "a"))
        assert await text_of(gateway.chat(ask(model="new")))


async def test_tokens_are_counted_by_the_model_that_would_answer():
    async with opened(ScriptedEngine(name="a")) as (gateway, _):
        assert await gateway.count_tokens(ask("one two three")) == 3
        assert await gateway.count_tokens("one two") == 2
        assert await gateway.count_tokens("one two", model="typo") is None


async def test_a_pull_shows_its_progress_and_the_model_is_there_afterwards():
    engine = ScriptedEngine(name="b")
    async with opened(Unpullable(name="a"), engine) as (gateway, ears):
        await gateway.models()
        progress = [step async for step in gateway.pull("new")]
        assert [step.status for step in progress] == ["pulling", "success"]
        assert ("new", "b") in [(each.name, each.engine) for each in await gateway.models()]
        assert [(moved.engine, moved.model) for moved in ears.of(PullMoved)] == [("b", "new")] * 2


async def test_a_pull_goes_where_it_is_sent_and_never_to_the_cloud_unasked():
    sky = ScriptedEngine(name="sky", boundary=Boundary.CLOUD)
    async with opened(Unpullable(name="a"), sky) as (gateway, _):
        with pytest.raises(Invalid, match="a cannot pull"):
            await deltas_of(gateway.pull("new"))
        with pytest.raises(Invalid):
            await deltas_of(gateway.pull("new@a"))
        with pytest.raises(ModelNotFound, match="no engine called z"):
            await deltas_of(gateway.pull("new", "z"))
        await deltas_of(gateway.pull("new", "sky"))
        assert len(await sky.models()) == 2


async def test_who_waits_hears_the_place_in_line():
    hold = asyncio.Event()
    engine = ScriptedEngine(Reply("first", hold=hold), Reply("second"), name="a")
    async with opened(engine, parallel={"a": 1}) as (gateway, ears):
        first = asyncio.create_task(text_of(gateway.chat(ask())))
        await until(lambda: engine.running)
        second = asyncio.create_task(text_of(gateway.chat(ask(session="mine"))))
        await until(lambda: ears.of(Queued))
        assert ears.of(Queued) == [Queued(2, "a", 1, "mine")]
        hold.set()
        assert [await first, await second] == ["first", "second"]
        assert ears.of(RequestFinished)[1].queued > 0


async def test_typing_overtakes_a_batch_that_came_before():
    hold = asyncio.Event()
    engine = ScriptedEngine(Reply("first", hold=hold), Reply("again"), name="a")
    async with opened(engine, parallel={"a": 1}) as (gateway, _):
        tasks = [asyncio.create_task(text_of(gateway.chat(ask("first"))))]
        await until(lambda: engine.running)
        for text, priority in (("batch", Priority.BATCH), ("typing", Priority.TYPING)):
            tasks.append(asyncio.create_task(text_of(gateway.chat(ask(text, priority=priority)))))
            await until(lambda: gateway.load()["a"][1] == len(tasks) - 1)
        hold.set()
        await asyncio.gather(*tasks)
        assert [request.messages[0].content for request in engine.requests] == ["first", "typing", "batch"]


async def test_a_full_line_is_a_typed_error_with_a_time_to_come_back():
    hold = asyncio.Event()
    engine = ScriptedEngine(Reply("first", hold=hold), name="a")
    async with opened(engine, parallel={"a": 1}, max_waiting=0, retries=0) as (gateway, _):
        first = asyncio.create_task(text_of(gateway.chat(ask())))
        await until(lambda: engine.running)
        with pytest.raises(RateLimited) as caught:
            await text_of(gateway.chat(ask()))
        assert caught.value.context["retry_after"] > 0
        hold.set()
        await first


async def test_an_engine_says_itself_how_much_it_takes_at_once_and_the_user_knows_better():
    class Wide(ScriptedEngine):
        parallel = 3

    for settings, running in (({}, 3), ({"parallel": {"a": 4}}, 4)):
        hold = asyncio.Event()
        engine = Wide(*[Reply("x", hold=hold)] * 6, name="a")
        async with opened(engine, typing_slots=0, **settings) as (gateway, _):
            tasks = [asyncio.create_task(text_of(gateway.chat(ask()))) for _ in range(6)]
            await until(lambda: sum(gateway.load()["a"]) == 6)
            assert gateway.load()["a"] == (running, 6 - running)
            hold.set()
            await asyncio.gather(*tasks)


async def test_changed_settings_are_taken_over_while_running():
    async with opened(ScriptedEngine(name="a", says="from a"), ScriptedEngine(name="b", says="from b")) as (gateway, _):
        assert await text_of(gateway.chat(ask())) == "from a"
        gateway.configure(GatewaySettings(order=("b",)), {})
        assert await text_of(gateway.chat(ask())) == "from b"
        gateway.configure(GatewaySettings(), {"chat": "script@b"})
        assert await text_of(gateway.chat(ask())) == "from b"


async def test_a_route_sends_its_requests_where_its_weights_say():
    routes = {"review": (Choice(model="script@a", weight=0), Choice(model="script@b"))}
    engines = [ScriptedEngine(name="a", says="from a"), ScriptedEngine(name="b", says="from b")]
    async with opened(*engines, routes=routes, rng=random.Random(0)) as (gateway, _):
        assert await text_of(gateway.chat(ask(model="review"))) == "from b"


async def test_closing_twice_is_safe_and_leaves_no_task_behind():
    engine = Moody(name="a")
    before = asyncio.all_tasks()
    async with opened(engine, Moody(name="b")) as (gateway, _):
        await deltas_of(gateway.chat(ask()))
        await gateway.aclose()
        assert asyncio.all_tasks() == before
        await gateway.aclose()
    assert engine.closed == 3


async def test_nothing_is_asked_of_any_engine_before_the_first_request():
    engine = Moody(name="a")
    async with opened(engine):
        await asyncio.sleep(0)
        assert (engine.listed, engine.looked) == (0, 0)


@pytest.mark.parametrize("seed", range(4))
async def test_no_slot_is_lost_whoever_leaves_and_whenever(seed):
    dice = random.Random(seed)
    engines = [ScriptedEngine("one two three", name=name) for name in "ab"]
    async with opened(*engines, parallel={"a": 2, "b": 1}) as (gateway, _):

        async def visit() -> None:
            stream = gateway.chat(
                ask(
                    model=f"script@{dice.choice('ab')}",
                    priority=dice.choice(list(Priority)),
                    supersedes=dice.choice([None, "k"]),
                )
            )
            try:
                async for _ in stream:
                    if dice.random() < 0.1:
                        break
            finally:
                await stream.aclose()

        tasks = [asyncio.create_task(visit()) for _ in range(60)]
        while not all(task.done() for task in tasks):
            if dice.random() < 0.2:
                dice.choice(tasks).cancel()
            await asyncio.sleep(0)
        assert {type(task.exception()) for task in tasks if not task.cancelled()} == {type(None)}
        assert gateway.load() == {"a": (0, 0), "b": (0, 0)}
        await until(lambda: [engine.running for engine in engines] == [0, 0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_waiting": -1},
        {"retries": 99},
        {"parallel": {"a": 0}},
        {"routes": {"x": [{"model": "m", "weight": -1}]}},
        {"cluod": True},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, GatewaySettings)

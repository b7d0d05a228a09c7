"""A prompt never travels further than the user said, whatever is configured and whatever fails."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from fireside.core.errors import ERRORS, ErrorKind, FiresideError
from fireside.core.requests import ChatRequest, Sampling
from fireside.engines.engine import Boundary
from fireside.engines.scripted import Reply
from fireside.gateway.experiments import Arm, Experiment
from fireside.gateway.hedge import Hedge
from fireside.gateway.pace import Slow
from support.gateways import Moody, ask, card, deltas_of, fill, opened

NAMES = ("near", "lan", "sky", "moon")
MODELS = ("small", "big")
BOUNDARIES = st.sampled_from(Boundary)
FAULTS = st.sampled_from([None, *(kind for kind in ErrorKind)])
TRIAL = Experiment(alias="chat", arms={"a": Arm(model="small"), "b": Arm(model="big@lan"), "c": Arm(model="gone")})
LOCAL_TARGETS = st.sampled_from(["chat", "small", "big", "typo", "small@near", "big@lan", "@near", "chat@lan", "task"])


@st.composite
def houses(draw):
    """Engines with any boundary, any fault in answering and in listing; a wish that names no engine in the cloud."""
    engines = []
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True)):
        boundary = (
            Boundary.CLOUD if name in ("sky", "moon") else draw(st.sampled_from((Boundary.MACHINE, Boundary.NETWORK)))
        )
        engines.append((name, boundary, draw(FAULTS), draw(st.booleans())))
    aliases = draw(
        st.dictionaries(st.just("chat"), st.sampled_from(["small", "big@near", "typo", "small@lan", "gone@nowhere"]))
    )
    wish = draw(LOCAL_TARGETS)
    options = {key: draw(st.booleans()) for key in ("fallback", "pull_missing", "shrink_context")}
    options["hedge"] = draw(st.sampled_from([None, Hedge(after=0.0001, budget=1)]))
    options["slow"] = draw(st.sampled_from([None, Slow(characters_per_second=1, seconds=5)]))
    options["weights"] = {name: draw(st.sampled_from((0.5, 100.0))) for name in NAMES}
    options["experiments"] = draw(st.sampled_from([{}, {"trial": TRIAL}]))
    return engines, aliases, wish, options


def build(engines) -> list[Moody]:
    built = []
    for name, boundary, fault, mute in engines:
        error = ERRORS[fault]("as drawn") if fault else None
        listing = ERRORS[ErrorKind.CONNECTION]("as drawn") if mute else None
        cards = [card(model, name, "chat", "tools", "fim", "embed") for model in MODELS]
        built.append(
            Moody(Reply("hello", error=error), name=name, boundary=boundary, cards=cards, listing_error=listing)
        )
    return built


async def ask_all_ways(engines, aliases, wish, options) -> None:
    async with opened(*engines, aliases=aliases, retries=0, patience=0, **options) as (gateway, _):
        await ask_each_way(gateway, wish)
        # What was learnt of the first set must not open a way in the second.
        gateway.exchange(engines[::-1])
        await ask_each_way(gateway, wish)


async def ask_each_way(gateway, wish) -> None:
    for way in (
        lambda: deltas_of(gateway.chat(ask("words " * 50, model=wish))),
        lambda: deltas_of(gateway.chat(ask(model=wish, session="s", client="c"))),
        lambda: deltas_of(gateway.complete(fill(model="complete" if wish == "chat" else wish, supersedes="d"))),
        lambda: gateway.warm(ChatRequest(ask().messages, model=wish)),
        lambda: gateway.embed(["text"], "embed" if wish == "chat" else wish),
        lambda: gateway.count_tokens("text", model=wish),
    ):
        try:
            await way()
        except FiresideError:
            continue


@settings(max_examples=60, deadline=None)
@given(houses())
def test_without_a_yes_no_prompt_reaches_the_cloud(house):
    drawn, aliases, wish, options = house
    engines = build(drawn)
    asyncio.run(ask_all_ways(engines, aliases, wish, options))
    for engine in engines:
        if engine.boundary is Boundary.CLOUD:
            assert engine.requests == []
            assert engine.warmed == []


@settings(max_examples=30, deadline=None)
@given(houses())
def test_a_yes_to_one_engine_in_the_cloud_is_no_yes_to_another(house):
    drawn, _, _, options = house
    engines = build(drawn)
    asyncio.run(ask_all_ways(engines, {"chat": "small@sky"}, "chat", options | {"experiments": {}}))
    for engine in engines:
        if engine.name == "moon":
            assert engine.requests == []
            assert engine.warmed == []


async def test_the_property_could_fail_for_with_a_yes_the_cloud_answers():
    near = Moody(Reply(error=ERRORS[ErrorKind.RESOURCE]("no memory")), name="near")
    sky = Moody("hello", name="sky", boundary=Boundary.CLOUD)
    async with opened(near, sky, cloud=True) as (gateway, _):
        assert (await deltas_of(gateway.chat(ask())))[-1].engine == "sky"


async def test_an_answer_from_the_cloud_is_not_replayed_for_a_request_that_stays_here():
    twin = {"sha256": "same weights"}
    near = Moody("near", name="near", cards=[card("m", "near", **twin)])
    sky = Moody("sky", name="sky", boundary=Boundary.CLOUD, cards=[card("m", "sky", **twin)])
    async with opened(near, sky) as (gateway, _):
        fixed = {"sampling": Sampling(temperature=0)}
        assert (await deltas_of(gateway.chat(ask(model="m@sky", **fixed))))[0].text == "sky"
        assert (await deltas_of(gateway.chat(ask(model="m@near", **fixed))))[0].text == "near"


async def test_a_model_an_experiment_names_in_the_cloud_is_a_yes_to_that_engine_alone():
    arms = {"here": Arm(model="m@near"), "there": Arm(model="m@sky")}
    engines = [
        Moody(name, name=name, boundary=far, cards=[card("m", name)])
        for name, far in (("near", Boundary.MACHINE), ("sky", Boundary.CLOUD), ("moon", Boundary.CLOUD))
    ]
    trial = {"trial": Experiment(alias="chat", arms=arms, sticky="none")}
    async with opened(*engines, experiments=trial) as (gateway, _):
        answered = {(await deltas_of(gateway.chat(ask())))[-1].engine for _ in range(40)}
    assert answered == {"near", "sky"}


async def test_a_hedge_of_a_request_that_stays_here_stays_here():
    hold = asyncio.Event()
    near = Moody(Reply("near", hold=hold), name="near", cards=[card("m", "near")])
    lan = Moody("lan", name="lan", boundary=Boundary.NETWORK, cards=[card("m", "lan")])
    sky = Moody("sky", name="sky", boundary=Boundary.CLOUD, cards=[card("m", "sky")])
    async with opened(near, lan, sky, hedge=Hedge(after=0.0001, budget=1), cloud=True) as (gateway, _):
        asyncio.get_running_loop().call_later(0.01, hold.set)
        assert (await deltas_of(gateway.chat(ask(model="m@near"))))[-1].engine == "near"
    assert [lan.requests, sky.requests] == [[], []]

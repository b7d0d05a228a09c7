"""A prompt never travels further than the user said, whatever is configured and whatever fails."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from fireside.core.errors import ERRORS, ErrorKind, FiresideError
from fireside.core.requests import ChatRequest, Sampling
from fireside.engines.engine import Boundary
from fireside.engines.scripted import Reply
from support.gateways import Moody, ask, card, deltas_of, opened

NAMES = ("near", "lan", "sky", "moon")
MODELS = ("small", "big")
BOUNDARIES = st.sampled_from(Boundary)
FAULTS = st.sampled_from([None, *(kind for kind in ErrorKind)])
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
    async with opened(*engines, aliases=aliases, retries=0, **options) as (gateway, _):
        for way in (
            lambda: deltas_of(gateway.chat(ask("words " * 50, model=wish))),
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
    asyncio.run(ask_all_ways(engines, {"chat": "small@sky"}, "chat", options))
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

"""Which model may answer, best first."""

import random
from collections import Counter

import pytest

from fireside.core.errors import ConnectionFailed, Invalid, ModelNotFound, NotPermitted
from fireside.core.messages import Message, ToolSpec
from fireside.core.requests import ChatRequest, CompletionRequest, ResponseFormat
from fireside.engines.engine import Boundary, EngineHealth
from fireside.engines.scripted import ScriptedEngine
from fireside.gateway.balance import Standing
from fireside.gateway.catalog import Listing
from fireside.gateway.plans import Wanted, wanted_by
from fireside.gateway.router import Router
from fireside.gateway.routes import Choice
from support.gateways import card

CHAT = Wanted("chat", "chat", frozenset(("chat",)))


def named(model: str, *needs: str) -> Wanted:
    return Wanted("chat", model, frozenset(needs or ("chat",)))


def house(*cards, clouds=(), errors=None, aliases=None, routes=None, **options):
    """A router over one engine per name in the cards, and what they list."""
    names = list(dict.fromkeys([*(each.engine for each in cards), *(errors or {})]))
    engines = [
        ScriptedEngine(name=name, boundary=Boundary.CLOUD if name in clouds else Boundary.MACHINE) for name in names
    ]
    router = Router(engines, aliases=aliases or {}, routes=routes or {}, **options)
    listed = {
        name: tuple(each for each in cards if each.engine == name) for name in names if name not in (errors or {})
    }
    return router, Listing(listed, errors or {})


def labels(built, wanted=CHAT, request=None) -> list[str]:
    router, listing = built
    return [candidate.label for candidate in router.plan(wanted, listing, request).candidates]


def failure(built, wanted):
    router, listing = built
    plan = router.plan(wanted, listing)
    assert plan.candidates == ()
    return plan.error


def test_without_a_choice_the_first_engine_that_can_goes_first():
    assert labels(house(card("e5", "a", "embed"), card("m", "b"), card("n", "c"))) == ["m@b", "n@c"]


def test_the_order_of_the_user_goes_before_the_order_of_the_configuration():
    assert labels(house(card("m", "a"), card("n", "b"), order=("b",))) == ["n@b", "m@a"]


def test_an_alias_goes_first_and_others_stand_in_behind_it():
    assert labels(house(card("m", "a"), card("n", "b"), aliases={"chat": "n@b"})) == ["n@b", "m@a"]


def test_an_alias_may_lead_to_an_alias_but_not_in_a_circle():
    assert labels(house(card("m", "a"), card("n", "b"), aliases={"chat": "fast", "fast": "n@b"}))[0] == "n@b"
    with pytest.raises(Invalid, match="circle"):
        labels(house(card("m", "a"), aliases={"x": "y", "y": "x"}), named("x"))


def test_an_engine_alone_means_the_best_model_there():
    cards = (
        card("m", "a"),
        card("small", "b", parameters=1),
        card("large", "b", parameters=7),
        card("e5", "c", "embed"),
    )
    assert labels(house(*cards), named("@b")) == ["large@b"]
    assert labels(house(*cards, aliases={"chat": "chat@b"}))[0] == "large@b"
    assert failure(house(*cards), named("@c")).message == "no model on c can chat"


@pytest.mark.parametrize("name", ["", "@", "@@", "m@", " "])
def test_a_name_that_is_none_is_no_crash(name):
    router, listing = house(card("m", "a"))
    plan = router.plan(named(name), listing)
    assert plan.candidates or isinstance(plan.error, ModelNotFound)


def test_on_this_machine_the_best_model_is_one_that_fits_in_its_memory():
    cards = (card("small", "a", parameters=1, size=10), card("large", "a", parameters=7, size=70))
    assert labels(house(*cards, memory=40)) == ["small@a"]
    assert labels(house(*cards, memory=80)) == ["large@a"]


def test_a_name_with_its_engine_means_that_one_only():
    assert labels(house(card("m", "a"), card("m", "b")), named("m@b")) == ["m@b"]


def test_a_name_alone_means_every_engine_that_has_it_and_no_other_model():
    assert labels(house(card("m", "a"), card("n", "a"), card("m", "b")), named("m")) == ["m@a", "m@b"]


def test_of_two_engines_with_the_model_the_one_that_has_it_loaded_goes_first():
    states = {"a": EngineHealth("idle"), "b": EngineHealth("ready", loaded=("m",))}
    assert labels(house(card("m", "a"), card("m", "b"), health=lambda: states), named("m")) == ["m@b", "m@a"]


def test_of_two_engines_with_the_model_the_less_busy_goes_first():
    loads = {"a": Standing(1.5), "b": Standing(0.5)}
    built = house(card("m", "a"), card("m", "b"), standing=lambda engine: loads[engine.name])
    assert labels(built, named("m")) == ["m@b", "m@a"]


def test_among_stand_ins_a_loaded_one_goes_first_but_what_is_loaded_does_not_choose_for_the_user():
    states = {"a": EngineHealth("ready", loaded=("n",))}
    cards = (card("m", "a"), card("n", "a"), card("o", "b"))
    assert labels(house(*cards, health=lambda: states, aliases={"chat": "o@b"})) == ["o@b", "n@a"]
    assert labels(house(*cards, health=lambda: states))[0] == "m@a"


def test_an_engine_known_to_be_down_goes_last_and_it_is_said_why():
    states = {"a": EngineHealth("down", "refused", "ollama serve"), "b": EngineHealth("ready")}
    router, listing = house(card("m", "a"), card("n", "b"), health=lambda: states)
    plan = router.plan(CHAT, listing)
    assert [candidate.label for candidate in plan.candidates] == ["n@b", "m@a"]
    assert plan.skipped[0].label == "m@a"
    assert plan.skipped[0].error.remedy == "ollama serve"


def test_the_only_candidate_is_asked_even_when_it_seems_down():
    assert labels(house(card("m", "a"), health=lambda: {"a": EngineHealth("down")})) == ["m@a"]


@pytest.mark.parametrize(
    ("request_", "needs"),
    [
        (ChatRequest((Message("user", "hi"),)), {"chat"}),
        (ChatRequest((Message("user", "hi"),), tools=(ToolSpec("t", "", {}),)), {"chat", "tools"}),
        (ChatRequest((Message("user", "hi"),), tools=(ToolSpec("t", "", {}),), tool_choice="none"), {"chat"}),
        (ChatRequest((Message("user", "hi"),), response_format=ResponseFormat()), {"chat", "json_schema"}),
        (ChatRequest((Message("user", "hi", images=(b"png",)),)), {"chat", "vision"}),
        (ChatRequest((Message("user", "hi"),), reasoning="high"), {"chat"}),
        (CompletionRequest("a", "b"), {"fim"}),
        (CompletionRequest("a"), set()),
    ],
)
def test_what_a_request_needs_follows_from_the_request(request_, needs):
    assert wanted_by(request_).needs == needs


def test_a_model_that_cannot_do_it_gives_way_to_one_that_can():
    built = house(card("m", "a"), card("n", "b", "chat", "tools"), aliases={"chat": "m@a"})
    assert labels(built, Wanted("chat", "chat", frozenset(("chat", "tools")))) == ["n@b"]


def test_a_named_model_that_cannot_do_it_is_an_error_that_says_so():
    error = failure(house(card("m", "a"), card("n", "b", "chat", "tools")), named("m@a", "chat", "tools"))
    assert isinstance(error, Invalid)
    assert error.message == "m cannot call tools"


def test_a_named_model_that_cannot_write_is_an_error_that_says_so():
    wanted = Wanted("complete", "e5@a", one_of=frozenset(("fim", "chat")))
    assert failure(house(card("e5", "a", "embed")), wanted).message == "e5 cannot write text"


def test_thinking_is_preferred_but_not_demanded():
    wanted = wanted_by(ChatRequest((Message("user", "hi"),), reasoning="high"))
    assert labels(house(card("m", "a"), card("n", "a", "chat", "thinking")), wanted) == ["n@a"]
    assert labels(house(card("m", "a")), wanted) == ["m@a"]


def test_a_prefix_without_suffix_is_completed_by_any_model_that_writes():
    wanted = wanted_by(CompletionRequest("a"))
    assert labels(house(card("e5", "a", "embed"), card("m", "b")), wanted) == ["m@b"]
    assert labels(house(card("m", "a"), card("coder", "a", "fim")), wanted) == ["coder@a"]


def test_a_name_nobody_has_is_an_error_with_the_closest_names():
    error = failure(house(card("qwen2.5-coder:7b", "a")), named("qwen2.5-codr:7b"))
    assert isinstance(error, ModelNotFound)
    assert "qwen2.5-coder:7b" in error.message + error.remedy


def test_an_engine_nobody_has_is_an_error_with_those_there_are():
    error = failure(house(card("m", "a"), card("m", "b")), named("m@c"))
    assert "no engine called c (there are: a, b)" in error.message


def test_the_error_of_an_engine_that_does_not_answer_is_the_answer_to_its_name():
    refused = ConnectionFailed("refused", remedy="ollama serve")
    assert failure(house(card("m", "a"), errors={"b": refused}), named("n@b")) is refused


def test_a_missing_name_says_which_engines_could_not_be_asked():
    error = failure(house(card("m", "a"), errors={"b": ConnectionFailed("refused")}), named("zzz"))
    assert "b does not answer" in error.message


def test_when_nothing_can_do_it_the_error_says_what():
    error = failure(house(card("m", "a")), Wanted("embed", "embed", frozenset(("embed",))))
    assert error.message == "no model here can make embeddings"


CLOUDY = {"clouds": ("sky",)}


def test_the_cloud_does_not_stand_in_unasked():
    assert labels(house(card("m", "a"), card("gpt", "sky"), **CLOUDY)) == ["m@a"]


def test_the_cloud_stands_in_last_when_allowed():
    assert labels(house(card("gpt", "sky"), card("m", "a"), cloud=True, **CLOUDY)) == ["m@a", "gpt@sky"]


def test_a_model_in_the_cloud_answers_when_it_is_named_with_its_engine():
    assert labels(house(card("m", "a"), card("gpt", "sky"), **CLOUDY), named("gpt@sky")) == ["gpt@sky"]
    assert labels(house(card("m", "a"), card("gpt", "sky"), aliases={"chat": "gpt@sky"}, **CLOUDY)) == [
        "gpt@sky",
        "m@a",
    ]


def test_a_name_alone_is_no_yes_to_the_cloud():
    error = failure(house(card("m", "a"), card("gpt", "sky"), **CLOUDY), named("gpt"))
    assert isinstance(error, NotPermitted)
    assert "gpt@sky" in error.remedy


def test_a_yes_to_one_model_in_the_cloud_is_no_yes_to_its_neighbours():
    built = house(card("dear", "sky"), card("cheap", "sky"), card("m", "a"), aliases={"chat": "cheap@sky"}, **CLOUDY)
    assert labels(built) == ["cheap@sky", "m@a"]


def test_embeddings_of_a_chosen_model_are_never_made_by_another():
    built = house(card("e5", "a", "embed"), card("bge", "b", "embed"), aliases={"embed": "e5@a"})
    assert labels(built, Wanted("embed", "embed", frozenset(("embed",)))) == ["e5@a"]


ROUTES = {"review": (Choice(model="m@a", weight=3), Choice(model="n@b"), Choice(model="o@c", weight=0))}


def test_a_route_shares_its_requests_by_weight():
    built = house(card("m", "a"), card("n", "b"), card("o", "c"), routes=ROUTES, rng=random.Random(1))
    firsts = Counter(labels(built, named("review"))[0] for _ in range(400))
    assert 270 <= firsts["m@a"] <= 330
    assert firsts["m@a"] + firsts["n@b"] == 400


def test_a_choice_without_weight_is_asked_last():
    built = house(card("m", "a"), card("n", "b"), card("o", "c"), routes=ROUTES, rng=random.Random(1), fallback=False)
    assert {labels(built, named("review"))[-1] for _ in range(20)} == {"o@c"}


def test_one_session_keeps_to_one_model_of_a_route():
    built = house(card("m", "a"), card("n", "b"), card("o", "c"), routes=ROUTES)
    for session in map(str, range(10)):
        request = ChatRequest((Message("user", "hi"),), session=session)
        assert len({labels(built, named("review"), request)[0] for _ in range(10)}) == 1

"""An alias's requests are shared among models, who asks keeps to one, and what comes of it is counted."""

import random
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fireside.core.errors import ConnectionFailed, FiresideError, Invalid
from fireside.core.messages import ToolCall, ToolSpec
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.gateway.experiments import Arm, Experiment, Promoted, arms_of, drawn, promote, rollback
from fireside.gateway.settings import GatewaySettings
from fireside.gateway.signals import Assigned, RequestStarted
from support.gateways import ask, card, deltas_of, opened

DICE = random.Random(1)


def shared(old: float = 1, new: float = 1, sticky: str = "key") -> Experiment:
    arms = {"old": Arm(model="m@a", weight=old), "new": Arm(model="n@b", weight=new)}
    return Experiment(alias="chat", arms=arms, sticky=sticky)


def arm_of(experiment: Experiment, **who: str) -> str:
    return drawn("trial", experiment, ask(**who), DICE)[0]


def engines(**replies: object) -> list[ScriptedEngine]:
    cards = {"a": "m", "b": "n"}
    can = ("chat", "tools")
    return [
        ScriptedEngine(replies.get(name, name), name=name, cards=[card(model, name, *can)])
        for name, model in cards.items()
    ]


def test_a_key_keeps_its_arm_and_keys_are_shared_by_weight():
    experiment = shared(3, 1)
    arms = {str(n): arm_of(experiment, client=str(n)) for n in range(400)}
    assert all(arm_of(experiment, client=key) == arm for key, arm in arms.items())
    assert 260 <= Counter(arms.values())["old"] <= 340


@given(st.text(), st.floats(0, 10), st.floats(0.1, 10), st.floats(0, 10))
def test_a_key_stays_with_its_arm_as_long_as_weights_only_grow_towards_it(key, old, new, more):
    if key and arm_of(shared(old, new), client=key) == "new":
        assert arm_of(shared(old, new + more), client=key) == "new"
        assert arm_of(shared(old / 2, new), client=key) == "new"


def test_what_sticks_is_what_was_said():
    by_session, by_nothing = shared(sticky="session"), shared(sticky="none")
    assert len({arm_of(by_session, client=str(n), session="s") for n in range(20)}) == 1
    assert len({arm_of(by_session, client="c", session=str(n)) for n in range(20)}) == 2
    assert len({arm_of(by_nothing, client="c", session="s") for _ in range(40)}) == 2
    assert len({arm_of(shared(), session="s") for _ in range(20)}) == 1


def test_an_arm_without_weight_gets_nothing():
    assert drawn("trial", shared(0, 1), ask(client="c"), DICE) == ["new"]
    assert [share for _, _, share in arms_of(shared(3, 1))] == [0.75, 0.25]


@pytest.mark.parametrize("table", [{"alias": "chat", "arms": {}}, {"alias": "embed", "arms": {"a": {"model": "m"}}}])
def test_an_experiment_that_makes_no_sense_is_refused(table):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(table, Experiment)


def test_an_alias_is_in_one_experiment_at_a_time():
    with pytest.raises(ValueError, match="one and two both share out chat"):
        GatewaySettings(experiments={"one": shared(), "two": shared()})


async def test_requests_go_to_their_arm_and_are_told_so():
    async with opened(*engines(), experiments={"trial": shared()}) as (gateway, ears):
        for n in range(30):
            answer = await deltas_of(gateway.chat(ask(client=str(n))))
            said = ears.of(Assigned)[-1]
            assert (said.experiment, {"old": "a", "new": "b"}[said.arm]) == ("trial", answer[-1].engine)
        assert {said.arm for said in ears.of(Assigned)} == {"old", "new"}


async def test_other_names_are_in_no_experiment():
    async with opened(*engines(), experiments={"trial": shared()}) as (gateway, ears):
        assert (await deltas_of(gateway.chat(ask(model="m@a"))))[-1].engine == "a"
        assert ears.of(Assigned) == []


async def test_a_card_is_that_of_the_heaviest_arm():
    async with opened(*engines(), experiments={"trial": shared(1, 3)}) as (gateway, _):
        assert (await gateway.card_for("chat")).name == "n"


async def test_what_comes_of_an_arm_is_counted():
    tools = (ToolSpec("read", "", {"type": "object"}),)
    called = Reply(tool_calls=(ToolCall("1", "read", "{}"),))
    async with opened(*engines(b=called), experiments={"trial": shared(0, 1)}) as (gateway, ears):
        await deltas_of(gateway.chat(ask(tools=tools)))
        gateway.feedback(ears.of(RequestStarted)[-1].request, True)
        gateway.feedback("trial", False, request=ask(client="c"))
        found = gateway.experiments.snapshot()["trial"]["new"]
    assert (found["requests"], found["errors"]) == (1, 0)
    assert found["tool_calls"] == {"valid": 1, "repaired": 0}
    assert found["feedback"] == {"accepted": 1, "rejected": 1}
    assert found["first_token_seconds"]["p95"] > 0


async def test_a_call_that_was_repaired_is_counted_as_such():
    tools = (ToolSpec("read", "", {"type": "object"}),)
    printed = Reply('<tool_call>{"name": "read", "arguments": {}}</tool_call>')
    async with opened(*engines(b=printed), experiments={"trial": shared(0, 1)}) as (gateway, _):
        assert (await deltas_of(gateway.chat(ask(tools=tools))))[-1].finish_reason == "tool_calls"
        assert gateway.experiments.snapshot()["trial"]["new"]["tool_calls"] == {"valid": 0, "repaired": 1}


async def test_when_an_arm_fails_the_other_answers_and_it_counts_against_the_first():
    broken = Reply(error=ConnectionFailed("gone", cause="refused"))
    async with opened(*engines(a=broken), experiments={"trial": shared(1, 0.001)}, retries=0) as (gateway, _):
        answers = [(await deltas_of(gateway.chat(ask(client=str(n)))))[-1].engine for n in range(5)]
        found = gateway.experiments.snapshot()["trial"]
    assert answers == ["b"] * 5
    assert (found["old"]["requests"], found["old"]["errors"]) == (5, 5)
    assert found["new"]["requests"] == 0


async def test_a_failure_of_all_is_an_error_of_the_arm():
    broken = Reply(error=ConnectionFailed("gone", cause="refused"))
    async with opened(*engines(a=broken, b=broken), experiments={"trial": shared(1, 0)}, retries=0) as (gateway, _):
        with pytest.raises(FiresideError):
            await deltas_of(gateway.chat(ask()))
        assert gateway.experiments.snapshot()["trial"]["old"]["errors"] == 1


async def test_figures_stay_when_settings_change_and_go_with_the_experiment():
    async with opened(*engines(), experiments={"trial": shared(1, 0)}) as (gateway, _):
        await deltas_of(gateway.chat(ask()))
        gateway.configure(GatewaySettings(experiments={"trial": shared(1, 1)}), {})
        assert gateway.experiments.snapshot()["trial"]["old"]["requests"] == 1
        gateway.configure(GatewaySettings(), {})
        assert gateway.experiments.snapshot() == {}


async def test_feedback_for_what_is_not_known_is_refused():
    async with opened(*engines()) as (gateway, _):
        for about in (7, "trial"):
            with pytest.raises(Invalid):
                gateway.feedback(about, True)


def test_a_promotion_makes_the_alias_mean_the_arm_and_keeps_what_it_meant():
    changes = promote({"trial": shared()}, "trial", "new", aliases={"chat": "x"})
    assert changes == {
        ("gateway", "promoted", "trial"): {"alias": "chat", "arm": "new", "former": "x"},
        ("models", "chat"): "n@b",
        ("gateway", "experiments", "trial"): None,
    }
    with pytest.raises(Invalid, match="no arm third"):
        promote({"trial": shared()}, "trial", "third", aliases={})
    with pytest.raises(Invalid, match="no experiment other"):
        promote({"trial": shared()}, "other", "new", aliases={})


def test_a_rollback_brings_back_what_was_before():
    decided = {"trial": Promoted(alias="chat", arm="new", former="x")}
    assert rollback({}, decided, "trial") == {("models", "chat"): "x", ("gateway", "promoted", "trial"): None}
    nothing = {"trial": Promoted(alias="chat", arm="new")}
    assert rollback({}, nothing, "trial")[("models", "chat")] is None
    assert rollback({"trial": shared()}, {}, "trial") == {("gateway", "experiments", "trial"): None}

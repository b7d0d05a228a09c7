"""Several engines have the same model."""

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fireside.core.errors import ConnectionFailed
from fireside.core.events import EventBus
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, CompletionRequest
from fireside.engines.engine import EngineHealth
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.gateway.balance import Replica, Standing, arranged
from fireside.gateway.breaker import Breaker
from fireside.gateway.gates import FORGOTTEN, Gate
from fireside.gateway.plans import Candidate
from fireside.gateway.queue import Queue
from support.gateways import Clock, Moody, ask, card, deltas_of, opened, until

IDLE = Standing()


def replica(name: str, standing: Standing = IDLE, **fields: object) -> Replica:
    return Replica(Candidate(ScriptedEngine(name=name), card("m", name)), standing, **fields)


def order(*replicas: Replica, request=None) -> list[str]:
    return [candidate.engine.name for candidate in arranged(replicas, request)]


def talk(session: str | None = None, system: str = "", question: str = "hi") -> ChatRequest:
    messages = (Message("system", system),) if system else ()
    return ChatRequest((*messages, Message("user", question)), session=session)


def test_where_the_model_is_loaded_goes_before_where_it_is_not_however_busy():
    assert order(replica("a", loaded=False), replica("b", Standing(0.9))) == ["b", "a"]


def test_a_free_slot_goes_before_a_line():
    assert order(replica("a", Standing(1.2)), replica("b", Standing(0.9)), request=talk("s")) == ["b", "a"]


def test_an_engine_that_is_left_alone_goes_last():
    resting = Standing(refuses=True)
    assert order(replica("a", resting), replica("b", loaded=False)) == ["b", "a"]


def test_the_less_busy_goes_first():
    assert order(replica("a", Standing(0.9)), replica("b", Standing(0.1)), request=talk("s")) == ["b", "a"]


def test_weight_makes_an_engine_seem_less_busy():
    assert order(replica("a", Standing(0.5)), replica("b", Standing(0.6), weight=10)) == ["b", "a"]


def test_an_engine_that_answers_late_counts_as_busier():
    slow, quick = Standing(0.2, first_token=4.0), Standing(0.3, first_token=1.0)
    assert order(replica("a", slow), replica("b", quick)) == ["b", "a"]
    assert order(replica("a", Standing(slow=True)), replica("b", Standing(0.1))) == ["b", "a"]


def test_one_conversation_stays_where_it_is_and_all_together_share_the_engines():
    engines = [replica(name) for name in "abc"]
    firsts = {str(n): order(*engines, request=talk(str(n)))[0] for n in range(300)}
    assert all(order(*engines, request=talk(session))[0] == first for session, first in firsts.items())
    assert all(60 <= count <= 140 for count in Counter(firsts.values()).values())


def test_conversations_are_shared_by_weight():
    engines = [replica("a", weight=3), replica("b")]
    firsts = Counter(order(*engines, request=talk(str(n)))[0] for n in range(400))
    assert 260 <= firsts["a"] <= 340


def test_without_a_conversation_those_that_begin_alike_stay_together():
    engines = [replica(name) for name in "abc"]
    firsts = {order(*engines, request=talk(system="You help.", question=str(n)))[0] for n in range(20)}
    assert len(firsts) == 1
    others = {order(*engines, request=talk(system=f"You help {n}."))[0] for n in range(50)}
    assert others == {"a", "b", "c"}


def test_completions_of_one_file_stay_together():
    engines = [replica(name) for name in "abc"]
    firsts = {order(*engines, request=CompletionRequest(str(n), "", "src/a.py"))[0] for n in range(20)}
    assert len(firsts) == 1


def test_when_an_engine_comes_only_what_moves_to_it_moves():
    before = {str(n): order(replica("a"), replica("b"), request=talk(str(n)))[0] for n in range(200)}
    after = {key: order(replica("a"), replica("b"), replica("c"), request=talk(key))[0] for key in before}
    assert {after[key] for key in before if after[key] != before[key]} == {"c"}


standings = st.builds(
    Standing,
    load=st.floats(0, 5),
    refuses=st.booleans(),
    first_token=st.floats(0, 10),
    slow=st.booleans(),
)


@given(st.lists(standings, min_size=2, max_size=5), st.text(max_size=5), st.booleans())
def test_affinity_never_sends_to_an_engine_that_is_left_alone_while_another_is_up(states, session, named):
    engines = [replica(str(n), state) for n, state in enumerate(states)]
    found = order(*engines, request=talk(session if named else None))
    assert sorted(found) == [str(n) for n in range(len(states))]
    if not all(state.refuses for state in states):
        assert not states[int(found[0])].refuses


def test_how_quick_an_engine_is_is_a_running_mean_that_is_forgotten():
    clock = Clock()
    engine = ScriptedEngine(name="a")
    gate = Gate(engine, Queue("a"), Breaker("a", events=EventBus()), clock=clock)
    gate.began(1.0)
    gate.began(2.0)
    assert gate.standing().first_token == 1.2
    gate.crawled()
    assert gate.standing().slow
    clock.now += FORGOTTEN
    assert gate.standing() == IDLE


def twins(*names: str) -> list[Moody]:
    return [Moody("hello", name=name, cards=[card("m", name)]) for name in names]


async def test_a_conversation_goes_on_elsewhere_while_its_engine_is_down():
    async with opened(*twins("a", "b"), retries=0) as (gateway, _):
        first = (await deltas_of(gateway.chat(ask(model="m", session="s"))))[-1].engine
        assert (await deltas_of(gateway.chat(ask(model="m", session="s"))))[-1].engine == first
        gateway._board.failed(first, ConnectionFailed("gone"))
        other = (await deltas_of(gateway.chat(ask(model="m", session="s"))))[-1].engine
        assert other != first


async def test_a_busy_engine_hands_its_conversation_on():
    hold = asyncio.Event()
    engines = [Moody(Reply("hello", hold=hold), name=name, cards=[card("m", name)]) for name in "ab"]
    async with opened(*engines, parallel={"a": 1, "b": 1}) as (gateway, _):
        tasks = [asyncio.create_task(deltas_of(gateway.chat(ask(model="m", session="s")))) for _ in range(2)]
        await until(lambda: engines[0].running and engines[1].running)
        hold.set()
        await asyncio.gather(*tasks)


async def test_a_plan_is_made_anew_when_an_engine_goes_down_or_lists_another_model():
    a, b = twins("a", "b")
    async with opened(a, b, order=("a",), retries=0) as (gateway, _):
        assert (await deltas_of(gateway.chat(ask())))[-1].engine == "a"
        a.state = EngineHealth("down", "gone")
        await gateway.health()
        assert (await deltas_of(gateway.chat(ask())))[-1].engine == "b"
        b._cards.append(card("new", "b"))
        await gateway.models(refresh=True)
        assert (await deltas_of(gateway.chat(ask(model="new"))))[-1].engine == "b"

"""Who goes first, who waits, and that no slot is ever lost."""

import asyncio
import random

import pytest

from fireside.core.errors import RateLimited
from fireside.core.requests import Priority
from fireside.gateway.queue import Queue, Ticket
from support.gateways import Clock, until


async def take(queue: Queue, ticket: Ticket, order: list[str], name: str, positions: list[int] | None = None) -> None:
    if not queue.enter(ticket):
        async for position in queue.positions(ticket):
            if positions is not None:
                positions.append(position)
    order.append(name)


def test_a_free_slot_is_taken_without_waiting():
    queue = Queue("box", parallel=2)
    assert queue.enter(Ticket())
    assert queue.enter(Ticket())
    assert not queue.enter(Ticket())
    assert (queue.running, queue.waiting, queue.load) == (2, 1, 1.5)


async def test_typing_goes_before_chat_before_agents_before_batch():
    queue, order = Queue("box", parallel=1), []
    holder = Ticket()
    queue.enter(holder)
    tickets = {name: Ticket(Priority[name]) for name in ("BATCH", "AGENT", "TYPING", "CHAT")}
    tasks = [asyncio.create_task(take(queue, ticket, order, name)) for name, ticket in tickets.items()]
    await until(lambda: queue.waiting == 4)
    queue.leave(holder)
    for count in range(1, 5):
        await until(lambda: len(order) == count)
        queue.leave(tickets[order[-1]])
    await asyncio.gather(*tasks)
    assert order == ["TYPING", "CHAT", "AGENT", "BATCH"]


async def test_within_a_class_the_first_to_come_is_the_first_to_go():
    queue, order = Queue("box", parallel=1, clock=Clock()), []
    holder = Ticket()
    queue.enter(holder)
    tickets = [Ticket() for _ in range(5)]
    tasks = [asyncio.create_task(take(queue, ticket, order, str(number))) for number, ticket in enumerate(tickets)]
    await until(lambda: queue.waiting == 5)
    queue.leave(holder)
    for number, ticket in enumerate(tickets):
        await until(lambda: len(order) == number + 1)
        queue.leave(ticket)
    await asyncio.gather(*tasks)
    assert order == ["0", "1", "2", "3", "4"]


async def test_a_batch_request_that_has_waited_long_goes_before_fresh_typing():
    clock = Clock()
    queue = Queue("box", parallel=1, ageing=10, clock=clock)
    holder, old, fresh = Ticket(), Ticket(Priority.BATCH), Ticket(Priority.TYPING)
    queue.enter(holder)
    queue.enter(old)
    clock.now += 31
    queue.enter(fresh)
    queue.leave(holder)
    assert old.since is not None
    assert fresh.since is None


async def test_positions_are_told_each_time_they_change():
    queue, order, seen = Queue("box", parallel=1), [], []
    holder, first, second, watched = Ticket(), Ticket(), Ticket(), Ticket()
    for ticket in (holder, first, second):
        queue.enter(ticket)
    task = asyncio.create_task(take(queue, watched, order, "watched", seen))
    await until(lambda: seen == [3])
    queue.leave(second)
    await until(lambda: seen == [3, 2])
    queue.leave(holder)
    await until(lambda: seen == [3, 2, 1])
    queue.leave(first)
    await task
    assert order == ["watched"]


def enter_all(queue: Queue, *priorities: Priority) -> list[bool]:
    return [queue.enter(Ticket(priority)) for priority in priorities]


def test_of_several_slots_one_is_kept_for_typing():
    queue = Queue("box", parallel=3, kept=1)
    assert enter_all(queue, Priority.BATCH, Priority.AGENT, Priority.CHAT) == [True, True, False]
    assert enter_all(queue, Priority.TYPING, Priority.TYPING) == [True, False]


def test_typing_passes_by_a_line_of_others_to_its_own_slot():
    queue = Queue("box", parallel=2, kept=1)
    first, second, typing = Ticket(Priority.BATCH), Ticket(Priority.BATCH), Ticket(Priority.TYPING)
    assert [queue.enter(first), queue.enter(second), queue.enter(typing)] == [True, False, True]
    queue.leave(typing)
    assert second.since is None
    queue.leave(first)
    assert second.since is not None


def test_a_single_slot_is_everybodys_and_what_is_kept_can_be_none():
    assert enter_all(Queue("box", parallel=1, kept=1), Priority.BATCH) == [True]
    assert enter_all(Queue("box", parallel=2, kept=0), Priority.BATCH, Priority.BATCH) == [True, True]
    assert enter_all(Queue("box", parallel=2, kept=9), Priority.CHAT, Priority.CHAT) == [True, False]


def test_a_change_wakes_only_those_whose_place_it_changes():
    queue = Queue("box", parallel=1, max_waiting=200)
    queue.enter(Ticket())
    tickets = [Ticket() for _ in range(100)]
    for ticket in tickets:
        queue.enter(ticket)
    for ticket in tickets:
        ticket.moved.clear()
    queue.leave(tickets[98])
    assert [ticket.moved.is_set() for ticket in tickets] == [False] * 99 + [True]
    queue.enter(Ticket(Priority.BATCH))
    assert not tickets[0].moved.is_set()


def test_a_full_line_refuses_with_an_estimate_of_when_to_come_back():
    clock = Clock()
    queue = Queue("box", parallel=1, max_waiting=1, clock=clock)
    first = Ticket()
    queue.enter(first)
    clock.now += 6
    queue.leave(first)
    assert queue.enter(Ticket())
    queue.enter(Ticket())
    with pytest.raises(RateLimited, match="box is busy: 1 requests running and 1 waiting") as caught:
        queue.enter(Ticket())
    assert caught.value.retryable
    # The mean of an expected second and the six just seen, for the one that waits and the newcomer.
    assert caught.value.context["retry_after"] == pytest.approx(4.0)


async def test_a_more_urgent_newcomer_takes_the_last_place_of_a_full_line():
    queue, order = Queue("box", parallel=1, max_waiting=1), []
    queue.enter(Ticket())
    displaced = Ticket(Priority.BATCH)
    waiting = asyncio.create_task(take(queue, displaced, order, "batch"))
    await until(lambda: queue.waiting == 1)
    urgent = Ticket(Priority.TYPING)
    assert not queue.enter(urgent)
    with pytest.raises(RateLimited):
        await waiting
    assert queue.waiting == 1


def test_leaving_twice_or_without_a_place_is_harmless():
    queue = Queue("box", parallel=1)
    ticket, stranger = Ticket(), Ticket()
    queue.enter(ticket)
    queue.leave(stranger)
    queue.leave(ticket)
    queue.leave(ticket)
    assert (queue.running, queue.waiting) == (0, 0)


async def test_more_room_is_used_at_once():
    queue, order = Queue("box", parallel=1), []
    queue.enter(Ticket())
    tasks = [asyncio.create_task(take(queue, Ticket(), order, "next")) for _ in range(2)]
    await until(lambda: queue.waiting == 2)
    queue.limit(3, 64)
    await asyncio.gather(*tasks)
    assert queue.running == 3


@pytest.mark.parametrize("seed", range(8))
async def test_no_slot_is_lost_whoever_is_cancelled_and_whenever(seed):
    dice = random.Random(seed)
    queue = Queue("box", parallel=dice.randint(1, 3), kept=dice.randint(0, 1), max_waiting=200)
    peak = 0

    async def visit() -> None:
        nonlocal peak
        ticket = Ticket(dice.choice(list(Priority)))
        try:
            if not queue.enter(ticket):
                async for _ in queue.positions(ticket):
                    pass
            peak = max(peak, queue.running)
            for _ in range(dice.randint(0, 3)):
                await asyncio.sleep(0)
        finally:
            queue.leave(ticket)

    tasks = [asyncio.create_task(visit()) for _ in range(80)]
    while not all(task.done() for task in tasks):
        if dice.random() < 0.4:
            dice.choice(tasks).cancel()
        await asyncio.sleep(0)
    assert any(task.cancelled() for task in tasks)
    assert any(not task.cancelled() for task in tasks)
    assert peak == queue.parallel
    assert (queue.running, queue.waiting) == (0, 0)

"""A circuit breaker, with a clock that passes when told."""

import pytest

from fireside.core.errors import ConnectionFailed, Invalid, ModelNotFound, RateLimited, TimedOut
from fireside.core.events import EventBus
from fireside.gateway.breaker import Breaker
from fireside.gateway.signals import BreakerClosed, BreakerOpened
from support.gateways import Clock, Ears

BROKEN = ConnectionFailed("nobody listens", remedy="ollama serve", cause="refused")


def breaker(clock: Clock, failures: int = 3) -> tuple[Breaker, Ears]:
    events = EventBus()
    ears = Ears(events)
    return Breaker("box", events=events, failures=failures, seconds=10, clock=clock), ears


def test_lets_everything_pass_until_the_last_failure_allowed():
    guard, ears = breaker(Clock())
    guard.failed(BROKEN)
    guard.failed(BROKEN)
    assert guard.state == "closed"
    assert guard.admit() is False
    assert ears.heard == []


def test_opens_after_so_many_failures_in_a_row_and_says_why():
    guard, ears = breaker(Clock())
    for _ in range(3):
        guard.failed(BROKEN)
    assert guard.state == "open"
    assert ears.heard == [BreakerOpened("box", 3, 10, BROKEN)]
    with pytest.raises(ConnectionFailed, match="nobody listens") as caught:
        guard.admit()
    assert caught.value.remedy == "ollama serve"
    assert caught.value.context["retry_after"] == 10
    assert not caught.value.retryable


def test_a_success_in_between_starts_the_count_again():
    guard, _ = breaker(Clock())
    guard.failed(BROKEN)
    guard.failed(BROKEN)
    guard.succeeded()
    guard.failed(BROKEN)
    assert guard.state == "closed"


@pytest.mark.parametrize("error", [Invalid("bad"), ModelNotFound("no"), RateLimited("busy")])
def test_errors_that_say_nothing_about_the_engine_are_not_counted(error):
    guard, _ = breaker(Clock(), failures=1)
    guard.failed(error)
    assert guard.state == "closed"


def test_one_probe_passes_when_the_time_is_over_and_no_second():
    clock = Clock()
    guard, _ = breaker(clock, failures=1)
    guard.failed(TimedOut("slow"))
    clock.now += 10
    assert guard.state == "half-open"
    assert guard.admit() is True
    with pytest.raises(ConnectionFailed):
        guard.admit()


def test_a_probe_that_succeeds_closes_it():
    clock = Clock()
    guard, ears = breaker(clock, failures=1)
    guard.failed(BROKEN)
    clock.now += 10
    probe = guard.admit()
    guard.succeeded()
    guard.leave(probe)
    assert guard.state == "closed"
    assert ears.of(BreakerClosed) == [BreakerClosed("box")]


def test_a_probe_that_fails_opens_it_for_another_full_time():
    clock = Clock()
    guard, ears = breaker(clock, failures=1)
    guard.failed(BROKEN)
    clock.now += 10
    probe = guard.admit()
    guard.failed(BROKEN)
    guard.leave(probe)
    clock.now += 9
    assert guard.state == "open"
    assert len(ears.of(BreakerOpened)) == 2


def test_a_probe_whose_reader_left_makes_room_for_the_next():
    clock = Clock()
    guard, _ = breaker(clock, failures=1)
    guard.failed(BROKEN)
    clock.now += 10
    guard.leave(guard.admit())
    assert guard.admit() is True


def test_an_engine_seen_alive_may_be_tried_before_the_time_is_over():
    guard, _ = breaker(Clock(), failures=1)
    guard.failed(BROKEN)
    assert guard.refuses
    guard.invite()
    assert guard.admit() is True

"""How much a key may ask, counted in this process."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fireside.core.errors import RateLimited
from fireside.records.keys import KeyLimits
from fireside.records.usage import Spent
from fireside.server.auth import LOCAL, Principal
from fireside.server.limits import FREE, Bucket, Limiter, duration, month_left

NOON = 1_796_040_000.0  # 2026-11-30T12:00:00Z


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def calendar(self) -> float:
        return NOON - 1000 + self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> Limiter:
    return Limiter(clock=clock, calendar=clock.calendar)


def who(**limits: int) -> Principal:
    return Principal(id="key_1", name="laptop", limits=KeyLimits(**limits))


def refused(limiter: Limiter, principal: Principal, tokens: float = 0) -> tuple[str, float]:
    with pytest.raises(RateLimited) as caught:
        limiter.admit(principal, tokens)
    error = caught.value
    assert error.retryable
    assert error.remedy
    return str(error.context["cause"]), round(float(str(error.context["retry_after"])), 3)


def test_whoever_has_no_limits_is_not_even_counted(limiter):
    assert limiter.admit(LOCAL, 10**9) is FREE
    assert limiter.admit(Principal(id="key_2", limits=KeyLimits())) is FREE
    assert limiter.headers(LOCAL) == []
    FREE.settle(100)


def test_requests_a_minute_come_back_one_by_one(limiter, clock):
    laptop = who(rpm=3)
    for _ in range(3):
        limiter.admit(laptop)
    assert refused(limiter, laptop) == ("requests", 20.0)
    clock.now += 19.9
    assert refused(limiter, laptop) == ("requests", 0.1)
    clock.now += 0.2
    limiter.admit(laptop)
    assert refused(limiter, laptop)[0] == "requests"


def test_one_key_does_not_spend_what_another_has(limiter):
    limiter.admit(who(rpm=1))
    limiter.admit(Principal(id="key_2", limits=KeyLimits(rpm=1)))
    assert refused(limiter, who(rpm=1))[0] == "requests"


def test_tokens_are_reserved_and_settled_by_what_was_used(limiter):
    laptop = who(tpm=1000)
    ticket = limiter.admit(laptop, 800)
    assert refused(limiter, laptop, 300) == ("tokens", 6.0)
    ticket.settle(100)
    ticket.settle(100)
    limiter.admit(laptop, 900)
    assert refused(limiter, laptop, 1)[0] == "tokens"


def test_more_used_than_estimated_is_owed(limiter, clock):
    laptop = who(tpm=600)
    limiter.admit(laptop, 100).settle(1200)
    assert refused(limiter, laptop, 10) == ("tokens", 61.0)
    clock.now += 61.1
    limiter.admit(laptop, 10)


def test_a_request_larger_than_a_minute_is_let_through_alone(limiter, clock):
    laptop = who(tpm=600)
    limiter.admit(laptop, 1200)
    assert refused(limiter, laptop, 1200) == ("tokens", 120.0)
    clock.now += 120
    limiter.admit(laptop, 1200)


def test_a_request_refused_for_its_tokens_is_not_counted_as_a_request(limiter):
    laptop = who(rpm=2, tpm=100)
    limiter.admit(laptop, 100)
    for _ in range(5):
        assert refused(limiter, laptop, 100)[0] == "tokens"
    limiter.admit(laptop, 0)


def test_so_many_at_a_time_and_each_end_makes_room_once(limiter):
    laptop = who(concurrency=2)
    first, _ = limiter.admit(laptop), limiter.admit(laptop)
    assert refused(limiter, laptop) == ("concurrency", 1.0)
    first.settle(0)
    first.settle(0)
    limiter.admit(laptop)
    assert refused(limiter, laptop)[0] == "concurrency"


def test_a_budget_ends_with_the_day_and_the_month(limiter, clock):
    laptop = who(budget_day=100, budget_month=150)
    limiter.admit(laptop).settle(100)
    assert refused(limiter, laptop) == ("budget", 43_200.0)
    clock.now += 43_200
    # The day after the 30th of November is in another month.
    limiter.admit(laptop).settle(99)
    limiter.admit(laptop).settle(51)
    assert refused(limiter, laptop)[1] == 31 * 86_400
    clock.now += 31 * 86_400
    limiter.admit(laptop)


def test_what_other_processes_have_spent_counts_and_what_was_spent_here_is_not_counted_twice(limiter):
    laptop = who(budget_day=1000)
    limiter.admit(laptop).settle(300)
    assert limiter.has_budgets()
    limiter.learn({"key_1": Spent(day=200, month=200), "key_9": Spent(5, 5)})
    limiter.admit(laptop)
    limiter.learn({"key_1": Spent(day=1000, month=1000)})
    assert refused(limiter, laptop)[0] == "budget"


def test_changed_limits_hold_at_once_and_what_runs_goes_on(limiter):
    ticket = limiter.admit(who(concurrency=1, rpm=10))
    assert refused(limiter, who(concurrency=1, rpm=10))[0] == "concurrency"
    limiter.admit(who(concurrency=2, rpm=10)).settle(0)
    ticket.settle(0)
    limiter.prepare([who(rpm=1)])
    limiter.admit(who(rpm=1))
    assert refused(limiter, who(rpm=1))[0] == "requests"


def test_headers_say_what_is_left_as_clients_read_it(limiter, clock):
    laptop = who(rpm=60, tpm=6000)
    limiter.admit(laptop, 3000)
    headers = {name.decode(): value.decode() for name, value in limiter.headers(laptop)}
    assert headers == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "3000",
        "x-ratelimit-reset-tokens": "30s",
        "ratelimit-policy": '"requests";q=60;w=60, "tokens";q=6000;w=60',
        "ratelimit": '"requests";r=59;t=1, "tokens";r=3000;t=30',
        "ratelimit-limit": "6000",
        "ratelimit-remaining": "3000",
        "ratelimit-reset": "30",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.12, "120ms"), (1, "1s"), (1.5, "1.5s"), (59.96, "1m0s"), (360, "6m0s"), (7500, "2h5m0s")],
)
def test_durations_are_written_as_go_writes_them(seconds, text):
    assert duration(seconds) == text


@given(st.floats(0, 1e7, allow_nan=False))
def test_every_duration_can_be_read_again(seconds):
    assert re.fullmatch(r"\d+ms|\d+(\.\d+)?s|\d+m\d+s|\d+h\d+m\d+s", duration(seconds))


@given(st.integers(0, 2**32))
def test_a_month_ends_within_31_days(now):
    assert 0 < month_left(float(now)) <= 31 * 86_400


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 50)), max_size=60))
def test_a_bucket_never_gives_more_than_it_was_filled_with(steps):
    bucket, now, taken = Bucket(100, 2), 1.0, 0
    for pause, amount in steps:
        now += pause
        taken += 0 if bucket.take(amount, now) else amount
        assert taken <= 100 + 2 * (now - 1.0) + 1e-6

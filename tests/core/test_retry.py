import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fireside.core.retry import Backoff


def test_without_jitter_the_waits_double_up_to_the_limit():
    assert list(Backoff(first=1, factor=2, limit=5, attempts=5, jitter=0).waits()) == [1, 2, 4, 5, 5]


def test_no_attempts_means_no_waits():
    assert list(Backoff(attempts=0).waits()) == []


def test_the_same_randomness_gives_the_same_waits():
    assert list(Backoff().waits(random.Random(7))) == list(Backoff().waits(random.Random(7)))


@given(
    first=st.floats(0.001, 5),
    factor=st.floats(1, 4),
    limit=st.floats(0.001, 60),
    attempts=st.integers(0, 12),
    jitter=st.floats(0, 1),
)
def test_every_wait_is_between_its_fixed_part_and_the_limit(first, factor, limit, attempts, jitter):
    waits = list(Backoff(first, factor, limit, attempts, jitter).waits())
    assert len(waits) == attempts
    for attempt, wait in enumerate(waits):
        full = min(limit, first * factor**attempt)
        assert full * (1 - jitter) <= wait + 1e-9
        assert wait <= full + 1e-9


def test_thousands_of_retries_do_not_overflow():
    assert max(Backoff(attempts=5000, jitter=0, factor=2).waits()) == pytest.approx(10)

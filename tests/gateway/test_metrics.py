"""Counts and times, gathered from what the gateway says."""

import json

import pytest

from fireside.core.errors import ConnectionFailed
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.gateway.metrics import Histogram
from support.gateways import Moody, ask, deltas_of, fill, opened


def test_a_histogram_counts_what_is_at_or_below_each_bound():
    histogram = Histogram((1.0, 2.0, 4.0))
    for value in (0.5, 1.0, 1.5, 3.0, 9.0):
        histogram.add(value)
    snapshot = histogram.snapshot()
    assert snapshot["buckets"] == {"1.0": 2, "2.0": 3, "4.0": 4}
    assert (snapshot["count"], snapshot["sum"]) == (5, 15.0)


def test_a_quantile_is_estimated_within_its_bucket():
    histogram = Histogram((1.0, 2.0, 4.0))
    assert histogram.quantile(0.5) == 0.0
    for value in (1.5, 1.5, 1.5, 1.5):
        histogram.add(value)
    assert histogram.quantile(0.5) == 1.5
    histogram.add(100)
    assert histogram.quantile(0.99) == 4.0


async def test_requests_answers_tokens_and_times_are_counted():
    async with opened(ScriptedEngine(name="a", says="one two three")) as (gateway, _):
        await deltas_of(gateway.chat(ask("four words in this")))
        await deltas_of(gateway.complete(fill()))
        await gateway.embed(["x"])
        metrics = gateway.metrics
        assert metrics.requests == {"chat": 1, "complete": 1, "embed": 1}
        assert metrics.answers == {"script@a": 3}
        assert metrics.tokens["completion"] == 6
        assert metrics.first_token.count == 2
        assert metrics.queue_wait.count == 3
        assert metrics.tokens_per_second.count == 2


async def test_errors_are_counted_by_engine_and_kind_and_fallbacks_by_way():
    engines = [ScriptedEngine(name="a", error=ConnectionFailed("x", cause="refused")), ScriptedEngine(name="b")]
    async with opened(*engines) as (gateway, _):
        await deltas_of(gateway.chat(ask()))
        snapshot = gateway.metrics.snapshot()
        assert snapshot["errors"] == {"a": {"connection": 1}}
        assert snapshot["fallbacks"] == {"script@a -> script@b": 1}
        assert snapshot["counts"]["recoveries"] == 1
        assert "failures" not in snapshot["counts"]


async def test_a_snapshot_is_plain_data():
    engine = Moody(Reply(error=ConnectionFailed("x")), name="a")
    async with opened(engine, retries=0, breaker_failures=1) as (gateway, _):
        with pytest.raises(ConnectionFailed):
            await deltas_of(gateway.chat(ask()))
        await gateway.warm(ask())
        snapshot = json.loads(json.dumps(gateway.metrics.snapshot()))
        assert snapshot["counts"] == {"failures": 1, "breakers_opened": 1, "warm_ups": 1}


async def test_a_closed_gateway_counts_no_more():
    async with opened(ScriptedEngine(name="a")) as (gateway, _):
        await gateway.aclose()
        await deltas_of(gateway.chat(ask()))
        assert gateway.metrics.requests == {}

"""What the server counts, and how it tells it."""

import asyncio
import json
import os
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from fireside.config.paths import Paths
from fireside.core.errors import ConnectionFailed
from fireside.core.messages import ToolCall
from fireside.core.requests import Usage
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.gateway.signals import RequestFinished
from fireside.records.database import Database
from fireside.records.keys import Keys, Role
from fireside.server.exposition import MOST_SERIES, bounded
from fireside.server.metrics import MOST_PAIRS, OTHER, ServerMetrics, quantile
from support.gateways import until
from support.servers import served

HI = {"model": "script", "messages": [{"role": "user", "content": "hi"}], "temperature": 1}
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
async def client():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def server(tmp_path):
    async with served(ScriptedEngine(says="Hello there you.", name="s"), root=tmp_path) as made:
        yield made


@asynccontextmanager
async def chatting(client, server, **fields):
    async with client.post(f"{server.v1}/chat/completions", json={**HI, **fields}) as response:
        yield response


async def chat(client, server, **fields) -> int:
    async with chatting(client, server, **fields) as response:
        await response.read()
        return response.status


async def scraped(client, server) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """(name, labels) -> value."""
    async with client.get(f"{server.address}/metrics") as response:
        assert response.status == 200
        families = list(read_text(await response.text()))
    return {(each.name, frozenset(each.labels.items())): each.value for one in families for each in one.samples}


def place(name: str, **labels: str):
    return f"fireside_{name}", frozenset(labels.items())


async def summary(client, server, key: str = ""):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with client.get(f"{server.address}/metrics.json", headers=headers) as response:
        assert response.status == 200
        return json.loads(await response.read())


async def test_requests_are_counted_by_route_and_status(client, server):
    assert [await chat(client, server), await chat(client, server), await chat(client, server, model="none")] == [
        200,
        200,
        404,
    ]
    found = await scraped(client, server)
    route = "/v1/chat/completions"
    assert found[place("requests_total", route=route, status="200")] == 2
    assert found[place("requests_total", route=route, status="404")] == 1
    assert found[place("request_seconds_count", route=route)] == 3
    assert found[place("request_seconds_bucket", route=route, le="+Inf")] == 3
    assert found[place("rejections_total", reason="model_not_found")] == 1


async def test_answers_are_told_by_engine_and_model(client, server):
    await chat(client, server)
    found = await scraped(client, server)
    pair = {"engine": "s", "model": "script"}
    assert found[place("answers_total", **pair)] == 1
    assert found[place("tokens_total", kind="completion", **pair)] == 3
    assert found[place("tokens_total", kind="prompt", **pair)] == 1
    assert found[place("time_to_first_token_seconds_count", **pair)] == 1
    assert found[place("queue_wait_seconds_count", engine="s")] == 1
    assert found[place("engine_up", engine="s")] == 1
    assert found[place("queue_depth", engine="s")] == 0
    assert found[place("ready")] == 1
    assert found[place("records_lost_total", log="audit")] == 0


async def test_the_process_and_what_was_built_are_named(client, server):
    found = await scraped(client, server)
    assert found["process_resident_memory_bytes", frozenset()] > 1_000_000
    assert found["process_open_fds", frozenset()] > 3
    assert [dict(labels).keys() for name, labels in found if name == "fireside_build_info"] == [{"version", "python"}]


async def test_paths_nobody_serves_are_one_route_however_many_there_are(client, server):
    for number in range(20):
        async with client.get(f"{server.address}/nothing/{number}") as response:
            assert response.status == 404
    found = await scraped(client, server)
    assert found[place("requests_total", route="other", status="404")] == 20
    assert not [labels for _, labels in found if "nothing" in str(labels)]


async def test_a_model_nobody_has_is_in_no_label(client, server):
    await chat(client, server, model="a-name-of-my-own")
    assert not [labels for _, labels in await scraped(client, server) if "a-name-of-my-own" in str(labels)]


async def test_openmetrics_is_for_who_asks_for_it(client, server):
    await chat(client, server)
    async with client.get(f"{server.address}/metrics", headers={"Accept": OPENMETRICS}) as response:
        assert response.headers["Content-Type"].startswith(OPENMETRICS)
        names = {family.name for family in read_openmetrics(await response.text())}
    assert {"fireside_requests", "fireside_request_seconds", "fireside_build"} <= names
    async with client.get(f"{server.address}/metrics", headers={"Accept": "text/html"}) as response:
        assert response.headers["Content-Type"].startswith("text/plain")


async def test_everything_is_written_once_a_second_at_most(client, server):
    before = await scraped(client, server)
    await chat(client, server)
    assert place("answers_total", engine="s", model="script") not in before
    async with client.get(f"{server.address}/metrics") as one, client.get(f"{server.address}/metrics") as other:
        assert await one.text() == await other.text()


async def test_fallbacks_retries_and_repairs_are_counted(client, tmp_path):
    call = ToolCall("1", "Read_File", '{"path": "a.py",}')
    broken = ScriptedEngine(name="a", error=ConnectionFailed("gone", cause="refused"))
    tool = {"type": "function", "function": {"name": "read_file", "parameters": {"type": "object"}}}
    async with served(broken, ScriptedEngine(Reply(tool_calls=(call,)), name="b"), root=tmp_path) as server:
        assert await chat(client, server, model="chat", tools=[tool]) == 200
        found = await scraped(client, server)
    assert [value for (name, _), value in found.items() if name == "fireside_fallbacks_total"] == [1]
    assert sum(value for (name, _), value in found.items() if name == "fireside_tool_repairs_total") >= 1
    assert found[place("tool_calls_total")] == 1
    assert sum(value for (name, _), value in found.items() if name == "fireside_engine_errors_total") >= 1


async def test_an_answer_from_the_cache_flatters_no_engine(client, server):
    for _ in range(3):
        await chat(client, server, temperature=0)
    found = await scraped(client, server)
    assert found[place("cache_hits_total")] == 2
    assert found[place("answers_total", engine="s", model="script")] == 1
    assert (await summary(client, server))["gateway"]["cache_hit_rate"] == pytest.approx(2 / 3, abs=0.001)


async def test_a_reader_who_leaves_is_counted_and_no_error(client, tmp_path):
    engine = ScriptedEngine(Reply(text="one two three", hold=asyncio.Event(), hold_after=1), name="s")
    async with served(engine, root=tmp_path) as server:
        async with chatting(client, server, stream=True) as response:
            await response.content.readany()
        await until(lambda: engine.cancelled == 1)
        found = await summary(client, server)
        assert found["gateway"]["cancelled"] == 1
        assert (found["running"], found["errors"]) == ([], [])


async def test_a_running_request_is_shown_with_its_place_in_line(client, tmp_path):
    gate = asyncio.Event()
    engine = ScriptedEngine(Reply(text="one two three", hold=gate, hold_after=1), name="s")
    async with (
        served(engine, root=tmp_path, flags={"gateway.parallel": {"s": 1}}) as server,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(chat(client, server, stream=True))
        await until(lambda: engine.running == 1)
        group.create_task(chat(client, server))
        await until(lambda: server.fireside.gateway.load()["s"] == (1, 1))
        found = await summary(client, server)
        gate.set()
    assert [(each["engine"], each["position"]) for each in found["running"]] == [("s", 0), ("s", 1)]
    assert found["running"][0]["model"] == "script"
    assert (found["engines"][0]["running"], found["engines"][0]["waiting"]) == (1, 1)


async def test_who_may_not_look_is_refused_and_that_is_counted_too(client, tmp_path):
    keys = Keys(Database.file(Paths.from_environment(os.environ).data / "records.db"))
    _, viewer = keys.create("watcher", role=Role.VIEWER)
    _, user = keys.create("me")
    keys.database.close()
    async with served(ScriptedEngine(name="s"), root=tmp_path, flags={"server.require_keys": True}) as server:
        for path in ("/metrics", "/metrics.json"):
            async with client.get(server.address + path) as response:
                assert response.status == 401
        async with client.get(f"{server.address}/metrics", headers={"Authorization": f"Bearer {viewer}"}) as response:
            assert 'fireside_rejections_total{reason="missing"} 2.0' in await response.text()
        headers = {"Authorization": f"Bearer {user}"}
        async with client.post(
            f"{server.v1}/chat/completions", json={**HI, "model": "none"}, headers=headers
        ) as response:
            assert response.status == 404
        own, foreign = await summary(client, server, user), await summary(client, server, viewer)
    assert own["keys"][0] == {"name": "me", "requests": 1, "failed": 1, "tokens": 0}
    assert [each["cause"] for each in own["errors"]] == ["model_not_found"]
    assert (foreign["errors"], [each["name"] for each in foreign["keys"]]) == ([], ["watcher"])


async def test_what_is_wrong_with_a_request_is_told_without_its_words(client, server):
    async with client.post(f"{server.v1}/chat/completions", data=b'{"model": "SECRET WORDS"') as response:
        assert response.status == 400
    assert await chat(client, server, messages=[{"role": "SECRET WORDS", "content": "SECRET WORDS"}]) == 400
    found = await summary(client, server)
    assert [each["kind"] for each in found["errors"]] == ["validation", "validation"]
    assert "SECRET" not in json.dumps(found)


def finished(engine: str, model: str, **fields: object) -> RequestFinished:
    usage = Usage(prompt_tokens=10, completion_tokens=20, completion_seconds=2.0)
    return RequestFinished(1, "chat", engine, model, "stop", usage, queued=0.0, first_token=0.5, seconds=3.0, **fields)


def test_models_that_come_and_go_for_months_take_no_more_memory():
    metrics = ServerMetrics()
    for number in range(2 * MOST_PAIRS):
        metrics.finished(finished("s", f"model-{number}"))
    assert len(metrics.answers) == MOST_PAIRS + 1
    assert metrics.answers["s", OTHER].count == MOST_PAIRS
    assert len(bounded({str(number): 1 for number in range(2 * MOST_SERIES)})) == MOST_SERIES + 1


def test_speed_is_told_of_the_last_answers():
    metrics = ServerMetrics()
    metrics.finished(finished("s", "m"))
    assert quantile(metrics.paces["s"].rates, 0.5) == 10.0
    assert quantile(metrics.paces["s"].first, 0.95) == 0.5
    assert quantile(ServerMetrics().paces.setdefault("s", type(metrics.paces["s"])()).first, 0.5) is None


def test_rates_are_those_of_the_last_ten_seconds():
    metrics = ServerMetrics()
    metrics.sample(0.0)
    for _ in range(5):
        metrics.finished(finished("s", "m"))
    metrics.sample(95.0)
    assert metrics.rates(100.0) == (0.0, 0.0)
    metrics.finished(finished("s", "m"))
    assert metrics.rates(100.0) == (0.0, 4.0)

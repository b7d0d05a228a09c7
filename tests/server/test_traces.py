"""Traces, read by a real receiver of OTLP over HTTP."""

import asyncio
import logging
import subprocess
import sys
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

pytest.importorskip("opentelemetry.exporter.otlp.proto.common", reason="the extra [otel] is not installed")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from fireside.core.errors import ConnectionFailed
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.server.traces import address_of
from support.fake_openai import FakeOpenAI
from support.servers import served

HI = {"model": "script", "messages": [{"role": "user", "content": "SECRET PROMPT"}], "temperature": 1}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@dataclass
class Collector:
    """``spans``: all that came, in order. ``requests``: their types."""

    url: str = ""
    status: int = 200
    spans: list[Span] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    raw: bytes = b""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.types.append(request.content_type)
        self.raw += body
        if self.status == 200:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return web.Response(status=self.status)

    def root(self) -> Span:
        (found,) = [span for span in self.spans if span.kind == Span.SPAN_KIND_SERVER]
        return found

    def children(self) -> list[Span]:
        root = self.root()
        return sorted(
            (span for span in self.spans if span.parent_span_id == root.span_id),
            key=lambda span: span.start_time_unix_nano,
        )


@pytest.fixture
async def collector():
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


def facts(span: Span) -> dict[str, object]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def parent(sampled: bool = True) -> dict[str, str]:
    return {"traceparent": f"00-{TRACE}-{PARENT}-0{int(sampled)}"}


async def traced(
    collector, root, *engines, headers=None, ratio=1.0, body=HI, path="/v1/chat/completions", count=1, **flags
):
    """The spans of these requests; they are sent at the latest when the server ends."""
    flags = {"server.traces_endpoint": collector.url, "server.traces_ratio": ratio, **flags}
    async with served(*engines, root=root, flags=flags) as server, aiohttp.ClientSession(headers=headers) as session:
        for _ in range(count):
            async with session.request("POST" if body else "GET", server.address + path, json=body) as response:
                await response.read()
    return collector.spans


async def test_a_request_is_a_span_with_its_try_and_first_token_below(collector, tmp_path):
    await traced(collector, tmp_path, ScriptedEngine(says="SECRET ANSWER here", name="s"))
    root = collector.root()
    assert root.name == "POST /v1/chat/completions"
    told = facts(root)
    assert told["http.response.status_code"] == 200
    assert (told["gen_ai.provider.name"], told["gen_ai.response.model"]) == ("s", "script")
    assert (told["gen_ai.operation.name"], told["gen_ai.usage.output_tokens"]) == ("chat", 3)
    assert sorted(span.name for span in collector.children()) == ["attempt", "first token"]
    for child in collector.children():
        assert (
            root.start_time_unix_nano
            <= child.start_time_unix_nano
            <= child.end_time_unix_nano
            <= root.end_time_unix_nano
        )
    assert root.status.code == Status.STATUS_CODE_UNSET
    assert collector.types == ["application/x-protobuf"]


async def test_no_span_holds_a_word_of_what_was_asked_or_answered(collector, tmp_path):
    broken = ScriptedEngine(Reply("SECRET ANSWER"), Reply(error=ConnectionFailed("SECRET", cause="cut")), name="s")
    await traced(collector, tmp_path, broken, count=2)
    assert len(collector.spans) >= 4
    assert b"SECRET" not in collector.raw


async def test_each_try_is_a_span_and_the_one_that_failed_says_why(collector, tmp_path):
    gone = ScriptedEngine(name="gone", error=ConnectionFailed("nobody there", cause="refused"))
    body = {**HI, "model": "chat"}
    await traced(collector, tmp_path, gone, ScriptedEngine(says="Hello", name="s"), body=body, **{"gateway.retries": 0})
    failed, answered = [span for span in collector.children() if span.name == "attempt"]
    assert (facts(failed)["engine"], facts(failed)["error"]) == ("gone", "connection")
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert facts(answered)["engine"] == "s"
    assert failed.end_time_unix_nano <= answered.start_time_unix_nano
    (event,) = collector.root().events
    assert event.name == "fell back"


async def test_the_time_in_line_is_a_span(collector, tmp_path):
    gate, engine = asyncio.Event(), ScriptedEngine(name="s")
    engine.rehearse(Reply("one two", hold=gate, hold_after=1))
    flags = {"server.traces_endpoint": collector.url, "gateway.parallel": {"s": 1}}
    async with served(engine, root=tmp_path, flags=flags) as server, aiohttp.ClientSession() as session:

        async def ask():
            async with session.post(f"{server.v1}/chat/completions", json=HI) as response:
                await response.read()

        async with asyncio.TaskGroup() as group, asyncio.timeout(5):
            group.create_task(ask())
            group.create_task(ask())
            while server.fireside.gateway.load()["s"] != (1, 1):
                await asyncio.sleep(0)
            gate.set()
    (line,) = [span for span in collector.spans if span.name == "queue"]
    (after,) = [
        span for span in collector.spans if span.name == "attempt" and span.parent_span_id == line.parent_span_id
    ]
    assert line.end_time_unix_nano - line.start_time_unix_nano > 0
    assert line.end_time_unix_nano <= after.start_time_unix_nano


async def test_a_clients_trace_goes_on_through_here_to_the_engine(collector, tmp_path):
    async with FakeOpenAI("Hello there.") as fake:
        engine = {"kind": "openai", "base_url": f"{fake.url}/v1"}
        await traced(
            collector, tmp_path, headers=parent(), body={**HI, "model": "fake-coder"}, **{"engines.fake": engine}
        )
        (asked,) = [seen for seen in fake.requests if seen.path == "/v1/chat/completions"]
    root = collector.root()
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, PARENT)
    assert asked.headers["traceparent"] == f"00-{TRACE}-{root.span_id.hex()}-01"


async def test_a_client_that_says_not_to_trace_is_obeyed(collector, tmp_path):
    assert await traced(collector, tmp_path, ScriptedEngine(name="s"), headers=parent(sampled=False)) == []


async def test_a_share_of_nothing_traces_only_what_clients_trace(collector, tmp_path):
    assert await traced(collector, tmp_path, ScriptedEngine(name="s"), ratio=0.0) == []
    assert await traced(collector, tmp_path, ScriptedEngine(name="s"), ratio=0.0, headers=parent()) != []


async def test_a_broken_traceparent_begins_a_new_trace(collector, tmp_path):
    await traced(collector, tmp_path, ScriptedEngine(name="s"), headers={"traceparent": "00-zz-11-01"})
    assert collector.root().trace_id.hex() != TRACE


async def test_what_a_client_did_wrong_is_no_error_of_the_servers_but_an_engines_failure_is(collector, tmp_path):
    await traced(collector, tmp_path, ScriptedEngine(name="s"), body={"model": "none", "messages": []})
    wrong = collector.root()
    assert (wrong.status.code, facts(wrong)["error.type"]) == (Status.STATUS_CODE_UNSET, "validation")
    collector.spans.clear()
    gone = ScriptedEngine(name="s", error=ConnectionFailed("nobody there", cause="refused"))
    await traced(collector, tmp_path, gone, **{"gateway.retries": 0})
    assert (collector.root().status.code, collector.root().status.message) == (Status.STATUS_CODE_ERROR, "refused")


async def test_those_who_watch_the_server_are_not_traced(collector, tmp_path):
    for path in ("/healthz/live", "/metrics", "/metrics.json"):
        assert await traced(collector, tmp_path, ScriptedEngine(name="s"), body=None, path=path) == []


async def test_a_collector_that_is_away_or_refuses_costs_a_line_and_no_request(collector, tmp_path, caplog):
    collector.status = 503
    caplog.set_level(logging.WARNING, "fireside.traces")
    await traced(collector, tmp_path, ScriptedEngine(name="s"), count=3)
    assert [
        "traces are lost" in record.getMessage() for record in caplog.records if record.name == "fireside.traces"
    ] == [True]


async def test_a_collector_outside_needs_a_yes(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.WARNING, "fireside.traces")
    away = Collector(url="http://203.0.113.7:4318")
    await traced(away, tmp_path, ScriptedEngine(name="s"))
    (said,) = [record.getMessage() for record in caplog.records if record.name == "fireside.traces"]
    assert "203.0.113.7" in said
    assert "privacy.allow_hosts" in said


@pytest.mark.parametrize("endpoint", ["http://box:4318", "http://box:4318/", "http://box:4318/v1/traces"])
def test_the_address_is_named_with_or_without_its_path(endpoint):
    assert address_of(endpoint) == "http://box:4318/v1/traces"


def test_nothing_of_opentelemetry_is_loaded_where_nothing_is_traced():
    code = (
        "import sys, fireside.server.house; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "[]\n"

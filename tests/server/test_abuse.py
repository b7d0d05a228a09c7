"""What no client should send, at every door: each answers in its dialect's own shape with the right status, leaks nothing, and lives on."""

import asyncio
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from urllib.parse import quote

import pytest

from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.server import bounds
from support.gateways import scripted_card, until
from support.servers import served

GUARD = 10
SECRET = "words of a prompt"
SAID = [{"role": "user", "content": SECRET}]
CHAT = "/v1/chat/completions"
BODIES: Mapping[str, dict[str, object]] = {
    CHAT: {"model": "script", "messages": SAID},
    "/v1/completions": {"model": "script", "prompt": SECRET},
    "/v1/responses": {"model": "script", "input": SECRET},
    "/v1/embeddings": {"model": "script", "input": SECRET},
    "/v1/messages": {"model": "script", "messages": SAID, "max_tokens": 10},
    "/v1/messages/count_tokens": {"model": "script", "messages": SAID},
    "/api/chat": {"model": "script", "messages": SAID, "stream": False},
    "/api/generate": {"model": "script", "prompt": SECRET, "stream": False},
    "/api/embed": {"model": "script", "input": SECRET},
    "/api/show": {"model": "script"},
    "/infill": {"model": "script", "input_prefix": SECRET, "input_suffix": "x"},
    "/api/v1/chat": {"model": "script", "messages": SAID, "context": False, "stream": False},
    "/api/v1/complete": {"model": "script", "prefix": SECRET},
    "/api/v1/search": {"query": SECRET},
    "/api/v1/embed": {"texts": [SECRET], "model": "script"},
}
WITH_TOOLS = (CHAT, "/v1/messages", "/api/chat")
NO_JSON = {
    "nothing": b"",
    "a brace": b"{",
    "a bracket too many": b"[" * 100_000,
    "too deep": b'{"a":' * 2000 + b"1" + b"}" * 2000,
    "no text": b"\xff\xfe\0",
    "half a character": b'{"model": "\\ud800"}',
    "no number": b'{"model": "script", "temperature": NaN}',
    "a number without end": b'{"model": ' + b"9" * 5000 + b"}",
    "compressed": gzip.compress(b'{"model": "script"}'),
    "a form": b"model=script&prompt=x",
    "more behind it": b'{"model": "script"} x',
    "null": b"null",
    "a list": b"[]",
    "a text": b'"x"',
}
# Values that somebody's field might have by mistake.
ODD = (None, True, -1, 1e308, 10**30, "", "\0", [], {}, [[]], [None], {"a": {"a": [1]}}, "A" * 10_000)
LEAKS = ("Traceback", "site-packages", 'File "', ".py", SECRET, "object at 0x")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


async def said(server, sent: bytes) -> list[Answer]:
    """Send these bytes; all answers until the server hangs up."""
    host, port = server.address.removeprefix("http://").split(":")
    async with asyncio.timeout(GUARD):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(sent)
            return [answer async for answer in answers(reader)]
        finally:
            writer.close()


async def answers(reader):
    while True:
        try:
            yield await answer_of(reader)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return


async def answer_of(reader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    while headers.get("transfer-encoding") == "chunked" and (size := int(await reader.readline(), 16)):
        body += (await reader.readexactly(size + 2))[:-2]
    if headers.get("transfer-encoding") == "chunked":
        await reader.readexactly(2)
    return Answer(int(head[0].split()[1]), headers, body)


def request(path: str, body: object = None, *headers: str, method: str = "POST", close: bool = True) -> bytes:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(data)}", *headers]
    if close:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data


def check_shape(path: str, body: bytes) -> str:
    """The words of an error, in the shape of whoever asks there."""
    told = json.loads(body)
    error = told["error"]
    if path.startswith("/api/") and not path.startswith("/api/v1"):
        assert isinstance(error, str)
        return error
    if path.startswith("/v1/messages"):
        assert told["type"] == "error"
    keys = {"/api/v1": {"kind", "remedy"}, "/v1/mess": {"type"}, "/infill": {"code", "type"}}
    assert keys.get(path[:8].rstrip("/"), {"type", "param", "code"}) <= error.keys()
    return error["message"]


async def check_refusal(server, path: str, sent: bytes, *statuses: int) -> str:
    (answer,) = await said(server, sent)
    assert answer.status in statuses, (path, answer)
    message = check_shape(path, answer.body)
    assert message
    assert "\n" not in message
    assert len(answer.body) < 4000
    assert not [leak for leak in LEAKS if leak.encode() in answer.body]
    return message


@pytest.fixture
def engine():
    return ScriptedEngine(says="Hello there.", name="s")


@pytest.fixture
async def server(engine, tmp_path):
    async with served(engine, root=tmp_path, flags={"models.chat": "script", "models.complete": "script"}) as made:
        yield made
        (answer,) = await said(made, request(CHAT, {"model": "script", "messages": SAID}))
        assert answer.status == 200
        assert (engine.running, made.fireside.gateway.load()) == (0, {"s": (0, 0)})


async def test_what_is_no_json_object_is_a_400_in_one_line(server):
    for path in BODIES:
        for body in NO_JSON.values():
            await check_refusal(server, path, request(path, body), 400)
        await check_refusal(server, path, request(path, BODIES[path], "Content-Encoding: gzip"), 415)


async def test_no_value_of_any_field_breaks_the_server(server):
    for path in BODIES:
        fields = {
            *BODIES[path],
            "model",
            "stream",
            "tools",
            "options",
            "stop",
            "temperature",
            "format",
            "keep_alive",
            "think",
        }
        fields |= {
            "tool_choice",
            "response_format",
            "max_tokens",
            "system",
            "n",
            "n_predict",
            "thinking",
            "text",
            "metadata",
        }
        for field in sorted(fields):
            for value in ODD:
                sent = request(path, BODIES[path] | {"stream": False, field: value})
                (answer,) = await said(server, sent)
                # 502: the script says no JSON where a schema was asked for.
                assert answer.status in (200, 400, 404, 422, 502), (field, value, answer)
                if answer.status >= 400:
                    assert check_shape(path, answer.body) != "the server failed; look at its log"


async def test_an_unknown_model_is_a_404_that_quotes_no_megabyte(server):
    for path in (path for path in BODIES if path not in ("/api/v1/search", "/api/v1/complete")):
        (answer,) = await said(server, request(path, BODIES[path] | {"model": "scripd"}))
        assert b"did you mean script?" in answer.body
        for model in ("m" * 1_000_000, "../../etc/passwd", "script@nobody", "日本語", "a\nb"):
            await check_refusal(server, path, request(path, BODIES[path] | {"model": model}), 400, 404)


async def test_a_tool_with_a_name_of_a_megabyte_is_refused_and_a_thousand_tools_are_not(server):
    for path in WITH_TOOLS:

        def offering(*tools):
            shown = [tool if path == "/v1/messages" else {"type": "function", "function": tool} for tool in tools]
            return request(path, BODIES[path] | {"tools": shown})

        await check_refusal(server, path, offering({"name": "f" * 1_000_000}), 400)
        (answer,) = await said(server, offering(*({"name": f"tool_{'x' * 50}_{number}"} for number in range(1000))))
        assert answer.status == 200


async def test_a_schema_that_cannot_be_sent_on_is_refused_and_one_that_refers_elsewhere_is_never_followed(server):
    for path in WITH_TOOLS:
        deep: dict[str, object] = {"type": "object"}
        for _ in range(300):
            deep = {"type": "object", "properties": {"a": deep}}
        key = "input_schema" if path == "/v1/messages" else "parameters"
        for schema, statuses in (
            (deep, (400,)),
            ({"$ref": "http://127.0.0.1:1/schema"}, (200,)),
            ({"$ref": "file:///etc/passwd"}, (200,)),
            ({"type": "nonsense", "properties": 5}, (200,)),
            ({"type": "object", "properties": {"a": {"$ref": "#"}}}, (200,)),
            (5, (400,)),
        ):
            tool = {"name": "f", key: schema}
            shown = tool if path == "/v1/messages" else {"type": "function", "function": tool}
            (answer,) = await said(server, request(path, BODIES[path] | {"tools": [shown]}))
            assert answer.status in statuses, (schema, answer)


async def test_arguments_no_json_can_hold_do_not_break_the_answer(engine, server):
    for arguments in ('{"a": "\\ud800"}', '{"a": 1e999}', "nope", '{"a":' + "[" * 3000, "{'a': '\\ud800'}"):
        engine.rehearse(Reply(text=f'<tool_call>{{"name": "f", "arguments": {arguments}}}</tool_call>'))
        for path, stream in product(WITH_TOOLS, (True, False)):
            tool = {"name": "f"} if path == "/v1/messages" else {"type": "function", "function": {"name": "f"}}
            (answer,) = await said(server, request(path, BODIES[path] | {"tools": [tool], "stream": stream}))
            assert answer.status == 200
            assert b"server failed" not in answer.body


async def test_an_engine_may_call_its_models_what_it_likes(tmp_path, engine):
    odd = ScriptedEngine(says="Hello.", name="s", cards=[scripted_card("s", "od\r\nd: x")])
    async with served(odd, root=tmp_path) as server:
        (answer,) = await said(server, request(CHAT, {"model": "od\r\nd: x", "messages": SAID}))
        assert (answer.status, answer.headers["x-fireside-model"]) == (200, "od??d: x")
        assert "d" not in answer.headers


async def test_a_limit_that_is_no_number_of_models_is_no_fault_of_the_server(server):
    for limit in ("²", "9" * 5000, "x", "-1", "1e3", ""):
        path = f"/v1/models?limit={quote(limit)}"
        (answer,) = await said(server, request(path, None, "anthropic-version: 2023-06-01", method="GET"))
        assert answer.status in (200, 400)


NO_HTTP = {
    "not HTTP": b"hello\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303"),
    "another version": b"POST %b HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "two lengths": b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "a length and chunks": b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "a length without end": b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "no chunk": b"POST %b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    "a blank before the colon": b"POST %b HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "a zero in a header": b"POST %b HTTP/1.1\r\nHost: localhost\r\nX-A: a\0b\r\n\r\n",
}


async def test_what_is_no_http_is_refused_in_the_words_of_its_path_as_far_as_that_was_told(server):
    for name in NO_HTTP:
        for path in (CHAT, "/v1/messages", "/api/chat", "/infill", "/api/v1/chat"):
            raw = NO_HTTP[name]
            (answer,) = await said(server, raw.replace(b"%b", path.encode()))
            assert (answer.status, answer.headers["connection"]) == (400, "close")
            if b"%b" in raw and name != "another version":
                check_shape(path, answer.body)


@pytest.mark.parametrize("pieces", [1, 30])
async def test_a_head_has_a_bound_however_it_comes(server, pieces):
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nX-A: ".encode() + b"a" * (bounds.MOST_HEAD + 100)
    host, port = server.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    size = len(head) // pieces + 1
    for at in range(0, len(head), size):
        writer.write(head[at : at + size])
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(GUARD):
        answer = await answer_of(reader)
    writer.close()
    assert answer.status == 431
    check_shape(CHAT, answer.body)


async def test_a_body_is_no_head_whatever_its_size_and_wherever_it_is_split(server):
    sent = request(CHAT, {"model": "script", "messages": [{"role": "user", "content": "a" * 300_000}]})
    for at in (5, 60, 70_000, 200_000):
        host, port = server.address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        async with asyncio.timeout(GUARD):
            writer.write(sent[:at])
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(sent[at:])
            assert (await answer_of(reader)).status == 200
        writer.close()


async def test_nobody_waits_for_ever_for_the_rest_of_a_request(server, monkeypatch):
    monkeypatch.setattr(bounds, "PATIENCE_SECONDS", 0.05)
    line = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
    begun = (line[:40], line + b"Content-Length: 100\r\n\r\n{", line + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
    for sent in begun:
        (answer,) = await said(server, sent)
        assert answer.status == 408
        check_shape(CHAT, answer.body)
    assert await said(server, b"") == []


async def test_an_answer_that_takes_long_is_no_reason_for_impatience(engine, server, monkeypatch):
    monkeypatch.setattr(bounds, "PATIENCE_SECONDS", 0.02)
    engine.rehearse(Reply("Hello there.", pace=0.05))
    (answer,) = await said(server, request(CHAT, BODIES[CHAT]))
    assert answer.status == 200


async def test_requests_in_one_write_are_answered_in_their_order_and_what_was_refused_spoils_none(server):
    good = request(CHAT, BODIES[CHAT], close=False)
    told = await said(
        server,
        good + request("/v1/nothing", BODIES[CHAT], close=False) + request(CHAT, b"{", close=False)
        + request(CHAT, BODIES[CHAT], "Content-Encoding: gzip", close=False)
        + request(CHAT, BODIES[CHAT], "Origin: https://evil.com", close=False) + good * 10
        + request("/v1/models", method="GET"),
    )  # fmt: skip
    assert [answer.status for answer in told] == [200, 404, 400, 415, 403, *([200] * 10), 200]


async def test_every_method_at_every_path_has_an_answer(server):
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"):
        for path in (
            *BODIES,
            "/",
            "/health",
            "/metrics",
            "/v1/models",
            "/api/tags",
            "/api/v1/config",
            "/openapi.json",
            "/x",
        ):
            host, port = server.address.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(request(path, method=method))
            async with asyncio.timeout(GUARD):
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            status = int(head.split()[1])
            assert status < 500
            assert (method == "HEAD") <= (body == b"")
            if status == 405:
                assert b"\r\nallow: " in head


ASTRAY = ("//v1/models", "/v1/../etc/passwd", "/v1/models/%2e%2e%2f%2e%2e%2fetc", "/%00", "/v1/models/%ff", "/v1/models/%",
     "/api/blobs/sha256:../../x", "/api/v1/symbols/..%2f..", "*", "http://evil.com/v1/models", "/" + "a" * 5000,
     "/v1/models/<script>", "/v1/models;x", "/V1/MODELS")  # fmt: skip


async def test_no_path_leads_astray(server):
    for path in ASTRAY:
        for method in ("GET", "POST", "DELETE"):
            (answer,) = await said(server, request(path, method=method))
            assert answer.status < 500
            assert len(answer.body) < 4000
            assert b"root:" not in answer.body
            assert answer.headers["content-type"].startswith("application/json")


FOREIGN = ("127.0.0.1.evil.com", "localhost.evil.com:80", "127.0.0.1@evil.com", "[::1]evil.com", "evil.com#localhost",
     "0x7f000001", "2130706433", "127.1", "evil.com, localhost", "localhost\tevil.com", "evil.com/")  # fmt: skip


async def test_no_name_of_somebody_else_passes_for_this_machine(server):
    for host in FOREIGN:
        sent = request(CHAT, BODIES[CHAT]).replace(b"Host: localhost", b"Host: " + host.encode())
        (answer,) = await said(server, sent)
        assert answer.status == 403
        assert b"server.allowed_hosts" in answer.body


async def test_an_answer_half_said_is_not_spoilt_by_what_comes_behind_the_request(engine, server):
    hold = asyncio.Event()
    engine.rehearse(Reply("one two", hold=hold, hold_after=1), Reply("Hello."))
    host, port = server.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request(CHAT, BODIES[CHAT] | {"stream": True}, close=False))
    async with asyncio.timeout(GUARD):
        await reader.readuntil(b"one")
        writer.write(b"this is no HTTP\r\n\r\n")
        rest = await reader.read()
    writer.close()
    assert b"HTTP/1.1" not in rest
    await until(lambda: engine.running == 0)

"""Keys, limits, usage and the audit log on the way of real requests."""

import asyncio
import json
import os
import time

import aiohttp
import pytest

from fireside.app.records import build_records
from fireside.config.paths import Paths
from fireside.config.secrets import Secrets
from fireside.core.errors import NotPermitted
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.records import audit
from fireside.records.database import Database
from fireside.records.keys import KeyLimits, Keys, Role, Scopes
from fireside.records.usage import report
from support.gateways import until
from support.servers import served

HI = {"model": "script", "messages": [{"role": "user", "content": "hi"}]}
CLOSED = {"server.require_keys": True}


@pytest.fixture
def paths() -> Paths:
    return Paths.from_environment(os.environ)


@pytest.fixture
def keys(paths):
    made = Keys(Database.file(paths.data / "records.db"))
    yield made
    made.database.close()


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(says="Hello there.", name="s")


async def asked(server, path="/v1/chat/completions", *, key="", body=HI):
    """(status, headers, JSON) of one request."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    data = json.dumps(body).encode() if body is not None else None
    async with (
        aiohttp.ClientSession() as session,
        session.request("POST" if data else "GET", server.address + path, data=data, headers=headers) as response,
    ):
        return response.status, response.headers, json.loads(await response.read())


async def events(paths: Paths, *names: str) -> list[dict[str, object]]:
    return [entry for entry in audit.entries(paths.data / "audit") if entry["event"] in names]


async def test_on_loopback_nobody_needs_a_key_and_every_request_is_written_down(engine, tmp_path, paths):
    async with served(engine, root=tmp_path) as server:
        assert (await asked(server))[0] == 200
        assert (await asked(server, key="sk-local"))[0] == 200
    first, _ = await events(paths, "request")
    assert (first["route"], first["status"], first["engine"], first["client"]) == (
        *("/v1/chat/completions", 200, "s"),
        "127.0.0.1",
    )
    assert "hi" not in (paths.data / "audit/server.jsonl").read_text().split('"')
    (used,) = report(Database.file(paths.data / "records.db"))
    assert (used.key_id, used.requests, used.failed) == ("", 2, 0)


async def test_where_keys_are_asked_for_each_refusal_says_which_it_is(engine, tmp_path, keys, paths):
    _, good = keys.create("laptop")
    _, old = keys.create("old", expires=time.time() - 1)
    _, gone = keys.create("gone")
    keys.revoke("gone")
    async with served(engine, root=tmp_path, flags=CLOSED) as server:
        assert (await asked(server, key=good))[0] == 200
        for key, word in (("", "wants a key"), ("sk-local", "not known"), (old, "expired"), (gone, "revoked")):
            status, headers, body = await asked(server, key=key)
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
            assert word in body["error"]["message"]
    refused = {entry["reason"]: entry["times"] for entry in await events(paths, "login_refused")}
    assert refused == {"missing": 1, "unknown": 1, "expired": 1, "revoked": 1}
    key = keys.find("laptop")
    assert key.last_used is not None


async def test_a_key_may_only_what_it_is_for(engine, tmp_path, keys, paths):
    _, viewer = keys.create("viewer", role=Role.VIEWER)
    _, complete = keys.create("complete", scopes=Scopes(routes=("complete",)))
    async with served(engine, root=tmp_path, flags=CLOSED) as server:
        assert (await asked(server, "/v1/models", key=viewer, body=None))[0] == 200
        for key in (viewer, complete):
            assert (await asked(server, key=key))[0] == 403
        assert (await asked(server, "/v1/models", key=complete, body=None))[0] == 403
    assert sum(int(str(entry["times"])) for entry in await events(paths, "not_permitted")) == 3


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", HI),
        ("/v1/messages", HI),
        ("/v1/responses", {"model": "script", "input": "hi"}),
        ("/v1/completions", {"model": "script", "prompt": "hi"}),
        ("/v1/embeddings", {"model": "script", "input": "hi"}),
        ("/infill", {"model": "script", "input_prefix": "hi"}),
        ("/api/chat", HI | {"stream": False}),
        ("/api/generate", {"model": "script", "prompt": "hi", "stream": False}),
        ("/api/embed", {"model": "script", "input": "hi"}),
        ("/api/v1/embed", {"model": "script", "texts": ["hi"]}),
    ],
)
async def test_a_key_for_some_models_may_use_no_other_through_any_door(engine, tmp_path, keys, path, body):
    _, other = keys.create("other", scopes=Scopes(models=("qwen*",)))
    _, right = keys.create("right", scopes=Scopes(models=("scri*", "qwen*")))
    async with served(engine, root=tmp_path, flags=CLOSED) as server:
        assert (await asked(server, path, key=other, body=body))[0] == 403
        assert (await asked(server, path, key=right, body=body))[0] == 200


async def test_a_limit_that_is_reached_is_429_with_the_time_to_wait(engine, tmp_path, keys, paths):
    _, key = keys.create("laptop", limits=KeyLimits(rpm=2))
    async with served(engine, root=tmp_path, flags=CLOSED) as server:
        status, headers, _ = await asked(server, key=key)
        assert (status, headers["x-ratelimit-remaining-requests"]) == (200, "1")
        await asked(server, key=key)
        status, headers, body = await asked(server, key=key)
    assert status == 429
    assert 25 <= int(headers["retry-after"]) <= 31
    assert headers["ratelimit-remaining"] == "0"
    assert "2 times a minute" in body["error"]["message"]
    assert [(entry["reason"], entry["client"]) for entry in await events(paths, "limit_reached")] == [
        ("requests", "laptop")
    ]


async def test_tokens_are_settled_by_what_was_used_and_budgets_survive_a_restart(engine, tmp_path, keys):
    made, key = keys.create("laptop", limits=KeyLimits(budget_day=1, concurrency=1))
    async with served(engine, root=tmp_path, flags=CLOSED) as server:
        assert (await asked(server, key=key))[0] == 200
        assert (await asked(server, key=key))[0] == 429
    (used,) = [each for each in report(keys.database) if each.key_id == made.id]
    assert used.prompt_tokens + used.completion_tokens >= 1
    async with served(engine, root=tmp_path, flags=CLOSED) as server:
        status, _, body = await asked(server, key=key)
    assert (status, "of today" in body["error"]["message"]) == (429, True)


async def test_a_running_server_learns_of_new_and_revoked_keys(engine, tmp_path, keys, monkeypatch):
    monkeypatch.setattr("fireside.server.gates.LOOK_SECONDS", 0.01)
    _, first = keys.create("first")
    async with served(engine, root=tmp_path, flags=CLOSED) as server, asyncio.timeout(10):
        _, second = keys.create("second")
        while (await asked(server, key=second))[0] != 200:
            await asyncio.sleep(0.01)
        keys.revoke("first")
        while (await asked(server, key=first))[0] != 401:
            await asyncio.sleep(0.01)
        assert (await asked(server, key=second))[0] == 200


async def test_a_client_that_leaves_gives_its_place_back(tmp_path, keys, paths):
    engine = ScriptedEngine(Reply("Hello there.", hold=asyncio.Event()), "Hello again.", name="s")
    _, key = keys.create("laptop", limits=KeyLimits(concurrency=1))
    async with served(engine, root=tmp_path, flags=CLOSED) as server:
        waiting = asyncio.ensure_future(asked(server, key=key))
        await until(lambda: engine.running == 1)
        assert (await asked(server, key=key))[0] == 429
        waiting.cancel()
        await until(lambda: engine.running == 0)
        assert (await asked(server, key=key))[0] == 200
    assert [entry["status"] for entry in await events(paths, "request")] == [499, 200]


async def test_a_server_others_can_reach_does_not_open_without_a_key(tmp_path, paths):
    from fireside.app.assembly import assemble
    from fireside.server.gates import Gates

    wings = assemble(tmp_path, flags={"server.host": "0.0.0.0"})
    settings = wings.config.settings
    gates = Gates(build_records(settings, paths, Secrets({}), "server"), settings.server, egress=wings.transport.egress)
    with pytest.raises(NotPermitted, match="reached by others"):
        await gates.open()
    await gates.close()
    await wings.transport.aclose()
    wings.project.close()

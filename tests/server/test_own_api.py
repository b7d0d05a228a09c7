"""Our own API: chats about the project, its code, models, settings and state; as JSON and as streams that can be ended."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from fireside.config.paths import Paths
from fireside.core.errors import ErrorKind
from fireside.core.messages import ToolCall
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.records.database import Database
from fireside.records.keys import Keys, Role
from support.doors import events_of
from support.project import write_project
from support.servers import meanwhile, served

HI = [{"role": "user", "content": "hi"}]
ROOT = {"models.chat": "script"}


@asynccontextmanager
async def asked(server, path, body=None, *, method=None, key=None, headers=None):
    method = method or ("GET" if body is None else "POST")
    sent = {"Authorization": f"Bearer {key}"} if key else {}
    data = json.dumps(body).encode() if body is not None else None
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, server.address + path, data=data, headers=sent | (headers or {})) as response,
    ):
        yield response


async def told(server, path, body=None, **options):
    """Status and JSON of a reply."""
    async with asked(server, path, body, **options) as response:
        return response.status, await response.json()


async def events(server, path, body):
    async with asked(server, path, body) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        return [(name, json.loads(data)) for name, data in events_of(await response.read())]


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(says="Ships lie at berths.", name="s")


@pytest.fixture
async def server(engine, tmp_path):
    async with served(engine, root=write_project(tmp_path / "harbour"), flags=ROOT) as made:
        yield made


async def test_a_question_is_answered_from_the_project_and_says_which_lines_it_stands_on(server, engine):
    heard = await events(server, "/api/v1/chat", {"question": "how is a berth allocated?"})
    names = [name for name, _ in heard]
    assert names[0] == "context"
    assert names[-1] == "finished"
    assert "harbour/berths.py" in [each["path"] for each in heard[0][1]["citations"]]
    assert "".join(data["text"] for name, data in heard if name == "text") == "Ships lie at berths."
    assert heard[-1][1]["model"] == "script"
    assert "def allocate_berth" in engine.requests[0].messages[-1].content


async def test_events_are_numbered(server):
    async with asked(server, "/api/v1/chat", {"question": "what is a berth?"}) as response:
        ids = [line[4:] for line in (await response.text()).splitlines() if line.startswith("id: ")]
    assert ids == [str(number) for number in range(1, len(ids) + 1)]


async def test_a_chat_that_is_not_streamed_is_one_object_with_what_the_stream_would_have_said(server):
    status, said = await told(server, "/api/v1/chat", {"question": "how is a berth allocated?", "stream": False})
    assert (status, said["text"], said["generated"]) == (200, "Ships lie at berths.", True)
    assert said["citations"]
    assert said["usage"]["completion_tokens"] > 0


async def test_without_context_the_model_sees_what_was_sent_and_nothing_else(server, engine):
    body = {"messages": HI, "context": False, "stream": False, "temperature": 0.7, "max_tokens": 50}
    assert (await told(server, "/api/v1/chat", body))[0] == 200
    (request,) = engine.requests
    assert [message.content for message in request.messages] == ["hi"]
    assert (request.sampling.temperature, request.sampling.max_tokens) == (0.7, 50)


async def test_with_context_the_caller_still_chooses_how_tokens_are_drawn(server, engine):
    body = {"question": "what is a berth?", "stream": False, "temperature": 0.7, "reasoning": "off"}
    assert (await told(server, "/api/v1/chat", body))[0] == 200
    assert (engine.requests[0].sampling.temperature, engine.requests[0].reasoning) == (0.7, "off")


async def test_tools_that_a_caller_offers_come_back_as_calls(tmp_path):
    engine = ScriptedEngine(Reply(tool_calls=(ToolCall("1", "look", '{"at": "tides"}'),)), name="s")
    body = {"messages": HI, "tools": [{"name": "look", "parameters": {"type": "object"}}]}
    async with served(engine, root=tmp_path, flags=ROOT) as server:
        heard = dict(await events(server, "/api/v1/chat", body))
    assert (heard["tool_call"]["name"], json.loads(heard["tool_call"]["arguments"])) == ("look", {"at": "tides"})
    assert heard["finished"]["finish_reason"] == "tool_calls"


async def test_what_does_not_go_together_is_told(server):
    status, said = await told(server, "/api/v1/chat", {"question": "hi", "context": True, "tools": [{"name": "look"}]})
    assert (status, said["error"]["param"]) == (422, "context")


@pytest.mark.parametrize("stream", [True, False])
async def test_what_goes_wrong_before_anything_was_sent_has_its_own_status(server, stream):
    status, said = await told(
        server, "/api/v1/chat", {"messages": HI, "model": "scrip", "context": False, "stream": stream}
    )
    assert (status, said["error"]["kind"]) == (404, ErrorKind.MODEL_NOT_FOUND)
    assert "script" in said["error"]["message"] + said["error"]["remedy"]


async def test_what_goes_wrong_later_is_the_last_event(tmp_path):
    async with served(ScriptedEngine(fail_after=2, name="s"), root=tmp_path, flags=ROOT) as server:
        heard = await events(server, "/api/v1/chat", {"messages": HI, "context": False})
    assert [name for name, _ in heard] == ["text", "text", "failed"]
    assert heard[-1][1]["error"]["kind"] == "connection"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, None),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "owl", "content": "hi"}]}, "messages[0].role"),
        ({"messages": HI, "temperature": "hot"}, "temperature"),
        ({"question": " "}, "question"),
    ],
)
async def test_a_body_that_does_not_fit_is_a_400_that_names_the_place(server, body, param):
    status, said = await told(server, "/api/v1/chat", body)
    assert (status, said["error"]["kind"], said["error"]["param"]) == (400, "validation", param)
    assert "\n" not in said["error"]["message"]


async def test_a_body_is_json_whatever_its_header_says_and_unknown_fields_are_ignored(server):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    status, _ = await told(server, "/api/v1/search", {"query": "tide", "colour": "red"}, headers=headers)
    assert status == 200


async def test_a_body_above_the_limit_is_refused(engine, tmp_path):
    async with served(engine, root=tmp_path, flags={"server.body_limit": 1000}) as server:
        assert (await told(server, "/api/v1/chat", {"question": "x" * 2000}))[0] == 413


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("context", [True, False])
async def test_a_client_that_goes_frees_the_engine_at_once(tmp_path, stream, context):
    engine = ScriptedEngine(Reply(text="one two three", hold=asyncio.Event(), hold_after=1), name="s")
    async with served(engine, root=write_project(tmp_path), flags=ROOT) as server:

        async def ask():
            async with asked(
                server, "/api/v1/chat", {"messages": HI, "context": context, "stream": stream}
            ) as response:
                await response.read()

        asking = asyncio.create_task(ask())
        await meanwhile(lambda: engine.running == 1)
        asking.cancel()
        async with asyncio.timeout(0.1):
            while engine.running:
                await asyncio.sleep(0.001)
        assert engine.cancelled == 1


async def test_a_running_stream_is_listed_and_ended_by_its_id(tmp_path):
    engine = ScriptedEngine(Reply(text="one two three", hold=asyncio.Event(), hold_after=1), name="s")
    async with served(engine, root=tmp_path, flags=ROOT) as server:
        async with asked(server, "/api/v1/chat", {"messages": HI, "context": False}) as response:
            await response.content.readuntil(b"\n\n")
            name = response.headers["x-request-id"]
            _, listed = await told(server, "/api/v1/requests")
            assert [(each["id"], each["route"]) for each in listed["requests"]] == [(name, "/api/v1/chat")]
            async with asked(server, f"/api/v1/requests/{name}", method="DELETE") as ending:
                assert ending.status == 204
            ((last, data),) = [(name, json.loads(data)) for name, data in events_of(await response.read())]
        assert (last, data["error"]["message"]) == ("failed", "the request was ended")
        await meanwhile(lambda: engine.cancelled == 1)
        assert (await told(server, f"/api/v1/requests/{name}", method="DELETE"))[0] == 404
        assert (await told(server, "/api/v1/requests"))[1] == {"requests": []}


async def test_a_stream_that_waits_is_kept_alive(tmp_path):
    hold = asyncio.Event()
    engine = ScriptedEngine(Reply(text="late", hold=hold), name="s")
    async with (
        served(engine, root=tmp_path, flags=ROOT | {"server.wait_seconds": 0.01}) as server,
        asked(server, "/api/v1/chat", {"messages": HI, "context": False}) as response,
    ):
        assert await response.content.readuntil(b"\n\n") == b": waiting for the model\n\n"
        hold.set()
        assert [name for name, _ in events_of(await response.read())] == ["text", "finished"]


async def test_search_answers_the_same_by_address_and_by_body(server):
    status, by_body = await told(server, "/api/v1/search", {"query": "height of the tide", "limit": 1})
    assert (status, by_body["results"][0]["path"]) == (200, "harbour/tides.py")
    _, by_address = await told(server, "/api/v1/search?query=height%20of%20the%20tide&limit=1")
    assert by_address["results"] == by_body["results"]


async def test_search_sees_a_file_as_it_is_now(server):
    await told(server, "/api/v1/search", {"query": "quarantine"})
    (server.fireside.project.root / "quarantine.py").write_text("def raise_yellow_flag():\n    return 'quarantine'\n")
    _, said = await told(server, "/api/v1/search", {"query": "raise_yellow_flag"})
    assert said["results"][0]["path"] == "quarantine.py"


async def test_definitions_are_found_by_name_or_the_nearest_are_named(server):
    _, found = await told(server, "/api/v1/symbols/allocate_berth")
    assert [(each["path"], each["kind"]) for each in found["symbols"]] == [("harbour/berths.py", "function")]
    _, missed = await told(server, "/api/v1/symbols/alocate_berth")
    assert (missed["symbols"], "allocate_berth" in missed["nearest"]) == ([], True)


async def test_the_index_is_read_with_progress_or_at_once(server):
    heard = await events(server, "/api/v1/index", {"stream": True})
    assert [name for name, _ in heard] == ["progress"] * 4 + ["finished"]
    assert heard[-1][1]["added"] == 4
    _, report = await told(server, "/api/v1/index", {})
    _, state = await told(server, "/api/v1/index")
    assert (report["added"], state["files"], state["generation"]) == (0, 4, report["generation"])


async def test_a_completion_is_made_at_a_place_or_between_two_texts(tmp_path):
    engine = ScriptedEngine(says="amplitude", name="s")
    async with served(engine, root=write_project(tmp_path), flags=ROOT) as server:
        place = {"path": "harbour/tides.py", "line": 1, "text": "return ", "column": 8}
        assert (await told(server, "/api/v1/complete", place))[1]["text"] == "amplitude"
        assert (await told(server, "/api/v1/complete", {"prefix": "return ", "suffix": "\n"}))[1]["text"] == "amplitude"


async def test_a_place_that_is_not_in_the_file_or_not_in_the_project_is_told(server):
    status, said = await told(server, "/api/v1/complete", {"path": "harbour/tides.py", "line": 99})
    assert (status, said["error"]["message"]) == (422, "harbour/tides.py has 9 lines, there is no line 99")
    assert (await told(server, "/api/v1/complete", {"path": "../../etc/passwd", "line": 1}))[0] == 403


async def test_models_are_told_without_their_folders_and_can_be_pulled(server):
    _, said = await told(server, "/api/v1/models")
    assert [each["name"] for each in said["models"]] == ["script"]
    assert "path" not in said["models"][0]
    assert (await told(server, "/api/v1/models/script"))[1] == said["models"][0]
    heard = await events(server, "/api/v1/models/pull", {"source": "tiny"})
    assert [name for name, _ in heard] == ["progress", "progress", "finished"]


async def test_texts_become_vectors(server):
    _, said = await told(server, "/api/v1/embed", {"texts": ["a", "b"]})
    assert (said["model"], len(said["vectors"])) == ("script", 2)


async def test_settings_are_shown_with_their_origin_and_changed_for_good(server):
    status, said = await told(server, "/api/v1/config", {"set": {"agent.excerpts": "3"}}, method="PATCH")
    assert (status, said["changed"], said["hidden"]) == (200, ["agent.excerpts"], {})
    _, items = await told(server, "/api/v1/config")
    assert (items["agent.excerpts"]["value"], items["agent.excerpts"]["layer"]) == (3, "user")
    assert "excerpts = 3" in Path(said["file"]).read_text()


async def test_changes_are_all_made_or_none(server):
    body = {"set": {"agent.excerpts": 4, "agent.exerpts": 5}}
    status, said = await told(server, "/api/v1/config", body, method="PATCH")
    assert (status, said["error"]["message"]) == (422, "there is no key agent.exerpts; did you mean agent.excerpts?")
    assert (await told(server, "/api/v1/config"))[1]["agent.excerpts"]["layer"] == "default"


async def test_a_change_that_another_layer_hides_says_so(server):
    _, said = await told(server, "/api/v1/config", {"set": {"models.chat": "x"}}, method="PATCH")
    assert said["hidden"] == {"models.chat": "command line"}


async def test_health_names_each_engine_and_metrics_count_what_was_asked(server):
    _, health = await told(server, "/api/v1/health")
    assert (health["status"], health["engines"]["s"]["state"]) == ("ok", "ready")
    await told(server, "/api/v1/chat", {"messages": HI, "context": False, "stream": False})
    _, metrics = await told(server, "/api/v1/metrics")
    assert (metrics["requests"]["chat"], metrics["load"]) == (1, {"s": {"running": 0, "waiting": 0}})


@pytest.mark.parametrize("place", ["conversations", "runs", "login"])
async def test_what_is_not_there_is_a_404_in_our_words(server, place):
    status, said = await told(server, f"/api/v1/{place}")
    assert (status, said["error"]["remedy"]) == (404, "see the server's /docs for what there is")


def test_nothing_of_it_is_loaded_before_it_is_asked_for():
    code = "import fireside.server.house, sys; print({'fastapi', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


MAY = {
    "models": ("viewer", "user", "admin"),
    "health": ("viewer", "user", "admin"),
    "metrics": ("viewer", "user", "admin"),
    "search?query=tide": ("viewer", "user", "admin"),
    "config": ("user", "admin"),
}


async def test_each_role_may_do_what_it_is_for(engine, tmp_path):
    kept = Keys(Database.file(Paths.from_environment(os.environ).data / "records.db"))
    keys = {role.value: kept.create(role.value, role=role)[1] for role in Role}
    async with served(engine, root=write_project(tmp_path), flags=ROOT | {"server.require_keys": True}) as server:
        for role, key in keys.items():
            for place, roles in MAY.items():
                status, _ = await told(server, f"/api/v1/{place}", key=key)
                assert status == (200 if role in roles else 403), (role, place)
            changing = {"set": {"agent.excerpts": 3}}
            assert (await told(server, "/api/v1/config", changing, method="PATCH", key=key))[0] == (
                200 if role == "admin" else 403
            )
            chatting = {"messages": HI, "stream": False}
            assert (await told(server, "/api/v1/chat", chatting, key=key))[0] == (403 if role == "viewer" else 200)
        assert (await told(server, "/api/v1/models"))[0] == 401
        assert (await told(server, "/api/v1/models", key="fsd_wrong"))[0] == 401

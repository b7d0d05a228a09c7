"""The embedded engine through the whole house: a real llama.cpp child on a GGUF the test made."""

import itertools
import json
from pathlib import Path

import pytest

from fireside import Fireside
from fireside.agent.session import Session
from fireside.context.budget import Budget
from fireside.context.builder import build
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, Sampling
from fireside.core.turns import TurnFinished
from fireside.models import tiny
from support.project import fireside


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return tiny.write(tmp_path / "tiny.gguf")


def test_a_gguf_is_added_listed_chosen_and_asked(harbour: Path, gguf: Path):
    added = fireside("models", "add", str(gguf), "--name", "small", cwd=harbour)
    assert added.returncode == 0, added.stderr
    listed = fireside("models", "list", "--json", cwd=harbour)
    assert "small" in listed.stdout
    assert fireside("models", "use", "chat", "small@embedded", cwd=harbour).returncode == 0
    asked = fireside("--set", "agent.answer_tokens=16", "ask", "how is a berth chosen?", "--json", cwd=harbour)
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    assert answer["engine"] == "embedded"
    assert answer["usage"]["completion_tokens"] > 0
    assert answer["sources"][0]["path"] == "harbour/berths.py"


async def test_with_ollama_down_the_embedded_engine_answers(harbour: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    async with await Fireside.open(harbour, flags={"agent.answer_tokens": 16}) as house:
        house.store.add(gguf, "small")
        events = [event async for event in house.agent.turn(Session(), "how is a berth chosen?")]
    assert isinstance(events[-1], TurnFinished), events[-1]
    assert events[-1].engine == "embedded"
    assert events[-1].usage.completion_tokens > 0


async def test_the_second_turn_computes_only_what_is_new(harbour: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    async with await Fireside.open(harbour) as house:
        house.store.add(gguf, "small")
        hits = house.project.search("how is a berth chosen?", limit=2).hits if house.project.update() else ()
        history: list[Message] = []
        usages = []
        for question in ("how is a berth chosen?", "and the tide?", "and the pilot?"):
            built = build(question, hits, budget=Budget.for_window(4096, answer=64), history=history)
            request = ChatRequest(built.messages, sampling=Sampling(max_tokens=8, seed=3), session="one conversation")
            deltas = [delta async for delta in house.gateway.chat(request)]
            history += (built.question, Message("assistant", "It is so."))
            usages.append(deltas[-1].usage)
    for earlier, later in itertools.pairwise(usages):
        assert later.cached_tokens >= earlier.prompt_tokens * 0.9


async def test_a_direct_request_streams_and_ends_once(harbour: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    async with await Fireside.open(harbour) as house:
        house.store.add(gguf, "small")
        request = ChatRequest((Message("user", "hello"),), sampling=Sampling(max_tokens=8, temperature=0.0))
        deltas = [delta async for delta in house.gateway.chat(request)]
    assert sum(delta.finish_reason is not None for delta in deltas) == 1
    assert deltas[-1].engine == "embedded"

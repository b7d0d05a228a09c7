"""The engines the conformance suite is run against, each with what stands behind it."""

import asyncio
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec

from fireside.core.errors import ERRORS, ErrorKind, FiresideError
from fireside.core.events import EventBus
from fireside.core.requests import ChatRequest, Delta, ResponseFormat, Sampling
from fireside.core.streams import closing
from fireside.core.values import replace
from fireside.engines.anthropic import AnthropicSettings
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.engine import Engine
from fireside.engines.huggingface import HuggingFaceSettings
from fireside.engines.ledger import Ledger
from fireside.engines.llama_server import LlamaServerSettings
from fireside.engines.ollama import OllamaSettings
from fireside.engines.openai import OpenAISettings
from fireside.engines.registry import EngineContext, build_engine
from fireside.engines.scripted import Reply, ScriptedEngine, scripted_card
from fireside.engines.transport import Transport
from fireside.models.card import ModelCard
from support import fake_ollama
from support.answers import Answer
from support.fake_anthropic import FakeAnthropic
from support.fake_http import FakeHttp, FakeReply, Faults
from support.fake_ollama import FakeOllama
from support.fake_openai import FakeOpenAI
from support.subject import KINDS, RETRY_AFTER, Fault, Meeting, Says, Subject, until
from support.tiny import tiny_gguf


class ScriptedSubject(Subject):
    """The script is the backend: what it proves is that the suite asks nothing impossible."""

    name = "scripted"
    faults = (
        "refused", "reset", "cut", "ended", "missing_model", "loading", "silent", "stall", "out_of_memory", "rate_limit",
        "bad_request", "forbidden", "too_long", "server_error",
    )  # fmt: skip
    engine: ScriptedEngine

    async def open(self) -> None:
        self.card = scripted_card("scripted")
        self.engine = ScriptedEngine(name="scripted", cards=[self.card])

    def arrange(self, says: Says) -> None:
        self.engine.rehearse(
            Reply(
                text=says.text,
                reasoning=says.reasoning,
                tool_calls=says.tool_calls,
                hold=None if says.hold_after is None else asyncio.Event(),
                hold_after=says.hold_after or 0,
                error=None if says.fault is None else _scripted_error(says.fault),
                fail_after=says.fault_after,
            )
        )

    async def vanish(self) -> None:
        self.engine.break_off()


def _scripted_error(fault: Fault) -> FiresideError:
    kind = min(KINDS[fault])
    facts: dict[str, object] = {"retry_after": float(RETRY_AFTER)} if fault == "rate_limit" else {}
    if kind is ErrorKind.CONNECTION:
        facts["cause"] = fault
    if kind is ErrorKind.TIMEOUT:
        facts["phase"] = {"stall": "stall", "loading": "load"}.get(fault, "first_token")
    return ERRORS[kind](f"{fault}, as the script says", remedy="change the script", **facts)


class ConnectedSubject(Subject):
    """An engine that speaks to a server. ``folder``: for whatever it keeps."""

    IMPATIENT = 0.15  # seconds; a limit that a fake on loopback keeps easily and a silent one breaks

    async def open(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self._transport = Transport(Egress(EgressSettings(), Ledger(self.folder / "egress.jsonl")))
        self._extra: list[Engine] = []
        await self.start()

    async def close(self) -> None:
        for engine in (self.engine, *self._extra):
            await engine.aclose()
        await self._transport.aclose()
        await self.stop()
        self._folder.cleanup()

    async def start(self) -> None:
        """Start the backend, and build ``engine`` and ``card``."""
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    def build(self, settings: msgspec.Struct) -> Engine:
        kind = settings.__struct_config__.tag
        assert isinstance(kind, str)
        context = EngineContext(self._transport.egress, self._transport, EventBus(), self.folder, lambda name: None)
        engine = build_engine(kind, self.name, settings, context)
        self._extra.append(engine)
        return engine


class OllamaSubject(ConnectedSubject):
    """The native API, on a fake that keeps the contract of the 0.33 line."""

    name = "ollama"
    faults = (
        "refused", "reset", "cut", "ended", "broken", "html", "missing_model", "loading", "silent", "stall", "out_of_memory", "busy",
        "bad_request", "forbidden", "too_long", "server_error", "error_in_stream",
    )  # fmt: skip

    async def start(self) -> None:
        self.fake = await FakeOllama().__aenter__()
        self.engine = self.build(OllamaSettings(url=self.fake.url))
        limits = dict.fromkeys(
            ("connect_seconds", "load_seconds", "first_token_seconds", "stall_seconds"), self.IMPATIENT
        )
        self._impatient = self.build(OllamaSettings(url=self.fake.url, **limits))
        self._nowhere = self.build(OllamaSettings(url=nowhere()))
        self.card, self._embedder = await self.engine.models()

    async def stop(self) -> None:
        await self.fake.__aexit__(None, None, None)

    async def vanish(self) -> None:
        await self.stop()

    @property
    def embedder(self) -> ModelCard:
        return self._embedder

    def arrange(self, says: Says) -> None:
        after, fault = says.fault_after, says.fault
        calls = [(call.name, json.loads(call.arguments)) for call in says.tool_calls]
        self.fake.replies, self.fake._used = (
            [fake_ollama.FakeReply(says.text, thinking=says.reasoning, tool_calls=calls)],
            set(),
        )
        errors = {
            "out_of_memory": (500, "model requires more system memory (9.1 GiB) than is available (3.2 GiB)"),
            "bad_request": (400, "invalid option provided: num_ctx"),
            "server_error": (500, "something went wrong"),
        }
        self.fake.faults = fake_ollama.Faults(
            split=says.split,
            busy=100 if fault == "busy" else 0,
            error=errors.get(fault or ""),
            error_line_after=after if fault == "error_in_stream" else None,
            cut_after=after if fault == "cut" else None,
            end_after=after if fault == "ended" else None,
            hold_after=after if fault in ("silent", "stall") else says.hold_after,
            hold_load=asyncio.Event() if fault == "loading" else None,
            reset=fault == "reset",
            broken_after=after if fault == "broken" else None,
            forbidden=fault == "forbidden",
            html=fault == "html",
        )

    async def run_into(self, says: Says) -> Meeting:
        meeting = await super().run_into(says)
        if says.fault == "refused":
            return meeting._replace(engine=self._nowhere)
        return (
            meeting._replace(engine=self._impatient) if KINDS[says.fault or "cut"] == {ErrorKind.TIMEOUT} else meeting
        )

    async def idle(self) -> None:
        await super().idle()
        await until(lambda: not self.fake.running)


class HttpSubject(ConnectedSubject):
    """An API with server-sent events, on a fake that can break every promise of HTTP."""

    faults = (
        "refused", "reset", "cut", "ended", "broken", "html", "missing_model", "loading", "silent", "stall", "out_of_memory", "busy",
        "rate_limit", "bad_request", "forbidden", "too_long", "server_error", "error_in_stream",
    )  # fmt: skip
    fake: FakeHttp

    def settings(self, url: str, **limits: float) -> msgspec.Struct:
        raise NotImplementedError

    def error(self, kind: str, message: str) -> object:
        """The body of an error as this API writes it."""
        raise NotImplementedError

    async def start(self) -> None:
        await self.fake.__aenter__()
        self.engine = self.build(self.settings(self.fake.url))
        limits = dict.fromkeys(
            ("connect_seconds", "load_seconds", "first_token_seconds", "stall_seconds"), self.IMPATIENT
        )
        self._impatient = self.build(self.settings(self.fake.url, **limits))
        self._nowhere = self.build(self.settings(nowhere()))
        self.card = (await self.engine.models())[0]

    async def stop(self) -> None:
        await self.fake.vanish()

    async def vanish(self) -> None:
        await self.fake.vanish()

    def arrange(self, says: Says) -> None:
        after, fault = says.fault_after, says.fault
        self.fake.rehearse(FakeReply(says.text, reasoning=says.reasoning, tool_calls=says.tool_calls))
        statuses = {
            "out_of_memory": (500, "api_error", "CUDA out of memory"),
            "busy": (503, "overloaded_error", "the server is overloaded"),
            "rate_limit": (429, "rate_limit_error", "slow down"),
            "bad_request": (400, "invalid_request_error", "temperature: must be a number"),
            "forbidden": (403, "permission_error", "your key may not use this model"),
            "server_error": (500, "api_error", "something went wrong"),
        }
        status, kind, message = statuses.get(fault or "", (0, "", ""))
        self.fake.faults = Faults(
            split=says.split,
            reset=fault == "reset",
            hold_head=asyncio.Event() if fault == "loading" else None,
            error=(status, self.error(kind, message)) if status else None,
            error_headers={"Retry-After": str(RETRY_AFTER)} if fault == "rate_limit" else {},
            html=200 if fault == "html" else 0,
            hold_after=after if fault in ("silent", "stall") else says.hold_after,
            cut_after=after if fault == "cut" else None,
            end_after=after if fault == "ended" else None,
            broken_after=after if fault == "broken" else None,
            error_after=after if fault == "error_in_stream" else None,
            error_event=self.error("api_error", "something went wrong"),
        )

    async def run_into(self, says: Says) -> Meeting:
        meeting = await super().run_into(says)
        if says.fault == "refused":
            return meeting._replace(engine=self._nowhere)
        return (
            meeting._replace(engine=self._impatient) if KINDS[says.fault or "cut"] == {ErrorKind.TIMEOUT} else meeting
        )

    async def idle(self) -> None:
        await super().idle()
        await until(lambda: not self.fake.running)


class OpenAISubject(HttpSubject):
    """A server like vLLM, with a family's own tokens for filling in code."""

    name = "openai"

    async def start(self) -> None:
        self.fake = FakeOpenAI(models={"qwen2.5-coder-fake": 8192, "fake-embed": 2048})
        await super().start()
        self._embedder = next(card for card in await self.engine.models() if card.can("embed"))

    @property
    def embedder(self) -> ModelCard:
        return self._embedder

    def settings(self, url: str, **limits: float) -> msgspec.Struct:
        return OpenAISettings(base_url=url, **limits)

    def error(self, kind: str, message: str) -> object:
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}


class AnthropicSubject(HttpSubject):
    """The Messages API: no completions, no embeddings, no seed."""

    name = "anthropic"

    async def start(self) -> None:
        self.fake = FakeAnthropic()
        await super().start()

    def settings(self, url: str, **limits: float) -> msgspec.Struct:
        return AnthropicSettings(base_url=url, key_name="", **limits)

    def error(self, kind: str, message: str) -> object:
        return {"type": "error", "error": {"type": kind, "message": message}}


class Doomed:
    """The subject's engine, whose model process is killed after so many pieces, as the system does when memory runs out."""

    def __init__(self, subject: "RealSubject", after: int) -> None:
        self._subject, self._after = subject, after

    async def chat(self, request: ChatRequest, card: ModelCard) -> AsyncIterator[Delta]:
        async with closing(self._subject.engine.chat(request, card)) as deltas:
            count = 0
            async for delta in deltas:
                yield delta
                count += 1
                if count == self._after:
                    os.kill(self._subject.process(), signal.SIGKILL)


class RealSubject(ConnectedSubject):
    """A model with random weights: it can be told what form to answer in, not what to say."""

    programmable = False
    ANSWER = 24  # tokens, where a case does not say how many

    def arrange(self, says: Says) -> None:
        """There is nothing to arrange."""

    def ask(self, says: Says | None = None, content: str = "Say it.", **changes: object) -> ChatRequest:
        request = super().ask(says, content, **changes)
        if "sampling" not in changes:
            request = replace(request, sampling=Sampling(max_tokens=self.ANSWER))
        return request

    def process(self) -> int:
        """The number of the process with the model that generates, as it is registered."""
        for folder in (self.folder / "engines").iterdir():
            if not json.loads((folder / "spec.json").read_bytes())["embedding"]:
                return int(json.loads((folder / "pids.json").read_bytes())["server_pid"])
        raise AssertionError("no model process is registered")

    async def run_into(self, says: Says) -> Meeting:
        meeting = await super().run_into(says)
        if says.fault == "killed":
            endless = replace(
                meeting.request, sampling=Sampling(max_tokens=4000, temperature=0.0), response_format=None
            )
            return meeting._replace(engine=Doomed(self, says.fault_after), request=endless)
        return meeting

    def check_said(self, answer: Answer, says: Says) -> None:
        assert answer.finish in ("stop", "length")
        assert answer.text.encode("utf-8") or answer.finish == "stop"


class HuggingFaceSubject(RealSubject):
    """A random Qwen2 checkpoint in a child process of its own."""

    name = "huggingface"
    faults = ("missing_model", "too_long", "killed")

    async def start(self) -> None:
        from support.tiny_checkpoint import write_checkpoint

        self.checkpoint = write_checkpoint(self.folder / "tiny-qwen2.5-coder")
        self.engine = self.build(HuggingFaceSettings(models=(str(self.checkpoint),), context=1024, parallel=4))
        (self.card,) = await self.engine.models()

    async def stop(self) -> None:
        return None

    async def vanish(self) -> None:
        shutil.rmtree(self.checkpoint)


class LlamaServerSubject(RealSubject):
    """The embedded llama.cpp on a random model, which says what it is to say because a schema allows nothing else."""

    name = "llama_server"
    faults = ("refused", "missing_model", "too_long", "killed")

    async def start(self) -> None:
        self.model = shutil.copy(tiny_gguf(), self.folder / "tiny.gguf")
        self.engine = self.build(LlamaServerSettings(models=(str(self.model),), context=2048, parallel=4, threads=1))
        self._nowhere = self.build(LlamaServerSettings(url=nowhere()))
        (self.card,) = await self.engine.models()

    async def stop(self) -> None:
        return None

    async def vanish(self) -> None:
        self.model.unlink()

    def ask(self, says: Says | None = None, content: str = "Say it.", **changes: object) -> ChatRequest:
        request = super().ask(says, content, **changes)
        self._dictated = not {"sampling", "tools", "response_format"} & changes.keys()
        if self._dictated:
            form = ResponseFormat({"type": "string", "enum": [(says or Says()).text]})
            request = replace(request, response_format=form, sampling=Sampling(max_tokens=1900))
        return request

    async def run_into(self, says: Says) -> Meeting:
        meeting = await super().run_into(says)
        return meeting._replace(engine=self._nowhere) if says.fault == "refused" else meeting

    def check_said(self, answer: Answer, says: Says) -> None:
        if not self._dictated:
            return super().check_said(answer, says)
        assert json.loads(answer.text) == says.text
        assert answer.finish == "stop"
        return None


def nowhere() -> str:
    """An address on this machine where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


SUBJECTS: Mapping[str, type[Subject]] = {
    kind.name: kind
    for kind in (
        ScriptedSubject,
        LlamaServerSubject,
        OllamaSubject,
        OpenAISubject,
        AnthropicSubject,
        HuggingFaceSubject,
    )
}

"""One run of the load driver: what is asked, by how many, for how long, and what came of it."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmarks.gateway.programs import LOAD_CORE, Programs, pinned
from fireside.core.values import replace

EVENTS = 100
LARGE_BYTES = 400_000
ANY_REFUSAL = 4


@dataclass(frozen=True, slots=True)
class Load:
    """``count``: answers in all, else ``seconds``. ``events``: content events every stream must have. ``cancel``: leave after the first.

    ``spread``: seconds over which the clients begin. ``expect``: the status, or its first digit.
    ``headers``: in place of the gateway's own key.
    """

    body: bytes
    connections: int = 1
    seconds: float = 0
    count: int = 0
    events: int = 0
    cancel: bool = False
    spread: float = 0
    expect: int = 200
    headers: Mapping[str, str] | None = None
    path: str = "/v1/chat/completions"


class Answered(msgspec.Struct, frozen=True):
    """``rate``: answers a second; ``total``: with those before the clock was started.

    Times in milliseconds: to the end of an answer, and to the first content of a stream.

    ``cpu_us``: the gateway's processor time for one answer, in microseconds.
    """

    answers: int = 0
    total: int = 0
    rate: float = 0
    errors: int = 0
    fault: str = ""
    ms_p50: float = 0
    ms_p99: float = 0
    first_p50: float = 0
    first_p99: float = 0
    cpu_us: float = 0


@dataclass(slots=True)
class Driver:
    """Runs loads; bodies are written once."""

    programs: Programs
    folder: Path
    _bodies: dict[bytes, Path] = field(default_factory=dict)

    def start(self, load: Load, port: int, headers: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        words: dict[str, object] = {"--port": port, "--path": load.path, "--body": self._body(load.body)}
        words |= {"--connections": load.connections, "--expect": load.expect}
        words |= (
            {"--count": load.count}
            if load.count
            else {"--seconds": load.seconds, "--warm": 0.2, "--least": load.connections}
        )
        words |= {"--sse": load.events} if load.events else {}
        words |= {"--spread": load.spread} if load.spread else {}
        command = [*pinned(LOAD_CORE), str(self.programs.driver)]
        command += [str(word) for pair in words.items() for word in pair] + ["--cancel"] * load.cancel
        for name, value in (load.headers if load.headers is not None else headers).items():
            command += ["--header", f"{name}: {value}"]
        return subprocess.Popen(command, stdout=subprocess.PIPE)

    def run(self, load: Load, port: int, headers: Mapping[str, str]) -> Answered:
        return read(self.start(load, port, headers))

    def _body(self, body: bytes) -> Path:
        if body not in self._bodies:
            self._bodies[body] = self.folder / f"body-{len(self._bodies)}.json"
            self._bodies[body].write_bytes(body)
        return self._bodies[body]


def read(process: "subprocess.Popen[bytes]") -> Answered:
    output, _ = process.communicate()
    return msgspec.json.decode(output, type=Answered)


def best(one: Answered, other: Answered) -> Answered:
    """The better of two rounds in every figure: whatever else ran on the machine only makes them worse."""
    faster = {name: max(getattr(one, name), getattr(other, name)) for name in ("rate", "answers", "total", "errors")}
    times = ("ms_p50", "ms_p99", "first_p50", "first_p99", "cpu_us")
    sooner = {name: min(getattr(one, name), getattr(other, name)) for name in times}
    return msgspec.structs.replace(one, **faster, **sooner, fault=one.fault or other.fault)


def chat(words: str = "", *, stream: bool = False) -> bytes:
    """A chat's body. ``words``: for the mock, to say how it shall answer."""
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": f"hello there {words}"}]
    return msgspec.json.encode({"model": "mock", "messages": messages} | ({"stream": True} if stream else {}))


def agent(size: int = LARGE_BYTES, *, steps: int = 100, tools: int = 15) -> bytes:
    """An agent's conversation, as it is sent again at each step: tools, and one file read after another."""
    line = "def scale(values, factor): return [value * factor for value in values]\n"
    path = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    named = [
        {"name": f"tool_{at}", "description": "does something to a file", "parameters": path} for at in range(tools)
    ]
    messages: list[dict[str, object]] = [
        {"role": "system", "content": "be careful"},
        {"role": "user", "content": "fix it"},
    ]
    for step in range(steps):
        call = {"name": "tool_1", "arguments": f'{{"path": "src/file_{step}.py"}}'}
        called = [{"id": f"call_{step}", "type": "function", "function": call}]
        messages.append({"role": "assistant", "content": f"step {step}: let me look", "tool_calls": called})
        read = line * (size // steps // len(line))
        messages.append({"role": "tool", "tool_call_id": f"call_{step}", "content": read})
    body = {"model": "mock", "messages": messages, "tools": [{"type": "function", "function": tool} for tool in named]}
    return msgspec.json.encode(body)


LARGE = agent()
LOADS: Mapping[str, Load] = {
    **{f"json-{clients}": Load(chat(), clients) for clients in (1, 16, 64)},
    **{f"sse-{clients}": Load(chat(stream=True), clients, events=EVENTS) for clients in (1, 16, 64)},
    # Readers of long answers come one after another; all at once would measure how a burst is queued, as the scenarios above do.
    "paced": Load(chat("[paced]", stream=True), 64, count=3 * 64, events=EVENTS, spread=1),
    "large": Load(LARGE, 4),
    "keys": Load(chat(), 16, expect=ANY_REFUSAL, headers={"Authorization": "Bearer sk-of-nobody"}),
}
BESIDE = Load(chat(), 1)
BURDEN = Load(LARGE, 2)


def lasting(load: Load, seconds: float) -> Load:
    return load if load.count else replace(load, seconds=seconds)

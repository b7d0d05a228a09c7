"""An Ollama server, from its address to what a model in its memory does: the first thing that is wrong explains the rest.

The order is that of a user's trouble: which address, does anything answer, is it Ollama, has it the models, can they do what they are
asked for, and with how much context.
"""

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from fireside.app.doctor.diagnosis import Diagnosis, Level, Subject
from fireside.app.doctor.inputs import DoctorInputs, OllamaTarget
from fireside.core.errors import ContextTooLong, FiresideError, NotPermitted, TimedOut
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, Sampling, Usage
from fireside.core.streams import closing
from fireside.engines import ollama_errors
from fireside.engines.egress import boundary_of
from fireside.engines.endpoint import Endpoint
from fireside.engines.engine import Boundary
from fireside.engines.ollama_client import GLANCE, OllamaClient, Version
from fireside.engines.reply import Response
from fireside.models.card import Capability, ModelCard
from fireside.wire.ollama import Loaded, Tag, is_cloud, read, read_version

OLDEST = (0, 9)
LOOKS = 5
SKEW_SECONDS = 60.0
NEEDED: dict[str, Capability] = {"chat": "chat", "complete": "fim", "embed": "embed"}
CAUSES = {
    "refused": "ollama-refused",
    "dns": "ollama-unknown-host",
    "tls": "ollama-tls",
    "unreachable": "ollama-unreachable",
    "protocol": "ollama-not-ollama",
    "host": "ollama-host-refused",
}
PROBE_WORDS = 3000


async def servers(inputs: DoctorInputs) -> list[Diagnosis]:
    """Every configured server, side by side."""
    found = await asyncio.gather(*(_server(target, inputs) for target in inputs.ollama))
    return [diagnosis for findings in found for diagnosis in findings]


async def _server(target: OllamaTarget, inputs: DoctorInputs) -> list[Diagnosis]:
    subject = Subject(target.engine.name)
    address = [*_address(target.endpoint, subject), *_exposure(target.endpoint, inputs, subject)]
    try:
        reached = await _reach(target.engine.client, subject)
        if any(finding.level == "error" for finding in reached):
            return address + reached
        return address + reached + await _models(target, inputs, subject)
    except FiresideError as error:
        return [*address, failure(error, target.endpoint, subject)]


def _address(endpoint: Endpoint, subject: Subject) -> Iterator[Diagnosis]:
    origin = {"flag": "the command line", "config": "the settings", "default": "nothing set"}.get(endpoint.origin)
    yield subject.ok(f"{endpoint.url} (from {origin or endpoint.origin})")
    for note in endpoint.notes:
        remedy = (
            f"write {endpoint.url} there"
            if endpoint.origin not in ("default", "config")
            else (f"fireside config set engines.{subject.name}.url {endpoint.url}")
        )
        yield subject.note("ollama-address-mended", note, remedy)
    if endpoint.port == 80 and ":80" not in endpoint.given:
        message = f"{endpoint.given} means port 80, not Ollama's 11434"
        yield subject.warning("ollama-port-80", message, f"name the port: http://{endpoint.host}:11434")


def _exposure(endpoint: Endpoint, inputs: DoctorInputs, subject: Subject) -> Iterator[Diagnosis]:
    if boundary_of(endpoint.host) is Boundary.CLOUD:
        message = f"{endpoint.host} is a public address; Ollama asks nobody for a password"
        yield subject.warning("ollama-public", message, "reach it through a tailnet or a VPN instead")
    bound = inputs.environ.get("OLLAMA_HOST", "")
    if "0.0.0.0" in bound or "[::]" in bound:
        message = f"OLLAMA_HOST={bound} lets everybody in your network use an Ollama started here, without a password"
        remedy = "bind it to this machine or to its tailnet address: OLLAMA_HOST=127.0.0.1 ollama serve"
        yield subject.warning("ollama-open-to-all", message, remedy)


async def _reach(client: OllamaClient, subject: Subject) -> list[Diagnosis]:
    """Whether Ollama answers, how fast, which version, and what its clock says. Raises what the first look raises."""
    times = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        response = await client.get("GET", "/api/version", timeouts=GLANCE)
        times.append(time.perf_counter() - began)
        if response.status != 200 or response.is_page:
            return [await _stranger(client, response, subject)]
    version = read(response.json(), Version).version
    median, jitter = statistics.median(times[1:]), max(times[1:]) - min(times[1:])
    found = [subject.ok(f"Ollama {version}, answers in {median * 1000:.1f} ms (± {jitter * 500:.1f})")]
    if read_version(version) and read_version(version) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        message = f"Ollama {version} is too old: thinking, tools and context sizes need {wanted} or newer"
        found.append(subject.warning("ollama-old", message, "update it: https://ollama.com/download"))
    return [*found, *_clock(response, subject)]


def _clock(response: Response, subject: Subject) -> Iterator[Diagnosis]:
    try:
        date = parsedate_to_datetime(response.headers.get("date", ""))
    except ValueError:
        return
    seconds = (date - datetime.now(UTC)).total_seconds() if date.tzinfo else 0.0
    if abs(seconds) > SKEW_SECONDS:
        way = "ahead of" if seconds > 0 else "behind"
        message = f"its clock is {abs(seconds):.0f} s {way} this machine's: times in logs will not fit together"
        yield subject.note("ollama-clock", message, "set the clock: timedatectl set-ntp true")


async def _stranger(client: OllamaClient, response: Response, subject: Subject) -> Diagnosis:
    """Something answers at the address, but not as Ollama does there."""
    error = ollama_errors.explain(response, url=client.url, engine=client.name)
    if response.status == 404 and client.endpoint.prefix:
        bare = client.url.removesuffix(client.endpoint.prefix)
        root = await client.transport.request("GET", f"{bare}/", timeouts=GLANCE)
        if b"Ollama is running" in root.body:
            message = f"Ollama is at {bare}, not below {client.endpoint.prefix}"
            remedy = f"fireside config set engines.{client.name}.url {bare}"
            return subject.error("ollama-prefix", message, remedy)
    return failure(error, client.endpoint, subject)


def failure(error: FiresideError, endpoint: Endpoint, subject: Subject) -> Diagnosis:
    """A server that cannot be used, told apart by its cause. Nothing at the default address is no error: Ollama is not needed."""
    if isinstance(error, TimedOut):
        message = f"{endpoint.host} does not answer at all: a firewall, a sleeping machine, or an access rule drops the packets"
        return subject.error(
            "ollama-timeout", message, "is it on? may you reach it? tailscale ping HOST, or: ping HOST"
        )
    error = ollama_errors.improve(error, url=endpoint.url, engine=subject.name)
    cause = str(error.context.get("cause", ""))
    if isinstance(error, NotPermitted) and cause != "host":
        return subject.failed("ollama-not-allowed", error)
    level: Level = "error"
    remedy = error.remedy
    if cause == "refused":
        level = "note" if endpoint.origin == "default" else "error"
        remedy = remedy if boundary_of(endpoint.host) is Boundary.MACHINE else _listen_elsewhere(endpoint)
    return Diagnosis(
        CAUSES.get(cause, "ollama-failing"),
        level,
        subject.name,
        error.message,
        remedy or "fireside config show engines",
    )


def _listen_elsewhere(endpoint: Endpoint) -> str:
    return (
        f"on {endpoint.host}: start Ollama, and let it listen on an address others reach: OLLAMA_HOST={endpoint.host}\n"
        "Linux: systemctl edit ollama  (Environment=OLLAMA_HOST=...)   macOS: launchctl setenv OLLAMA_HOST ..."
    )


async def _models(target: OllamaTarget, inputs: DoctorInputs, subject: Subject) -> list[Diagnosis]:
    client = target.engine.client
    tags, cards, loaded = await asyncio.gather(client.tags(), target.engine.models(), client.loaded())
    wanted = _wanted(inputs, subject.name)
    found = [*_installed(tags, wanted, subject)]
    for role, name in wanted.items():
        card = next((card for card in cards if name in (card.name, card.name.removesuffix(":latest"))), None)
        found += _able(role, card, subject) if card else []
    found += await _contexts(target, cards, loaded, subject)
    return [*found, *(finding for entry in loaded for finding in _placed(entry, subject))]


def _wanted(inputs: DoctorInputs, engine: str) -> dict[str, str]:
    """Alias -> model, for the aliases that name this engine."""
    targets = {alias: target.partition("@") for alias, target in inputs.aliases.items()}
    return {alias: model for alias, (model, _, at) in targets.items() if at == engine}


def _installed(tags: Sequence[Tag], wanted: dict[str, str], subject: Subject) -> Iterator[Diagnosis]:
    local = [tag.name for tag in tags if not tag.is_remote]
    if not local:
        remedy = f"fireside models pull qwen2.5-coder:7b@{subject.name}"
        yield subject.warning("ollama-no-models", "it has no model yet", remedy)
    if cloud := [tag.name for tag in tags if tag.is_remote]:
        message = f"not offered, because they run at ollama.com: {', '.join(cloud)}"
        yield subject.note("ollama-cloud-models", message, "nothing, or: ollama rm MODEL")
    for name in wanted.values():
        if not is_cloud(name) and name not in local and f"{name}:latest" not in local:
            error = ollama_errors.missing_model(name, local, engine=subject.name)
            yield subject.failed("ollama-model-missing", error)


def _able(role: str, card: ModelCard, subject: Subject) -> Iterator[Diagnosis]:
    needed = NEEDED.get(role)
    if needed and not card.can(needed):
        words = {"chat": "chat", "fim": "fill in code", "embed": "embed"}[needed]
        message = f"{card.name} is set for {role}, but cannot {words}"
        remedy = f"fireside config set models.{role} MODEL@{subject.name}  (see: fireside models list)"
        yield subject.error("ollama-cannot", message, remedy)
    elif role == "chat" and not card.can("tools"):
        message = f"{card.name} cannot call tools: it answers, but cannot look things up by itself"
        remedy = "choose one that can, for example qwen2.5-coder or qwen3"
        yield subject.note("ollama-no-tools", message, remedy)


async def _contexts(
    target: OllamaTarget, cards: Sequence[ModelCard], loaded: Sequence[Loaded], subject: Subject
) -> list[Diagnosis]:
    found = []
    for card in cards if target.num_ctx else ():
        shown = await target.engine.client.show(card.name)
        if 0 < shown.context_length < target.num_ctx and card.can("chat"):
            message = f"num_ctx is {target.num_ctx}, but {card.name} was made for {shown.context_length} tokens, and gets these"
            remedy = f"fireside config set engines.{subject.name}.num_ctx {shown.context_length}"
            found.append(subject.note("ollama-context-above", message, remedy))
    windows = {card.name: card.context_window for card in cards if card.can("chat")}
    for entry in loaded:
        expected = min(target.num_ctx or 8192, windows.get(entry.name, 0))
        if 0 < entry.context_length < expected:
            message = f"{entry.name} is loaded with {entry.context_length} tokens of context, fewer than the {expected} that are asked for"
            remedy = f"unload it, so that the next question loads it anew: ollama stop {entry.name}"
            found.append(subject.warning("ollama-context-low", message, remedy))
    return found


def _placed(entry: Loaded, subject: Subject) -> Iterator[Diagnosis]:
    """Where a loaded model's weights are."""
    share = entry.size_vram / entry.size if entry.size else 0.0
    until = f", until {entry.expires_at[:16].replace('T', ' ')}" if entry.expires_at else ""
    if share >= 0.99:
        yield subject.ok(f"{entry.name} is loaded, all on the GPU{until}")
    elif share > 0:
        message = f"{entry.name} is only {share:.0%} on the GPU; the rest runs on the processor, several times slower"
        yield subject.note("ollama-partly-on-cpu", message, "a smaller model, quantization or num_ctx fits whole")
    else:
        message = f"{entry.name} runs on the processor alone"
        yield subject.note("ollama-on-cpu", message, "with a GPU in the machine: ollama's log says why it is not used")


async def answers(inputs: DoctorInputs) -> list[Diagnosis]:
    """Have each server's chat model read a long prompt and write a little: speeds, and whether the prompt arrives whole."""
    found = []
    for target in inputs.ollama:
        found += await _answer(target, _wanted(inputs, target.engine.name).get("chat", ""))
    return found


async def _answer(target: OllamaTarget, wanted: str) -> list[Diagnosis]:
    subject = Subject(target.engine.name)
    try:
        cards = [card for card in await target.engine.models() if card.can("chat")]
        card = next((card for card in cards if wanted in (card.name, card.name.removesuffix(":latest"))), None)
        card = card or min(cards, key=lambda card: card.size, default=None)
        if card is None:
            return []
        usage = await _try(target, card)
    except ContextTooLong as error:
        return [subject.failed("ollama-truncates", error)]
    except FiresideError as error:
        return [subject.failed("ollama-no-answer", error)]
    return [subject.ok(f"{card.name}: {_speeds(usage)}")]


async def _try(target: OllamaTarget, card: ModelCard) -> Usage:
    words = "one two three four five six seven eight nine ten " * (PROBE_WORDS // 10)
    request = ChatRequest((Message("user", words),), sampling=Sampling(temperature=0.0, max_tokens=8))
    usage = Usage()
    async with closing(target.engine.chat(request, card)) as deltas:
        async for delta in deltas:
            usage = delta.usage or usage
    return usage


def _speeds(usage: Usage) -> str:
    def rate(tokens: int, seconds: float | None) -> str:
        return f"{tokens / seconds:,.0f} tokens/s" if seconds else "too fast to tell"

    loading = f"loaded in {usage.load_seconds:.1f} s, " if usage.load_seconds else ""
    prompt = rate(usage.prompt_tokens, usage.prompt_seconds)
    return f"{loading}reads {prompt}, writes {rate(usage.completion_tokens, usage.completion_seconds)}"

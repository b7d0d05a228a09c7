"""What the gateway said of one request: who answered, after which detours. Headers, metrics and the audit log read it."""

from dataclasses import dataclass

from fireside.core.errors import ErrorKind, FiresideError
from fireside.core.requests import Usage
from fireside.gateway import signals

Header = tuple[bytes, bytes]
# What is wrong with a request, and what nobody expected: such words may be a prompt's.
QUOTING = (ErrorKind.VALIDATION, ErrorKind.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Failure:
    """``kind``: of the error. ``cause``: its own word for it (missing, rpm, refused, ...), else its kind.

    ``message``: empty where it may quote a prompt.
    """

    kind: str
    cause: str
    message: str


@dataclass(slots=True)
class Story:
    """``position``: the last place in line, 0 when it did not wait. ``failure``: why there is no answer, or half of one."""

    engine: str = ""
    model: str = ""
    position: int = 0
    fallback: str = ""
    trimmed: int = 0
    pulled: str = ""
    first: float | None = None
    usage: Usage | None = None
    cached: bool = False
    failure: Failure | None = None

    def hear(self, signal: signals.Signal) -> None:
        match signal:
            case signals.FirstToken(engine=engine, model=model, seconds=seconds):
                self.engine, self.model, self.first, self.pulled = engine, model, seconds, ""
            case signals.RequestFinished(engine=engine, model=model, usage=usage):
                self.engine, self.model, self.usage = engine, model, usage
            case signals.Queued(engine=engine, position=position):
                self.engine, self.position = engine, position
            case signals.CacheHit(engine=engine, model=model):
                self.engine, self.model, self.cached = engine, model, True
            case signals.RequestFailed(error=error):
                self.failure = failure_of(error)
            case signals.FellBack(source=source, target=target):
                self.fallback = f"{source} -> {target}"
            case signals.Trimmed(messages=messages):
                self.trimmed = messages
            case signals.PullAwaited(model=model, progress=step):
                share = f" {step.completed / step.total:.0%}" if step.total else ""
                self.pulled = f"pulling {model}: {step.status}{share}"

    def headers(self) -> list[Header]:
        """For the head of an answer: only what there is to say."""
        said = [(b"x-fireside-engine", self.engine), (b"x-fireside-model", self.model)]
        if self.position:
            said.append((b"x-fireside-queue", str(self.position)))
        if self.fallback:
            said.append((b"x-fireside-fallback", self.fallback))
        if self.trimmed:
            said.append((b"x-fireside-trimmed", str(self.trimmed)))
        if self.cached:
            said.append((b"x-fireside-cache", "hit"))
        return [(name, header_value(value)) for name, value in said if value]

    @property
    def note(self) -> str:
        """What a reader who waits is told."""
        if self.pulled:
            return self.pulled
        return f"number {self.position} in line" if self.position else "waiting for the model"


def header_value(text: str) -> bytes:
    """Names are an engine's words, and whatever it calls its models must not keep an answer from its client."""
    shown = text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)
    return shown.encode("latin-1", "replace")


def failure_of(error: FiresideError) -> Failure:
    """What may be kept of an error: names, and a message that quotes nobody."""
    kind = str(error.kind)
    cause = error.context.get("cause")
    message = "" if error.kind in QUOTING else error.message
    return Failure(kind, cause if isinstance(cause, str) else kind, message)

"""What Ollama's clients ask of a server's models: show, pull, push, create, copy, delete. Knows no file and no engine.

Source: the ``api`` package of Ollama's 0.33 line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fireside.wire.fields import Fields, read_flag, read_list, read_object, read_text, wrong
from fireside.wire.ollama_options import read_sampling
from fireside.wire.ollama_requests import read_messages, read_model
from fireside.wire.ollama_words import exactly

NOTHING_GIVEN = "neither 'from' or 'files' was specified"
BOTH = ("model", "name")


@dataclass(frozen=True, slots=True)
class ShowAsked:
    """``verbose``: all that the file says is wanted, too."""

    model: str
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class PullAsked:
    """A pull, or a push."""

    model: str
    stream: bool = True


@dataclass(frozen=True, slots=True)
class CreateAsked:
    """``source``: an existing model. ``files``: name -> digest of contents that were sent before. Both may be given, not neither.

    ``parameters``: options that are always to hold. ``messages``: turns that always come first. ``adapters``, ``quantize``: for whoever
    can.
    """

    model: str
    source: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    system: str = ""
    template: str = ""
    license: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    messages: Sequence[object] = ()
    adapters: bool = False
    quantize: str = ""
    stream: bool = True


def read_show(body: object) -> ShowAsked:
    fields = read_object(body)
    return ShowAsked(read_model(fields, *BOTH), read_flag(fields, "verbose"))


def read_pull(body: object) -> PullAsked:
    fields = read_object(body)
    return PullAsked(read_model(fields, *BOTH), read_flag(fields, "stream", default=True))


def read_delete(body: object) -> str:
    return read_model(read_object(body), *BOTH)


def read_copy(body: object) -> tuple[str, str]:
    """The source and the destination."""
    fields = read_object(body)
    source, destination = read_text(fields, "source"), read_text(fields, "destination")
    if not source or not destination:
        raise exactly(f"{'destination' if source else 'source'} is required")
    return source, destination


def read_create(body: object) -> CreateAsked:
    """What is not understood at the first use would be too late: parameters and messages are read here already."""
    fields = read_object(body)
    model, source, files = read_model(fields, *BOTH), read_text(fields, "from"), _files(fields)
    if not source and not files:
        raise exactly(NOTHING_GIVEN)
    parameters, messages = fields.get("parameters") or {}, fields.get("messages") or []
    read_sampling({"options": parameters})
    read_messages(messages)
    return CreateAsked(
        model=model,
        source=source,
        files=files,
        system=read_text(fields, "system"),
        template=read_text(fields, "template"),
        license=_license(fields),
        parameters=read_object(parameters, "parameters"),
        messages=read_list(messages, "messages"),
        adapters=bool(fields.get("adapters")),
        quantize=read_text(fields, "quantize") or read_text(fields, "quantization"),
        stream=read_flag(fields, "stream", default=True),
    )


def _files(fields: Fields) -> dict[str, str]:
    files = read_object(fields.get("files") or {}, "files")
    named: dict[str, str] = {}
    for name, digest in files.items():
        if not isinstance(digest, str):
            raise wrong(f"files.{name}", "expected the digest of contents that were sent before", "sha256:...")
        named[name] = digest
    return named


def _license(fields: Fields) -> str:
    given = fields.get("license")
    if isinstance(given, list):
        return "\n\n".join(text for text in given if isinstance(text, str))
    return given if isinstance(given, str) else ""

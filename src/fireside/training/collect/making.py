"""Rows out of what was read: files, spans, documented code and edits, with every secret taken out first. Knows texts only.

What one part makes is bytes, so that it can come from another process or another machine, and lie on the disk until all parts are done.
"""

import hashlib
import random
from collections.abc import Iterator

import msgspec

from fireside.core.errors import Invalid
from fireside.training import exclusions
from fireside.training.collect.edits import edits
from fireside.training.collect.origins import Origin
from fireside.training.collect.reading import Loaded, Text
from fireside.training.collect.settings import CollectSettings
from fireside.training.collect.similarity import signature
from fireside.training.collect.spans import Tree
from fireside.training.rows import Kind, Row
from fireside.workspace.exposure import PLACEHOLDER, redact

LEVEL = 3


class Made(msgspec.Struct, frozen=True, array_like=True):
    """The rows of one file, or of one commit's edits in it. ``digest``, ``signature``: of the whole text (see ``similarity``).

    ``secrets``: rule -> how many were taken out. ``size``: bytes read.
    """

    path: str
    language: str
    licence: str
    size: int
    digest: bytes
    signature: bytes
    rows: list[Row]
    secrets: dict[str, int] = {}
    edit: bool = False


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """All that came of one part. ``left_out``: reason -> files."""

    number: int
    made: list[Made]
    left_out: dict[str, int]


def make(loaded: Loaded, settings: CollectSettings, seed: int) -> bytes:
    """The rows of one part, packed. The same bytes for the same part, settings and seed, wherever they are made."""
    import zstandard

    made = [_file(text, loaded.origin, settings, seed) for text in loaded.texts]
    left_out = dict(sorted(loaded.left_out.items()))
    made += [
        Made(
            one.path,
            one.language,
            loaded.origin.licence,
            one.size,
            one.digest,
            one.signature,
            [one.row],
            one.secrets,
            True,
        )
        for one in edits(loaded, settings, left_out)
    ]
    packed = msgspec.msgpack.encode(Batch(loaded.number, made, left_out))
    return zstandard.ZstdCompressor(level=LEVEL).compress(packed)


def unpacked(packed: bytes, name: str) -> Batch:
    """What ``make`` packed. ``name``: for the error, which is ``Invalid``."""
    import zstandard

    try:
        return msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(packed), type=Batch)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise Invalid(f"{name} is damaged: {error}", remedy="delete it, then run the stage collect again") from error


def _file(source: Text, origin: Origin, settings: CollectSettings, seed: int) -> Made:
    cleaned = redact(source.text, source.path)
    secrets: dict[str, int] = {}
    for finding in cleaned.findings:
        secrets[finding.rule] = secrets.get(finding.rule, 0) + 1
    text = Text(source.path, cleaned.text, source.language, source.licence, source.recent)
    rows = list(_rows(text, origin, settings, random.Random(f"{seed}/{origin.name}/{source.path}"), bool(secrets)))
    return Made(
        source.path,
        source.language,
        source.licence,
        len(source.text.encode("utf-8", "replace")),
        exclusions.digest(source.text),
        signature(source.text) if settings.near_duplicates else b"",
        rows,
        secrets,
    )


def _rows(
    source: Text, origin: Origin, settings: CollectSettings, chance: random.Random, scrubbed: bool
) -> Iterator[Row]:
    def row(kind: Kind, text: str, **more: str) -> Row:
        found = {rule for part in (text, *more.values()) for rule in taken_out(part)} if scrubbed else ()
        return Row(
            kind=kind,
            text=text,
            repo=origin.name,
            path=source.path,
            language=source.language,
            sha256=hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(),
            commit=origin.commit,
            licence=source.licence,
            scrubbed=tuple(sorted(found)),
            **more,
        )

    if "lm" in settings.kinds:
        yield row("lm", source.text)
    if "fim" in settings.kinds or "doc" in settings.kinds:
        tree = Tree(source)
        if "fim" in settings.kinds:
            for span in tree.spans(settings, chance):
                yield row("fim", span.middle, prefix=span.prefix, suffix=span.suffix, node=span.node)
        if "doc" in settings.kinds:
            for one in tree.described():
                yield row("doc", one.code, instruction=one.documentation)


def taken_out(text: str) -> Iterator[str]:
    """The rules whose placeholders stand in a text."""
    for found in PLACEHOLDER.finditer(text):
        yield found.group()[len("<redacted: ") : -1]

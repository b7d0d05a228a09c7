"""Commits as edits: some lines before, the same lines after, and the message as the instruction. Knows texts; git is for ``patches``.

Secrets are looked for in the whole file before lines are cut out of it: the middle of a private key is not known as one.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from fireside.index.languages import language_of
from fireside.training import exclusions
from fireside.training.collect.patches import Change, Hunk
from fireside.training.collect.reading import Loaded
from fireside.training.collect.screening import by_name, by_text
from fireside.training.collect.settings import CollectSettings
from fireside.training.collect.similarity import signature
from fireside.training.rows import Row
from fireside.workspace.exposure import PLACEHOLDER, redact
from fireside.workspace.files import SourceText, decode

FORMAT_ONLY = "an edit of white space"
LONG_EDIT = "an edit of too many lines"
SILENT = "an edit whose commit says nothing"
LEAST_WORDS = 2
LONGEST_MESSAGE = 1_000


@dataclass(frozen=True, slots=True)
class Edit:
    """``digest``, ``signature``: of the whole file after it; ``size``: bytes of the lines."""

    path: str
    language: str
    size: int
    digest: bytes
    signature: bytes
    row: Row
    secrets: dict[str, int]


@dataclass(frozen=True, slots=True)
class Side:
    """A whole file before or after a commit, without its secrets."""

    lines: tuple[str, ...]
    text: str
    rules: tuple[str, ...]


def edits(loaded: Loaded, settings: CollectSettings, left_out: dict[str, int]) -> Iterator[Edit]:
    """The edits of one part, in the order of its commits. What is left out is counted in ``left_out``."""

    @cache
    def side(name: str, path: str) -> Side | None:
        return _side(loaded.blobs.get(name, b""), path, settings)

    for change in loaded.changes:
        message = redact(change.message).text[:LONGEST_MESSAGE].strip()
        for hunk in change.hunks:
            before, after = side(hunk.before, change.path), side(hunk.after, change.path)
            if before is None or after is None:
                break
            cut = (_lines(before, hunk.old), _lines(after, hunk.new))
            reason = _reason(message, hunk, cut, settings)
            if reason:
                left_out[reason] = left_out.get(reason, 0) + 1
                continue
            yield _edit(change, message, loaded, settings, after, cut)


def _side(data: bytes, path: str, settings: CollectSettings) -> Side | None:
    """A blob that is worth learning from."""
    if by_name(path, len(data), settings, own=True):
        return None
    source = decode(path, data)
    if by_text(source, settings) or not isinstance(source, SourceText):
        return None
    cleaned = redact(source.text, path)
    return Side(tuple(cleaned.text.split("\n")), source.text, tuple(one.rule for one in cleaned.findings))


def _reason(message: str, hunk: Hunk, cut: tuple[str, str], settings: CollectSettings) -> str:
    before, after = cut
    if len(message.split()) < LEAST_WORDS:
        return SILENT
    if max(hunk.old[1], hunk.new[1]) > settings.edit_lines:
        return LONG_EDIT
    return FORMAT_ONLY if not before.strip() or "".join(before.split()) == "".join(after.split()) else ""


def _edit(
    change: Change, message: str, loaded: Loaded, settings: CollectSettings, after: Side, cut: tuple[str, str]
) -> Edit:
    before, text = cut
    language = language_of(change.path, text)
    rules = [found.group()[len("<redacted: ") : -1] for one in (*cut, message) for found in PLACEHOLDER.finditer(one)]
    row = Row(
        kind="edit",
        text=text,
        before=before,
        instruction=message,
        repo=loaded.origin.name,
        path=change.path,
        language=language,
        commit=change.commit,
        licence=loaded.origin.licence,
        sha256=hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(),
        scrubbed=tuple(sorted(set(rules))),
    )
    # Only the evaluation set is compared with them: a file and its older self are nearly copies, and both are wanted.
    made = signature(after.text) if settings.against and settings.near_duplicates else b""
    size = len((before + text).encode("utf-8", "replace"))
    secrets = {rule: rules.count(rule) for rule in sorted(set(rules))}
    return Edit(change.path, language, size, exclusions.digest(after.text), made, row, secrets)


def _lines(side: Side, place: tuple[int, int]) -> str:
    first, count = place
    return "\n".join(side.lines[first - 1 : first - 1 + count]) + "\n" if count else ""

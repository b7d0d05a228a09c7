"""The rows that stay: parts in their order, without copies, without what is nearly in an evaluation set, cut into shards.

Knows rows and signatures. This is one pass on one core, so that the first of two copies is always the same.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fireside.core.errors import Invalid
from fireside.training import rows as shards
from fireside.training.collect.making import Batch, Made
from fireside.training.collect.origins import Origin
from fireside.training.collect.report import Report
from fireside.training.collect.screening import COPY, EVALUATION, NEAR
from fireside.training.collect.settings import CollectSettings
from fireside.training.collect.similarity import Seen, seen
from fireside.training.rows import Row
from fireside.workspace.files import SourceText
from fireside.workspace.workspace import Workspace

COPIED_EDIT = "an edit that was there before"
NAME = "rows-{:05}.jsonl.zst"
# What the names and marks of a row take, about.
FRAME = 250


class Gathering:
    """``folder``: of the shards. ``report``: hears of all that is kept and left out."""

    def __init__(self, folder: Path, settings: CollectSettings, report: Report) -> None:
        self._folder = folder
        self._settings = settings
        self._report = report
        self._seen = Seen(settings.near_duplicates)
        self._against = seen(evaluation(settings.against), settings.near_duplicates)
        self._edits: set[bytes] = set()
        self._rows: list[Row] = []
        self._size = 0
        self._shards: dict[str, int] = {}
        self._data = hashlib.blake2b(digest_size=16)

    def add(self, origin: Origin, batch: Batch) -> None:
        self._report.left_out(origin, batch.left_out)
        for made in batch.made:
            if not made.edit:
                self._report.read += made.size
            reason = self._edit_reason(made) if made.edit else self._file_reason(made)
            if reason:
                self._report.left_out(origin, {reason: 1})
                continue
            self._report.kept(origin, made, made.rows)
            self._keep(made.rows)

    def close(self, folder: Path) -> dict[str, Any]:
        """Write what is left, and the report beside the shards. Returns the facts of the stage."""
        facts = self._report.facts()
        if self._rows:
            self._write()
        self._report.write(folder, self._shards)
        return facts | {"shards": len(self._shards), "data": self._data.hexdigest()}

    def _file_reason(self, made: Made) -> str:
        """Why a file is left out; where there is no reason, it is remembered."""
        if self._in_evaluation(made):
            return EVALUATION
        if self._seen.has(made.digest):
            return COPY
        if made.signature and self._seen.near(made.signature):
            return NEAR
        self._seen.add(made.digest, made.signature)
        return ""

    def _edit_reason(self, made: Made) -> str:
        if self._in_evaluation(made):
            return EVALUATION
        row = made.rows[0]
        key = hashlib.blake2b(f"{row.before}\0{row.text}".encode("utf-8", "replace"), digest_size=16).digest()
        if key in self._edits:
            return COPIED_EDIT
        self._edits.add(key)
        return ""

    def _in_evaluation(self, made: Made) -> bool:
        if not len(self._against):
            return False
        return self._against.has(made.digest) or bool(made.signature and self._against.near(made.signature))

    def _keep(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._rows.append(row)
            self._size += (
                len(row.text) + len(row.prefix) + len(row.suffix) + len(row.before) + len(row.instruction) + FRAME
            )
            if self._size >= self._settings.shard_bytes:
                self._write()

    def _write(self) -> None:
        name = NAME.format(len(self._shards))
        for row in self._rows:
            self._data.update(f"{row.kind} {row.repo} {row.path} {row.sha256}\n".encode("utf-8", "replace"))
        self._shards[name] = shards.write_shard(self._folder / name, self._rows)
        self._rows, self._size = [], 0


def evaluation(folders: Sequence[str]) -> Iterator[str]:
    """The texts of evaluation sets. Raises ``Invalid`` for a folder without any: it would keep nothing out."""
    for folder in folders:
        workspace = Workspace(Path(folder).expanduser())
        texts = [
            found.text for entry in workspace.files() if isinstance(found := workspace.look(entry.path), SourceText)
        ]
        if not texts:
            raise Invalid(f"{folder} holds no text", remedy="name the folder of the evaluation set in collect.against")
        yield from texts

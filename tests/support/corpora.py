"""Rows as ``collect`` leaves them, made of the standard library's own files, for the stages that come after it."""

import hashlib
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from fireside.training.rows import Row, write_shard
from fireside.training.stages import Desk, Facts, Hardware, Plan, perform


class Nothing(msgspec.Struct, frozen=True):
    pass


class Given:
    """A stage ``collect`` whose rows are given."""

    name = "collect"
    needs: tuple[str, ...] = ()
    settings = Nothing()

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def sources(self) -> Mapping[str, str]:
        return {}

    def plan(self, desk: Desk, hardware: Hardware) -> Plan:
        return Plan(self.name)

    def run(self, desk: Desk) -> Facts:
        (desk.folder / "shards").mkdir()
        return {"rows": write_shard(desk.folder / "shards" / "rows-00000.jsonl.zst", self._rows)}


def collected(work: Path, rows: Sequence[Row]) -> Path:
    """A run's folder in which ``collect`` is done."""
    work.mkdir(parents=True, exist_ok=True)
    perform(Given(rows), Desk(work, "collect"))
    return work


def row(text: str, path: str = "a.py", *, repo: str = "mine", kind: str = "lm", **more: str) -> Row:
    digest = hashlib.sha256(text.encode()).hexdigest()
    plain = {"kind": kind, "text": text, "repo": repo, "path": path, "language": "python", "sha256": digest}
    return msgspec.convert(plain | more, Row)


def standard_library(count: int, *, skip: int = 0) -> list[Row]:
    """Files of the standard library of middling size, in alphabetical order."""
    root = Path(sysconfig.get_path("stdlib"))
    files = [path for path in sorted(root.glob("*.py")) if 5_000 < path.stat().st_size < 60_000]
    return [row(path.read_text("utf-8"), path.name, repo="python") for path in files[skip : skip + count]]

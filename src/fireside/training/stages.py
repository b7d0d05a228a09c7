"""What a stage is, where it works, and when its work need not be done again.

A stage works in a folder of its own, ``WORK/NAME/``. Its manifest, ``WORK/NAME.json``, is written last and atomically: a stage is done or
it is not. The manifest carries a fingerprint of everything the result depends on (settings, seed, what the stage itself read, and the
fingerprints of the stages before it), so that a rerun skips what is done and does again what changed. Half a stage left by Ctrl-C or
kill -9 bears its fingerprint in ``WORK/NAME/.unfinished``: the same stage goes on with it, another one clears it away. Knows no particular
stage.
"""

import hashlib
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import msgspec
import orjson

from fireside import __version__
from fireside.core.errors import FiresideError, Invalid
from fireside.core.values import replace
from fireside.models.disk import disk_errors, write_atomically

Facts = dict[str, Any]
UNFINISHED = ".unfinished"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Step:
    """How far a stage is. ``done``, ``total`` in ``unit`` (files, tokens, seconds); ``total`` 0 while unknown. ``note``: one line."""

    stage: str
    done: float
    total: float
    unit: str = ""
    note: str = ""


Report = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stage will need, estimated before it starts. ``memory``, ``disk``: bytes; ``seconds``: 0 where nobody can tell.

    ``notes``: lines for the reader: what will be read, with what, how much. ``refusals``: why it cannot be done here, with the remedy.
    """

    stage: str
    seconds: float = 0.0
    memory: int = 0
    disk: int = 0
    notes: tuple[str, ...] = ()
    refusals: tuple[FiresideError, ...] = ()


@dataclass(frozen=True, slots=True)
class Hardware:
    """``memory``: bytes free now; ``disk``: bytes free where the work is; ``gpus``: bytes of each; ``bf16``: whether it is fast."""

    cores: int
    memory: int
    disk: int
    gpus: tuple[int, ...] = ()
    bf16: bool = False


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a stage that is done left behind. ``files``: path in its folder -> blake2b. ``facts``: what it counted and measured."""

    stage: str
    fingerprint: str
    facts: Facts
    files: dict[str, str]
    seed: int
    seconds: float
    finished: float
    versions: dict[str, str]
    settings: Facts = {}
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a stage works. ``work``: the run's folder; ``stage``: its name; ``report``: hears how far it is; ``smoke``: the smallest run.

    ``resumed``: whether ``folder`` holds a half-finished run of the very same stage, to go on with.
    """

    work: Path
    stage: str
    seed: int = 7
    smoke: bool = False
    resumed: bool = False
    report: Report = field(default=lambda step: None)

    @property
    def folder(self) -> Path:
        return self.work / self.stage

    def of(self, stage: str) -> Path:
        """The folder of a stage that is done. Raises ``Invalid`` when it is not."""
        self.facts(stage)
        return self.work / stage

    def facts(self, stage: str) -> Facts:
        """What an earlier stage counted and measured. Raises ``Invalid`` when it is not done."""
        found = manifest_of(self.work, stage)
        if found is None:
            raise Invalid(
                f"the stage {stage} is not done in {self.work}", remedy=f"fireside train {stage} --work {self.work}"
            )
        return found.facts

    def has(self, stage: str) -> bool:
        return manifest_of(self.work, stage) is not None

    def step(self, done: float, total: float, unit: str = "", note: str = "") -> None:
        self.report(Step(self.stage, done, total, unit, note))


class Stage(Protocol):
    """One stage with its settings. ``needs``: the stages whose results it reads, where they are part of the run."""

    name: str
    needs: tuple[str, ...]

    @property
    def settings(self) -> msgspec.Struct: ...

    def sources(self) -> Mapping[str, str]:
        """What it reads from outside the run, each with something that changes when it does (a commit, a digest)."""
        ...

    def plan(self, desk: Desk, hardware: Hardware) -> Plan:
        """Reads as little as it can, writes nothing."""
        ...

    def run(self, desk: Desk) -> Facts:
        """Do the work in ``desk.folder``, which is there. What it returns goes into the manifest."""
        ...


def perform(stage: Stage, desk: Desk) -> tuple[Manifest, bool]:
    """Run a stage unless it is done; returns its manifest, and whether anything had to be done."""
    fingerprint = fingerprint_of(stage, desk)
    found = manifest_of(desk.work, stage.name)
    if found is not None and found.fingerprint == fingerprint and _whole(desk.work / stage.name, found):
        return found, False
    with disk_errors(f"the stage {stage.name}"):
        resumed = _begin(desk, fingerprint)
        began = time.perf_counter()
        facts = stage.run(replace(desk, resumed=resumed))
        (desk.folder / UNFINISHED).unlink(missing_ok=True)
        manifest = Manifest(
            stage=stage.name,
            fingerprint=fingerprint,
            facts=facts,
            files=digests(desk.folder),
            seed=desk.seed,
            seconds=round(time.perf_counter() - began, 2),
            finished=time.time(),
            versions=versions(),
            settings=msgspec.to_builtins(stage.settings),
        )
        write_atomically(_place(desk.work, stage.name), msgspec.json.format(msgspec.json.encode(manifest)))
    return manifest, True


@contextmanager
def claimed(work: Path) -> Iterator[None]:
    """The run's folder, made and held: two runs at a time would write each other's files. Raises ``Invalid`` when it is taken."""
    from filelock import FileLock, Timeout

    if work.exists() and not work.is_dir():
        raise Invalid(f"{work} is a file, no folder", remedy="name a folder: --work DIR")
    with disk_errors("making the run's folder"):
        work.mkdir(parents=True, exist_ok=True)
        lock = FileLock(work / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise Invalid(
                f"another run works in {work}", remedy="wait for it, or name another folder: --work DIR"
            ) from error
    try:
        yield
    finally:
        lock.release()


def fingerprint_of(stage: Stage, desk: Desk) -> str:
    """A digest of all that the stage's result depends on."""
    before = {name: found.fingerprint for name in stage.needs if (found := manifest_of(desk.work, name)) is not None}
    told = [
        FORMAT,
        stage.name,
        desk.seed,
        desk.smoke,
        msgspec.to_builtins(stage.settings),
        dict(stage.sources()),
        before,
    ]
    return _digest(orjson.dumps(told, option=orjson.OPT_SORT_KEYS))


def manifest_of(work: Path, stage: str) -> Manifest | None:
    """The manifest of a stage, or ``None`` where it is not done. Raises ``Invalid`` for one that cannot be read."""
    place = _place(work, stage)
    try:
        return msgspec.json.decode(place.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise Invalid(
            f"{place} cannot be read: {error}", remedy=f"delete it, then run the stage {stage} again"
        ) from error


def digests(folder: Path) -> dict[str, str]:
    """Path -> blake2b of every file of a stage, but for hidden ones."""
    return {
        path.relative_to(folder).as_posix(): file_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def versions() -> dict[str, str]:
    """Of Fireside, Python and what the stages stand on, where it is installed."""
    found = {"fireside": __version__, "python": platform.python_version()}
    for name in (
        "torch",
        "transformers",
        "peft",
        "trl",
        "accelerate",
        "tokenizers",
        "datasketch",
        "tree-sitter",
        "xllamacpp",
    ):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _begin(desk: Desk, fingerprint: str) -> bool:
    """Make the stage's folder; True when it holds half of this very stage. What belongs to another is cleared away."""
    mark = desk.folder / UNFINISHED
    resumed = mark.is_file() and mark.read_text("utf-8") == fingerprint
    _place(desk.work, desk.stage).unlink(missing_ok=True)
    if not resumed and desk.folder.exists():
        shutil.rmtree(desk.folder)
    desk.folder.mkdir(parents=True, exist_ok=True)
    write_atomically(mark, fingerprint.encode())
    return resumed


def _whole(folder: Path, manifest: Manifest) -> bool:
    """Whether the files of a stage that is done are still there. Their contents are not read: corpora are large."""
    return all((folder / name).is_file() for name in manifest.files)


def _place(work: Path, stage: str) -> Path:
    return work / f"{stage}.json"


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()

"""Code of other people: for the mix, so that a model does not forget what all code has in common, and to measure whether it did."""

import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from fireside.core.errors import Invalid
from fireside.training import archives, exclusions, rows
from fireside.training.rows import Row

STDLIB = "stdlib"
# What lies beside the standard library and is not part of it, or tests it.
NOT_STDLIB = frozenset(("site-packages", "dist-packages", "test", "idlelib", "turtledemo", "lib2to3", "ensurepip"))


def read(source: str) -> Iterator[Row]:
    """The files of ``PrepareSettings.other`` as rows of the kind lm, in an order of their own. Raises ``Invalid``."""
    if source == STDLIB:
        yield from _stdlib()
        return
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise Invalid(f"{folder} is no folder", remedy=f'name a folder in prepare.other, or "{STDLIB}", or ""')
    if any(folder.glob(rows.PATTERN)):
        yield from (row for row in rows.read(folder) if row.kind == "lm")
        return
    for file in archives.folder_files(folder):
        yield _row(file.text, folder.name, file.path, file.language)


def state(source: str) -> str:
    """Something that changes when the source does."""
    if not source:
        return ""
    if source == STDLIB:
        return f"python {sys.version.split()[0]}"
    folder = Path(source).expanduser()
    found = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            told = path.stat()
            found.update(f"{path.relative_to(folder)} {told.st_size} {told.st_mtime_ns}\n".encode("utf-8", "replace"))
    return found.hexdigest()


def _stdlib() -> Iterator[Row]:
    root = Path(sysconfig.get_path("stdlib"))
    files = sorted(
        path
        for top in root.iterdir()
        if top.name not in NOT_STDLIB
        for path in (top.rglob("*.py") if top.is_dir() else [top])
        if path.suffix == ".py"
    )
    for file in files:
        path = file.relative_to(root).as_posix()
        if archives.wanted(path, file.stat().st_size) and not exclusions.path(path):
            yield _row(file.read_text("utf-8", "replace"), "python", path, "python", licence="PSF-2.0")


def _row(text: str, repo: str, path: str, language: str, *, licence: str = "") -> Row:
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return Row(kind="lm", text=text, repo=repo, path=path, language=language, sha256=digest, licence=licence)

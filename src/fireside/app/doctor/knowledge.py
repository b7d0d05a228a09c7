"""The project's index: whether there is one, whether it is whole and true to the disk. Never makes or mends one."""

import asyncio
import sqlite3
from pathlib import Path

from fireside.app.doctor.diagnosis import Diagnosis, Subject
from fireside.app.doctor.inputs import DoctorInputs
from fireside.index import build
from fireside.index.index import LOCK
from fireside.index.store import Store
from fireside.workspace.workspace import Workspace

SUBJECT = Subject("index")


async def index(inputs: DoctorInputs) -> list[Diagnosis]:
    return await asyncio.to_thread(_index, inputs.root, inputs.index_folder)


def _index(root: Path, folder: Path) -> list[Diagnosis]:
    if not root.is_dir():
        message = f"{root} is not a folder, so there is nothing to index"
        return [SUBJECT.error("project-missing", message, "stand in your project, or name it: fireside --root FOLDER")]
    if _is_being_written(folder):
        message = "another Fireside is reading the project just now"
        return [SUBJECT.note("index-busy", message, "nothing: answers come from the last complete state")]
    try:
        store = Store.open(folder)
    except sqlite3.OperationalError as error:
        return [SUBJECT.error("index-unreadable", f"{folder}: {error}", f"check: ls -l {folder}")]
    if isinstance(store, str):
        return [_unusable(store)]
    try:
        return [_state(root, store)]
    except sqlite3.DatabaseError as error:
        return [_unusable(f"it was damaged ({error})")]
    finally:
        store.close()


def _state(root: Path, store: Store) -> Diagnosis:
    (verdict,) = store.connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        return _unusable("it was damaged")
    number, chunks = store.totals()
    if not store.generation():
        return _unusable("")
    if behind := build.pending(Workspace(root), store):
        message = f"{behind} of {number} files changed since it was made"
        return SUBJECT.note("index-stale", message, "fireside index")
    return SUBJECT.ok(f"{number} files, {chunks} chunks, true to the disk")


def _unusable(reason: str) -> Diagnosis:
    if not reason:
        return SUBJECT.note("index-missing", "this project has not been read yet", "fireside index")
    message = f"{reason}; it is made again at the next question"
    return SUBJECT.warning("index-damaged", message, "fireside index")


def _is_being_written(folder: Path) -> bool:
    from filelock import FileLock, Timeout

    if not (folder / LOCK).exists():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False

"""Put several files in their places: all of them or none, whatever happens halfway. Knows no policy of what may be written.

A journal says what is about to be moved before anything is. New contents are staged beside their places and the old ones kept there
under another name, so that going back is renaming. The change stands from the moment the journal is marked as done; a journal that is
found unmarked belongs to a process that died, and ``recover`` takes its work back.
"""

import contextlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from errno import EMLINK, ENOSYS, EOPNOTSUPP, EPERM
from pathlib import Path

from fireside.core.errors import Invalid, NotPermitted, TimedOut
from fireside.workspace.marks import FOLDER, LINK, NOWHERE, mark_of
from fireside.workspace.refusals import changed, spoken

LOCK = "writer.lock"
PATIENCE = 30.0
# Beyond this many files one sync of the whole disk is cheaper than one for each.
SYNCED_ONE_BY_ONE = 64
NO_HARD_LINKS = (EPERM, EOPNOTSUPP, EMLINK, ENOSYS)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to stand at ``place``: a real path relative to the root, with forward slashes.

    ``before``, ``after``: marks (see ``marks``) of what must stand there now and of what will; None: nothing. ``load``: gives the bytes
    of a file. ``mode``: its permission bits; None: those of the file it replaces, else what the umask gives.
    """

    place: str
    before: str | None
    after: str | None
    load: Callable[[], bytes] = bytes
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class Recovered:
    """``taken_back``: places whose unfinished change was undone. ``left``: changed by somebody since, and left as they are."""

    taken_back: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One change as the journal has it. ``new``, ``old``: where its contents are staged and where the old ones are kept."""

    place: str
    before: str | None
    after: str | None
    new: str
    old: str


@dataclass(frozen=True, slots=True)
class Plan:
    """``made``: folders that are not there yet, outermost first. ``removed``: those that give way to a file, with their mode bits."""

    steps: list[Step]
    made: list[str] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)


@contextmanager
def sole_writer(state: Path) -> Iterator[None]:
    """Hold the lock of ``state``, also within itself. Raises ``TimedOut`` when another process keeps it for half a minute."""
    from filelock import FileLock, Timeout

    with spoken(state):
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileNotFoundError as error:
            raise NotPermitted(
                f"{state} cannot be made: {error.strerror}",
                remedy="check FIRESIDE_HOME",
                path=str(state),
                reason="read_only",
            ) from error
    lock = FileLock(state / LOCK, timeout=PATIENCE, is_singleton=True)
    try:
        lock.acquire()
    except Timeout as error:
        raise TimedOut("another Fireside process is changing files of this project", remedy="try again") from error
    except OSError as error:
        with spoken(state):
            raise error
    try:
        yield
    finally:
        lock.release()


def carry_out(root: Path, changes: Sequence[Change], state: Path | None) -> None:
    """Make all changes, or raise and leave everything as it was. ``state``: where the journal is; without one nothing survives a kill.

    Raises what ``Change.load`` raises, ``Invalid`` for a place that is not as expected, ``NotPermitted``, ``OutOfResources``.
    """
    if not changes:
        return
    with spoken(root):
        plan = _plan(root, changes)
    journal = _begin(plan, state) if state is not None else None
    try:
        _commit(root, plan, changes)
        done = _finish(journal)
    except BaseException:
        with spoken(root):
            if not _take_back(root, plan) and journal is not None:
                journal.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):
        # The change stands; what cannot be tidied now is tidied by the next ``recover``.
        _clean_up(root, plan)
        if done is not None:
            done.unlink()


def recover(root: Path, state: Path) -> Recovered:
    """Take back what a process that died left half done."""
    if not state.is_dir():
        return Recovered()
    taken_back: list[str] = []
    left: list[str] = []
    with sole_writer(state), spoken(state):
        for draft in state.glob("write-*.draft"):
            draft.unlink()
        for journal in sorted(state.glob("write-*")):
            plan = _read(journal)
            if plan is None:
                journal.replace(journal.with_name(f"damaged-{journal.name}"))
                continue
            if journal.suffix == ".done":
                _clean_up(root, plan)
            else:
                left += _take_back(root, plan)
                taken_back += [step.place for step in plan.steps if step.place not in left]
            journal.unlink()
    return Recovered(tuple(taken_back), tuple(left))


def _plan(root: Path, changes: Sequence[Change]) -> Plan:
    token = secrets.token_hex(4)
    places = {change.place for change in changes}
    leaving = {change.place for change in changes if change.after is None}
    plan = Plan([])
    made: set[str] = set()
    for number, change in enumerate(changes):
        if change.after is not None:
            made.update(_missing_folders(root, change.place, leaving))
            if _is_folder(root / change.place):
                plan.removed.update(_emptied(root, change.place, leaving))
        beside = _anchor(root, change.place, places)
        name = f"{beside}.fireside-{token}-{number}"
        plan.steps.append(Step(change.place, change.before, change.after, f"{name}.new", f"{name}.old"))
    plan.made.extend(sorted(made))
    return plan


def _anchor(root: Path, place: str, places: set[str]) -> str:
    """The innermost folder above ``place`` that is there before and after, as a prefix. Staging there keeps to one disk."""
    parts = place.split("/")[:-1]
    for length in range(len(parts), 0, -1):
        folder = "/".join(parts[:length])
        above = {"/".join(parts[:upto]) for upto in range(1, length + 1)}
        if not above & places and (root / folder).is_dir():
            return f"{folder}/"
    return ""


def _missing_folders(root: Path, place: str, leaving: set[str]) -> list[str]:
    parts = place.split("/")[:-1]
    missing = []
    for length in range(1, len(parts) + 1):
        folder = "/".join(parts[:length])
        mark = mark_of(root / folder)
        if mark is None or folder in leaving:
            missing.append(folder)
        elif mark != FOLDER:
            raise Invalid(
                f"{place} cannot be made: {folder} is a file", remedy="choose another path", path=place, reason="exists"
            )
    return missing


def _emptied(root: Path, place: str, leaving: set[str]) -> dict[str, int]:
    """The folders from ``place`` down, when every file in them is about to leave. Raises ``Invalid`` when one is not."""
    folders = {}
    for at, _, names in os.walk(root / place):
        inside = Path(at).relative_to(root).as_posix()
        folders[inside] = stat.S_IMODE(os.lstat(at).st_mode)
        if any(f"{inside}/{name}" not in leaving for name in names):
            raise Invalid(f"{place} is a folder", remedy="choose another path", path=place, reason="exists")
    return folders


def _begin(plan: Plan, state: Path) -> Path:
    draft = state / f"write-{secrets.token_hex(8)}.draft"
    journal = draft.with_suffix(".json")
    try:
        with spoken(state):
            with open(draft, "w", encoding="ascii") as file:
                json.dump(asdict(plan), file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(journal)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return journal


def _read(journal: Path) -> Plan | None:
    try:
        found = json.loads(journal.read_bytes())
        return Plan([Step(**step) for step in found["steps"]], list(found["made"]), dict(found["removed"]))
    except (ValueError, TypeError, KeyError):
        return None


def _commit(root: Path, plan: Plan, changes: Sequence[Change]) -> None:
    one_by_one = len(changes) <= SYNCED_ONE_BY_ONE
    for step, change in zip(plan.steps, changes, strict=True):
        with spoken(step.place):
            if step.after is not None:
                _stage(root, step, change, synced=one_by_one)
            if step.before is not None:
                _keep(root / step.place, root / step.old)
                if mark_of(root / step.old) != step.before:
                    raise changed(step.place)
    if not one_by_one:
        os.sync()
    for step in plan.steps:
        if step.after is None:
            with spoken(step.place):
                os.unlink(root / step.place)
    for folder in sorted(plan.removed, reverse=True):
        with spoken(folder):
            os.rmdir(root / folder)
    for folder in plan.made:
        with spoken(folder):
            (root / folder).mkdir(exist_ok=True)
    for step in plan.steps:
        if step.after is not None:
            with spoken(step.place):
                _put(root / step.new, root / step.place, over=step.before is not None)


def _stage(root: Path, step: Step, change: Change, *, synced: bool) -> None:
    new, place = root / step.new, root / step.place
    assert step.after is not None
    if step.after.startswith(LINK):
        os.symlink(step.after.removeprefix(LINK), new)
        return
    like = place if step.before is not None and not step.before.startswith(LINK) else None
    data = change.load()
    # Nobody may read what is on its way into a file that only its owner may read.
    first = 0o666 if like is None and change.mode is None else 0o600
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, first), "wb") as file:
        file.write(data)
        file.flush()
        if synced:
            os.fsync(file.fileno())
    if like is not None:
        _dress(new, like)
    if change.mode is not None:
        os.chmod(new, change.mode)


def _dress(new: Path, like: Path) -> None:
    """Give ``new`` the owner (where that is allowed), the mode bits and the attributes of ``like``, but a time of its own."""
    facts, mine = os.lstat(like), os.lstat(new)
    if (facts.st_uid, facts.st_gid) != (mine.st_uid, mine.st_gid):
        with contextlib.suppress(OSError):
            os.chown(new, -1, facts.st_gid)
            os.chown(new, facts.st_uid, -1)
    shutil.copystat(like, new)
    os.utime(new)


def _keep(place: Path, old: Path) -> None:
    try:
        os.link(place, old, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        shutil.copy2(place, old, follow_symlinks=False)


def _put(new: Path, place: Path, *, over: bool) -> None:
    """Move ``new`` to ``place``; unless ``over``, never over anything that has appeared there."""
    if over:
        os.replace(new, place)
        return
    try:
        os.link(new, place, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        if os.path.lexists(place):
            raise FileExistsError(error.errno, "it has appeared meanwhile", str(place)) from error
        os.rename(new, place)
        return
    os.unlink(new)


def _finish(journal: Path | None) -> Path | None:
    """From here on the change stands."""
    if journal is None:
        return None
    with spoken(journal):
        return journal.replace(journal.with_suffix(".done"))


def _take_back(root: Path, plan: Plan) -> list[str]:
    """Undo whatever part of the plan was done; safe to repeat. Returns the places that somebody has changed since: they stay so.

    What cannot be undone does not keep the rest from it; the first such ``OSError`` is raised in the end.
    """
    failures: list[OSError] = []
    left: list[str] = []
    for step in plan.steps:
        with _noted(failures):
            _unmake(root, step)
    for folder in reversed(plan.made):
        with contextlib.suppress(OSError):
            os.rmdir(root / folder)
    for folder, mode in sorted(plan.removed.items()):
        with _noted(failures):
            if mark_of(root / folder) is None:
                os.mkdir(root / folder)
                os.chmod(root / folder, mode)
    for step in plan.steps:
        with _noted(failures):
            if step.before is not None and not _bring_back(root / step.old, root / step.place, step.after):
                left.append(step.place)
    if failures:
        raise failures[0]
    return left


@contextmanager
def _noted(failures: list[OSError]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        failures.append(error)


def _unmake(root: Path, step: Step) -> None:
    """Remove what was staged, and what was put where nothing stood."""
    new, place = root / step.new, root / step.place
    if step.before is None and _is_ours(place, new, step.after):
        _drop(place)
    _drop(new)


def _is_ours(place: Path, new: Path, after: str | None) -> bool:
    """Whether what stands at ``place`` was put there by us: the staged file is gone from its own name, or has both."""
    mark = mark_of(place)
    return mark is not None and mark == after and (not os.path.lexists(new) or _same(new, place))


def _bring_back(old: Path, place: Path, after: str | None) -> bool:
    """Put the kept contents back in their place; False when somebody else's stand there now (then ``old`` stays as it is)."""
    if not os.path.lexists(old):
        return True
    if os.path.lexists(place) and _same(old, place):
        os.unlink(old)
        return True
    if mark_of(place) not in (None, after, mark_of(old)):
        return False
    os.replace(old, place)
    return True


def _clean_up(root: Path, plan: Plan) -> None:
    """What is not needed any more: kept contents, and folders that have lost their last file."""
    for step in plan.steps:
        _drop(root / step.old)
    for step in plan.steps:
        if step.after is None:
            with contextlib.suppress(OSError):
                for folder in list(Path(step.place).parents)[:-1]:
                    os.rmdir(root / folder)


def _drop(path: Path) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        if error.errno not in NOWHERE:
            raise


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _same(one: Path, other: Path) -> bool:
    return os.path.samestat(os.lstat(one), os.lstat(other))

"""What search is measured on: an annotated set with its checkouts, labelled questions over a project, or any project at all.

Knows the three forms and where their code lies; the figures are ``index/evaluate``'s. A set is ``repos.json`` with ``annotations/*.json``
(the checkouts beside it), questions over one project are ``queries.jsonl``; from every other folder questions are mined.
"""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from fireside.context.mining import mine
from fireside.core.errors import Invalid
from fireside.index.chunks import IndexReport, Progress
from fireside.index.embed import Embedding
from fireside.index.evaluate import ALL, Question, Row, Score, Target, measure, rows
from fireside.index.index import Index
from fireside.index.store import Store
from fireside.workspace.workspace import Workspace

REPOSITORIES = "repos.json"
QUERIES = "queries.jsonl"
CHECKOUTS = "checkouts"
FILES = "files"
SPANS = "spans"
LABELLED = "queries"
Read = TypeVar("Read")


class Entry(msgspec.Struct, frozen=True):
    """A repository of an annotated set. ``root``: the folder of its checkout that holds the library."""

    name: str
    set: str
    root: str = ""
    language: str = ""


class Place(msgspec.Struct, frozen=True):
    path: str
    start_line: int | None = None
    end_line: int | None = None


class Annotation(msgspec.Struct, frozen=True):
    query: str
    relevant: tuple[str | Place, ...]
    secondary: tuple[str | Place, ...] = ()


class Labelled(msgspec.Struct, frozen=True):
    query: str
    targets: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """``root``: the folder that is searched. ``questions``: None when they are to be mined from it. ``kind``: files, spans or queries."""

    name: str
    kind: str
    root: Path
    language: str = ""
    questions: tuple[Question, ...] | None = None


@dataclass(frozen=True, slots=True)
class Repository:
    """One subject as measured. ``usable``: questions there were to choose from. ``missing``: targets that the index does not hold."""

    name: str
    questions: int
    usable: int
    files: int
    chunks: int
    index_seconds: float
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The table of one kind of question. ``languages``: the row "all", language by language."""

    kind: str
    repositories: tuple[Repository, ...]
    rows: tuple[Row, ...]
    languages: Mapping[str, Row]


def subjects(
    folder: Path,
    *,
    checkouts: Path | None = None,
    which: str | None = None,
    whole: bool = False,
    only: str | None = None,
) -> list[Subject]:
    """What is in ``folder``. ``which``: files or spans only; ``whole``: search whole checkouts; ``only``: this repository.

    ``checkouts``: where the code is when it is not in ``folder``. Raises ``Invalid`` for a set that cannot be used.
    """
    if (folder / REPOSITORIES).is_file():
        found = list(_annotated(folder, checkouts or folder / CHECKOUTS, whole))
    elif (folder / QUERIES).is_file():
        found = [Subject(folder.resolve().name, LABELLED, checkouts or folder, questions=_labelled(folder / QUERIES))]
    else:
        found = [Subject(folder.resolve().name, SPANS, checkouts or folder)]
    chosen = [one for one in found if which in (None, one.kind) and only in (None, one.name)]
    if not chosen:
        known = ", ".join(sorted({one.name for one in found if which in (None, one.kind)}))
        raise Invalid(f"there is no such set or repository in {folder}", remedy=f"there are: {known}" if known else "")
    absent = [one.root for one in chosen if not one.root.is_dir()]
    if absent:
        raise Invalid(
            f"{len(absent)} of {len(chosen)} checkouts are not there, among them {absent[0]}",
            remedy="say where they are: fireside index eval DIR --checkouts DIR",
        )
    return chosen


def evaluate(
    chosen: Sequence[Subject],
    *,
    embedding: Embedding | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> list[Evaluation]:
    """A table for each kind of question. Indexes are made in a temporary folder; nothing of the user's is touched.

    Raises ``Invalid`` when no question can be asked.
    """
    tables: list[Evaluation] = []
    for kind in dict.fromkeys(one.kind for one in chosen):
        questions: list[Question] = []
        scores: dict[str, list[Score]] = defaultdict(list)
        done: list[Repository] = []
        for subject in chosen:
            if subject.kind == kind:
                about, asked, found = _examine(subject, embedding, progress)
                done.append(about)
                questions += asked
                for name, some in found.items():
                    scores[name] += some
        if questions:
            table = rows(scores)
            tables.append(Evaluation(kind, tuple(done), tuple(table), _languages(questions, scores[ALL])))
    if not tables:
        raise Invalid(
            "there is nothing to ask: no documentation comments of five words or more were found",
            remedy=f"write questions of your own: {QUERIES}, see docs/search.md",
        )
    return tables


def _examine(
    subject: Subject, embedding: Embedding | None, progress: Callable[[Progress], None] | None
) -> tuple[Repository, tuple[Question, ...], dict[str, list[Score]]]:
    with tempfile.TemporaryDirectory(prefix="fireside-eval-") as work:
        root, questions = subject.root, subject.questions or ()
        usable = len(questions)
        if subject.questions is None:
            copy = Path(work) / "copy"
            copy.mkdir()
            mined = mine(Workspace(root), copy, progress)
            root, questions, usable = copy, mined.questions, mined.usable
        folder = Path(work) / "index"
        index = Index.open(Workspace(root), folder, embedding)
        try:
            report = index.update(progress, most_vectors=None)
            held = index.paths()
        finally:
            index.close()
        named = tuple(
            Question(one.text, one.targets, one.language or held.get(one.targets[0].path, "") or subject.language)
            for one in questions
        )
        scores = _answers(folder, named, embedding, subject.name, progress)
        missing = sorted({target.path for one in named for target in one.targets} - held.keys())
        return _repository(subject, report, len(named), usable, missing), named, scores


def _answers(
    folder: Path,
    questions: Sequence[Question],
    embedding: Embedding | None,
    name: str,
    progress: Callable[[Progress], None] | None,
) -> dict[str, list[Score]]:
    asked = 0

    def count(question: Question) -> None:
        nonlocal asked
        asked += 1
        if progress is not None:
            progress(Progress(asked, len(questions), f"{name}: {question.text}"))

    store = Store.open(folder)
    if isinstance(store, str):
        raise Invalid(f"the index of {name} cannot be read: {store}", remedy="run it again")
    try:
        return measure(store, questions, embedding=embedding, asked=count)
    finally:
        store.close()


def _repository(
    subject: Subject, report: IndexReport, questions: int, usable: int, missing: Sequence[str]
) -> Repository:
    return Repository(subject.name, questions, usable, report.files, report.chunks, report.seconds, tuple(missing))


def _languages(questions: Sequence[Question], scores: Sequence[Score]) -> dict[str, Row]:
    by_language: dict[str, list[Score]] = defaultdict(list)
    for question, score in zip(questions, scores, strict=True):
        by_language[question.language or "text"].append(score)
    return {name: rows({ALL: found})[0] for name, found in sorted(by_language.items())}


def _annotated(folder: Path, checkouts: Path, whole: bool) -> Iterable[Subject]:
    for entry in _json(folder / REPOSITORIES, tuple[Entry, ...]):
        if entry.set not in (FILES, SPANS):
            raise Invalid(
                f"{folder / REPOSITORIES}: {entry.name} is in the set {entry.set!r}", remedy="use files or spans"
            )
        library = checkouts / entry.name / entry.root
        if entry.set == SPANS:
            yield Subject(entry.name, SPANS, library, entry.language)
            continue
        inside = "" if whole or not entry.root else f"{entry.root.rstrip('/')}/"
        asked = tuple(
            Question(
                one.query,
                (
                    *(_target(place, inside, main=True) for place in one.relevant),
                    *(_target(place, inside, main=False) for place in one.secondary),
                ),
                entry.language,
            )
            for one in _json(folder / "annotations" / f"{entry.name}.json", tuple[Annotation, ...])
            if one.relevant
        )
        yield Subject(entry.name, FILES, checkouts / entry.name if whole else library, entry.language, asked)


def _labelled(path: Path) -> tuple[Question, ...]:
    """One question a line: ``{"query": ..., "targets": [{"path": ..., "start_line"?: ..., "end_line"?: ...}]}``."""
    found: list[Question] = []
    for number, line in enumerate(_bytes(path).splitlines(), 1):
        if not line.strip():
            continue
        one = _decoded(line, Labelled, f"{path}:{number}")
        if not one.query.strip() or not one.targets:
            raise Invalid(f"{path}:{number}: a question needs a query and a target", remedy="see docs/search.md")
        found.append(Question(one.query, tuple(_target(place, "", main=True) for place in one.targets)))
    if not found:
        raise Invalid(f"{path} holds no question", remedy="see docs/search.md")
    return tuple(found)


def _target(place: str | Place, inside: str, *, main: bool) -> Target:
    if isinstance(place, str):
        return Target(place.removeprefix(inside), main=main)
    end = place.start_line if place.end_line is None else place.end_line
    return Target(place.path.removeprefix(inside), place.start_line, end, main)


def _json(path: Path, kind: type[Read]) -> Read:
    return _decoded(_bytes(path), kind, str(path))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}", remedy="check the development set") from error


def _decoded(data: bytes, kind: type[Read], where: str) -> Read:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise Invalid(f"{where}: {error}", remedy="see docs/search.md") from error

"""Every place where a name is used: found through the index's words, confirmed in the text, told apart by syntax.

Knows names, not types: which ``get`` a call means is only known where the text around it says so. What is not known is kept and marked.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from fireside.index.chunks import Symbol
from fireside.index.lexical import Words, fold
from fireside.index.occurrences import Occurrence, boundaries, occurrences
from fireside.index.paths import kinds
from fireside.index.reading import files_with, read, text_of
from fireside.index.receivers import OWN_NAMES, Receivers
from fireside.index.search import plain_name
from fireside.index.store import Store

if TYPE_CHECKING:
    from fireside.index.index import Index

MAX_NAME = 300
MAX_FILES = 1_000
# Spoken of, not used.
MENTIONS = frozenset(("comment", "string", "text"))
IMPLICIT = frozenset(("java", "csharp", "cpp", "ruby", "kotlin", "swift", "scala", "groovy", "dart"))
ORDER = ("", "aside", "test", "generated", "vendored", "document")


@dataclass(frozen=True, slots=True)
class Reference:
    """One place. ``line`` and ``column`` count from 1. ``kind``: definition, call, import, use, comment, string or text (prose, settings).

    ``text``: the line. ``symbol``: the definition it stands in, or "". ``sure``: False where it may be another's name (see ``find``).
    """

    path: str
    line: int
    column: int
    name: str
    kind: str
    text: str
    symbol: str = ""
    receiver: str = ""
    sure: bool = True


@dataclass(frozen=True, slots=True)
class References:
    """``definitions``: what bears the name.

    ``found``: sure uses, then uses that may be another's, then comments, strings and prose; of each, source before tests, generated and
    vendored code, by path and line. ``left_out``: places beyond the limit, not looked at closely. ``gone``: files no longer on disk.
    """

    name: str
    definitions: tuple[Symbol, ...]
    found: tuple[Reference, ...]
    left_out: int
    gone: tuple[str, ...]
    generation: int


def find(index: "Index", name: str, *, limit: int = 200) -> References:
    """Uses of ``name``, in exactly this spelling. ``Class.method`` leaves out what is known to be another's ``method``."""
    wanted = plain_name(name.strip().encode("utf-8", "replace").decode())
    if not wanted or len(wanted) > MAX_NAME or wanted.split() != [wanted]:
        return References(wanted[:MAX_NAME], (), (), 0, (), read(index, Store.generation))
    return read(index, lambda store: _Search(index, store, wanted).run(limit))


class _Search:
    """One question to one generation."""

    def __init__(self, index: "Index", store: Store, wanted: str) -> None:
        self._root = index.workspace.root
        self._store = store
        self._wanted = wanted
        qualifier, _, self._name = wanted.rpartition(".")
        self._owner = qualifier.rpartition(".")[2]
        named = [one for one in symbols(store, "folded", fold(self._name)) if one.name == self._name]
        self._definitions = [one for one in named if self._is_meant(one.qualified)]
        self._owners = {one.qualified.split(".")[-2] for one in named if "." in one.qualified} - {self._owner}
        self._is_method = bool(self._definitions) and all(one.kind == "method" for one in self._definitions)
        # A name of several words that nothing else here bears will hardly mean anything else; a "get" may be any library's.
        self._unique = len({one.qualified for one in named}) == 1 and len(Words().parts(self._name)) > 1

    def run(self, limit: int) -> References:
        looked_at: list[Reference] = []
        gone: list[str] = []
        enough = left_out = 0
        for place, (number, path, language) in enumerate(self._files()):
            if not (self._root / path).is_file():
                gone.append(path)
                continue
            text = text_of(self._store, number)
            if enough >= limit or place >= MAX_FILES:
                left_out += len(boundaries(self._name, language).findall(text))
                continue
            here = list(self._in_file(path, text, language))
            enough += sum(_standing(one) == 0 for one in here)
            looked_at += here
        found = sorted(looked_at, key=_standing)
        return References(
            self._wanted,
            tuple(self._definitions),
            tuple(found[:limit]),
            left_out + len(found[limit:]),
            tuple(gone),
            self._store.generation(),
        )

    def _files(self) -> list[tuple[int, str, str]]:
        """Files that may hold the name: plain source before tests and prose, and of each kind those that define it first."""
        defining = {one.path for one in self._definitions}
        found = files_with(self._store, self._name)
        return sorted(found, key=lambda row: (rank_of(row[1]), row[1] not in defining, row[1]))

    def _in_file(self, path: str, text: str, language: str) -> Iterator[Reference]:
        lines = text.split("\n")
        around = symbols(self._store, "path", path)
        receivers = Receivers(text)
        for one in occurrences(self._name, text, language):
            symbol = _enclosing(around, one.row + 1)
            sure = self._is_sure(one, symbol, lines[one.row], receivers, language in IMPLICIT)
            if sure is not None:
                yield Reference(
                    path, one.row + 1, one.column + 1, self._name, one.kind, lines[one.row], symbol, one.receiver, sure
                )

    def _is_meant(self, qualified: str) -> bool:
        return fold(f".{qualified}").endswith(fold(f".{self._wanted}"))

    def _is_sure(self, one: Occurrence, symbol: str, line: str, receivers: Receivers, implicit: bool) -> bool | None:
        """Whether this place means what was asked for; None: it is known not to. Without a class, any place does.

        ``implicit``: the language calls a method of the same object by its bare name.
        """
        if not self._owner:
            return True
        if one.kind in MENTIONS:
            return True if re.search(rf"\b{re.escape(self._owner)}\W{{1,3}}$", line[: one.column]) else None
        if one.kind == "import":
            return True if re.search(rf"\b{re.escape(self._owner)}\b", line) else None
        if one.kind == "definition":
            return True if self._is_meant(symbol) else None
        inside = symbol.split(".")
        if not one.receiver and not implicit and self._is_method:
            return None
        if one.receiver in OWN_NAMES or not one.receiver:
            if self._owner in inside:
                return True
            # In a class that inherits it, maybe; where there is no class around, a bare name is something else.
            return self._unique if len(inside) > 1 and not self._owners.intersection(inside) else None
        words = re.findall(r"\w+", one.receiver)
        if words and fold(words[-1]) == fold(self._owner):
            return True
        classes = receivers.classes(one.receiver)
        if self._owner in classes:
            return True
        if words and (words[-1] in self._owners or receivers.foreign(one.receiver)):
            return None
        return self._unique if self._owners.isdisjoint(classes) else None


def _standing(one: Reference) -> int:
    """What is surely a use comes first, then what may be one, then where it is only spoken of."""
    return 2 if one.kind in MENTIONS else int(not one.sure)


def nearest(index: "Index", name: str, *, limit: int = 5) -> list[str]:
    """Names of definitions that may have been meant: those that hold ``name``, then those spelled much like it."""
    wanted = fold(plain_name(name.strip().encode("utf-8", "replace").decode())[:MAX_NAME])
    last = wanted.rpartition(".")[2]
    if not last:
        return []
    rows = read(
        index,
        lambda store: store.connection.execute(
            "SELECT DISTINCT name, folded, qualified FROM symbols WHERE kind != 'section' ORDER BY length(name), name"
        ).fetchall(),
    )
    holding = [name for name, folded, _ in rows if last in folded] if len(last) > 2 else []
    spelled = {folded: name for name, folded, _ in reversed(rows)}
    like = [spelled[folded] for folded in get_close_matches(last, spelled, limit, 0.7)] if len(last) < 80 else []
    found = list(dict.fromkeys((*holding[:limit], *like)))[:limit]
    if "." in wanted:
        owner = wanted.split(".")[-2]
        inside = [qualified for _, _, qualified in rows if owner in fold(qualified).split(".")[:-1]]
        close = {fold(one).rpartition(".")[2]: one for one in reversed(inside)}
        found = [close[one] for one in get_close_matches(last, close, limit, 0.4)] or found
    return found


def symbols(store: Store, column: str, value: str) -> list[Symbol]:
    """Definitions by ``folded`` name, or all of one ``path``; by path and line."""
    rows = store.connection.execute(
        "SELECT name, qualified, kind, path, start_line, end_line, signature, doc FROM symbols JOIN files ON files.id = file"
        f" WHERE {'folded' if column == 'folded' else 'path'} = ? ORDER BY path, start_line, end_line DESC",
        (value,),
    )
    return [Symbol(*row) for row in rows]


def _enclosing(around: Sequence[Symbol], line: int) -> str:
    """The innermost definition that holds a line, "" when none does. Sections of prose are none."""
    inner = ""
    for one in around:
        if one.start_line > line:
            break
        if one.end_line >= line and one.kind != "section":
            inner = one.qualified
    return inner


def rank_of(path: str) -> int:
    """0 for plain source, more for what is read later: examples, tests, generated and vendored code, prose."""
    return max((ORDER.index(kind) for kind in kinds(path) if kind in ORDER), default=0)

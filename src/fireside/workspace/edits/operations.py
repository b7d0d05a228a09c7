"""What an answer asks for, whatever format it was written in. Knows no files: names are as the answer wrote them."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Replace:
    """Lines for lines. ``line``: where the answer believes them to begin, from 1. ``anchors``: lines they stand below, outermost first.

    ``binding``: the anchors must hold (else they only help to choose). ``at_end``: they are the last of the file.
    """

    search: tuple[str, ...]
    replace: tuple[str, ...]
    line: int | None = None
    anchors: tuple[str, ...] = ()
    binding: bool = False
    at_end: bool = False


@dataclass(frozen=True, slots=True)
class Substitute:
    """Text for text, also within a line. ``count``: how many there must be when ``everywhere``; None: any number."""

    old: str
    new: str
    everywhere: bool = False
    count: int | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class InsertAfter:
    """``texts`` after line ``line`` (from 1; 0: before the first)."""

    line: int
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A whole definition anew. ``name``: as ``Class.method`` or ``function``; "" where the source itself says."""

    name: str
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """The whole file. ``new``: the answer says that it is not there yet. ``guessed``: nothing says where the listing begins and ends."""

    texts: tuple[str, ...]
    new: bool = False
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """``texts``: what the answer believes the file to hold, None where it does not say."""

    texts: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Give the file another name."""

    to: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What the answer shows of a file beside its edits."""

    texts: tuple[str, ...]


Action = Replace | Substitute | InsertAfter | Rewrite | Write | Delete | Move | Shown


@dataclass(frozen=True, slots=True)
class Operation:
    """``name``: the file as the answer names it; "": it does not. ``mentions``: names said near, most telling first."""

    name: str
    action: Action
    mentions: tuple[str, ...] = field(default=())

"""Which file a name in an answer means, and which names nobody may write to. Knows the names of files; opens none.

A name is repaired only towards exactly one file: a prefix taken off, slashes turned, another case, a name without its folders. A name that
leads out of the project, or into version control's own folder, is never repaired.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cached_property

from fireside.workspace.edits.refusals import refuse

PROTECTED = frozenset((".git", ".hg", ".svn", ".jj", "git~1"))
INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\u00ad]")
ABSOLUTE = re.compile(r"[\\/~]|[A-Za-z]:|file:|\$\w|%\w+%", re.IGNORECASE)
PLACEHOLDER = re.compile(
    r"^(?:\./+|/?(?:(?:full|relative|absolute)[_-]?)?path/to/(?:(?:the|your|my)/|(?:your|my)[-_ ]?(?:project|repo|app|file)/)?"
    r"|(?:your|my)[-_](?:project|repo|app)/|(?:workspace|repo|project)[-_]?root/)"
)
DIFF_PREFIX = re.compile(r"^[abciow]/")
QUOTES = "`'\""
MOST_NAME = 1_024
MOST_SUGGESTED = 5


class Names:
    """The files there are, by name. ``root``: the project's folder, so that its absolute names are understood ("": there is none)."""

    def __init__(self, names: Iterable[str], *, root: str = "") -> None:
        self.known = dict.fromkeys(names)
        self.root = root.rstrip("/")

    @cached_property
    def _by_case(self) -> dict[str, list[str]]:
        return _grouped((name.casefold(), name) for name in self.known)

    @cached_property
    def _by_base(self) -> dict[str, list[str]]:
        return _grouped((_base(name).casefold(), name) for name in self.known)

    def __contains__(self, name: object) -> bool:
        return name in self.known

    def add(self, name: str) -> None:
        """A file the answer makes."""
        if name not in self.known:
            self.known[name] = None
            self.__dict__.pop("_by_case", None)
            self.__dict__.pop("_by_base", None)

    def spelled(self, name: str) -> str:
        """A name as the project spells names: slashes forward, no placeholder before it. Raises ``EditRefused``."""
        if name in self.known:
            return check_name(name)
        text = name.strip().strip(QUOTES)
        if self.root and text.startswith(self.root + "/"):
            text = text[len(self.root) + 1 :]
        text = PLACEHOLDER.sub("", text.replace("\\", "/"))
        if ABSOLUTE.match(text):
            raise refuse(
                "outside_root", "the name is absolute; name a file of the project by its path in it", path=name
            )
        return check_name(re.sub(r"/{2,}", "/", text).removeprefix("./"))

    def find(self, name: str, *, loosely: bool = True) -> str | None:
        """The file that ``name`` means, None where it means none.

        ``loosely``: folders too many before a known name are overlooked, and so is a folder that is wrong.
        Raises ``EditRefused``: ambiguous, outside_root, protected.
        """
        spelled = self.spelled(name)
        for candidate in dict.fromkeys((spelled, DIFF_PREFIX.sub("", spelled))):
            if candidate in self.known:
                return candidate
            same_case = self._by_case.get(candidate.casefold(), [])
            if same_case:
                return self._only(name, same_case)
        return self._by_parts(name, DIFF_PREFIX.sub("", spelled), loosely)

    def named(self, base: str) -> list[str]:
        """All files whose last part this is."""
        return self._by_base.get(_base(base).casefold(), [])

    def like(self, name: str) -> list[str]:
        """Names a reader may have meant."""
        return get_close_matches(name, list(self.known)[:20_000], n=MOST_SUGGESTED, cutoff=0.6)

    def _by_parts(self, name: str, spelled: str, loosely: bool) -> str | None:
        candidates = self.named(spelled)
        if not candidates or ("/" in spelled and not loosely):
            return None
        shared = {one: _shared_parts(one, spelled) for one in candidates}
        best = max(shared.values())
        return self._only(name, [one for one in candidates if shared[one] == best])

    def _only(self, name: str, candidates: Sequence[str]) -> str:
        if len(candidates) > 1:
            raise refuse(
                "ambiguous", f"{len(candidates)} files have this name; give the whole path", candidates[:20], path=name
            )
        return candidates[0]


def check_name(name: str) -> str:
    """``name`` itself. Raises ``EditRefused`` for what is no name of a file in the project, or is version control's own."""
    if not name or len(name) > MOST_NAME or any(ord(character) < 32 for character in name):
        raise refuse("malformed", "this is no name of a file", path=name[:80])
    parts = name.replace("\\", "/").split("/")
    if ".." in [part.strip() for part in parts] or ABSOLUTE.match(name):
        raise refuse("outside_root", "the name leads out of the project", path=name)
    if is_protected(name):
        raise refuse("protected", "version control's own files are never written", path=name)
    if parts[-1] in ("", "."):
        raise refuse("malformed", "this names a folder, not a file", path=name)
    return name


def is_protected(name: str) -> bool:
    """Whether a part of the name is version control's own folder, however it is written."""
    return any(_as_disks_see_it(part) in PROTECTED for part in name.replace("\\", "/").split("/"))


def _as_disks_see_it(part: str) -> str:
    """Some systems overlook case, invisible characters, and what stands after a stream's colon or at the end."""
    plain = INVISIBLE.sub("", unicodedata.normalize("NFKC", part)).casefold()
    return plain.partition(":")[0].rstrip(". ")


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _shared_parts(one: str, other: str) -> int:
    """How many last parts of two names agree."""
    left, right = one.casefold().split("/"), other.casefold().split("/")
    count = 0
    while count < min(len(left), len(right)) and left[-1 - count] == right[-1 - count]:
        count += 1
    return count


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for key, name in pairs:
        groups[key].append(name)
    return groups

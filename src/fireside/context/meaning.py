"""What the mentions of a question mean in this project, and their text for the prompt.

A mention is tried as a file, a folder, then a definition. What cannot be shown (outside the project, ignored, binary, too large, secrets)
is told and never read into the prompt; a bare word that means nothing here stays a word. No address is ever fetched.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property

from fireside.context import outline, repomap
from fireside.context.builder import Attachment, names
from fireside.context.differences import differences
from fireside.context.mentions import Mention
from fireside.context.project import Project
from fireside.context.screen import Screen
from fireside.core.errors import FiresideError
from fireside.core.turns import Citation
from fireside.index.chunks import Symbol
from fireside.index.languages import language_of
from fireside.index.symbols import ATTRIBUTE_LINE, COMMENT_LINE
from fireside.workspace.files import Unread
from fireside.workspace.git import Git
from fireside.workspace.wanted import Wanted

MOST_MENTIONS = 40
MOST_DEFINITIONS = 4
MOST_TEXTS = 40
TEXT_BYTES = 200_000
AROUND = 10
LEAD_LINES = 40
MAP_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Resolved:
    """``attachments``: what was named. ``notes``: what was named and cannot be shown, and why, a line each.

    ``taken``: the mentions that mean something here. ``scopes``: paths of the files and folders among them, folders with a slash at the
    end. ``symbols``: names of the definitions among them.
    """

    attachments: tuple[Attachment, ...] = ()
    notes: tuple[str, ...] = ()
    taken: tuple[Mention, ...] = ()
    scopes: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()


def resolve(mentions: Sequence[Mention], project: Project, *, screen: Screen | None = None) -> Resolved:
    """Look up what is named. ``screen``: what keeps keys out, a new one where none is given."""
    return Resolver(project, screen or Screen(project.workspace)).resolve(mentions)


@dataclass
class Resolver:
    """One look-up of a question's mentions; collects as it goes."""

    project: Project
    screen: Screen
    attachments: dict[str, Attachment] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    scopes: dict[str, None] = field(default_factory=dict)
    symbols: dict[str, None] = field(default_factory=dict)

    def resolve(self, mentions: Sequence[Mention]) -> Resolved:
        taken = [mention for mention in mentions[:MOST_MENTIONS] if self._take(mention)]
        if len(mentions) > MOST_MENTIONS and taken:
            self._note(
                f"what {len(mentions) - MOST_MENTIONS} more mentions name; the first {MOST_MENTIONS} are looked up"
            )
        return Resolved(
            tuple(self.attachments.values()), tuple(self.notes), tuple(taken), tuple(self.scopes), tuple(self.symbols)
        )

    @cached_property
    def _languages(self) -> dict[str, str]:
        return self.project.index.paths()

    @cached_property
    def _folders(self) -> list[str]:
        """All folders with files in them, "" (the root) first."""
        parts = (path.split("/")[:-1] for path in self._languages)
        return sorted({"/".join(part[:depth]) for part in parts for depth in range(len(part) + 1)})

    def _take(self, mention: Mention) -> bool:
        """Whether the mention means something here; what it means is collected, or why it cannot be shown."""
        if mention.is_url:
            self._note(f"{mention.text}: addresses are not fetched; paste what matters")
            return False
        if mention.name == "map":
            return self._map()
        if mention.name == "diff" or mention.name.startswith("diff:"):
            return self._diff(mention)
        ways: tuple[Callable[[Mention, str], bool], ...] = (
            self._path,
            self._known_file,
            self._known_folder,
            self._symbol,
        )
        for name in mention.spellings():
            if any(way(mention, name) for way in ways):
                return True
        if mention.is_path:
            self._note(f"{mention.text}: there is no such file or folder here{self._did_you_mean(mention.name)}")
        return False

    def _path(self, mention: Mention, name: str) -> bool:
        """A path as it is on disk, from the root."""
        try:
            real = self.project.workspace.resolve(name)
            if not os.path.exists(real) or (real == self.project.root and name.strip("./")):
                return False
        except FiresideError as error:
            if mention.is_path:
                self._note(f"{mention.text}: {error.message}")
            return mention.is_path
        except OSError:
            return False  # a name longer than any file's
        place = real.relative_to(self.project.root).as_posix()
        if real.is_dir():
            return self._folder(mention, "" if place == "." else place)
        self._file(mention, place)
        return True

    def _known_file(self, mention: Mention, name: str) -> bool:
        """A file by its name or the end of its path, where only one is called so."""
        wanted = name.removeprefix("./").lstrip("/")
        found = [path for path in self._languages if path.endswith(f"/{wanted}") and wanted]
        if not found:
            folded = f"/{wanted.lower()}"
            found = [path for path in self._languages if f"/{path.lower()}".endswith(folded)] if wanted else []
        if len(found) > 1:
            self._note(f"{mention.text}: {len(found)} files are called so: {names(outline.sources_first(found))}")
        elif found:
            self._file(mention, found[0])
        return bool(found)

    def _known_folder(self, mention: Mention, name: str) -> bool:
        """A folder by the end of its path, if it is written as one."""
        wanted = name.removeprefix("./").strip("/")
        if "/" not in name or not wanted:
            return False
        found = [folder for folder in self._folders if folder.endswith(f"/{wanted}")]
        if len(found) > 1:
            self._note(f"{mention.text}: {len(found)} folders are called so: {names(found)}")
        elif found:
            self._folder(mention, found[0])
        return bool(found)

    def _file(self, mention: Mention, path: str) -> None:
        reason = self._hidden(path)
        text = None if reason else self.screen.lines(path)
        if text is None or not text.strip():
            self._note(f"{mention.text}: {reason or ('it cannot be read' if text is None else 'it is empty')}")
            return
        total = text.rstrip("\n").count("\n") + 1
        first, last = self._lines_of(mention, path, total)
        if first > total:
            self._note(f"{mention.text}: {path} has {total} lines")
            return
        self._scope(path)
        part = (self.screen.lines(path, first, last) or "").rstrip("\n")
        whole = (first, last) == (1, total)
        holds = self.screen.text(outline.of_file(self.project.index, path), path) if whole else ""
        language = self._languages.get(path) or language_of(path, text)
        self._attach(Attachment(path, part, language, Citation(path, first, last), holds))

    def _lines_of(self, mention: Mention, path: str, total: int) -> tuple[int, int]:
        """The lines to show; one line alone is shown in what it stands in."""
        if not mention.first_line:
            return 1, total
        first, last = mention.first_line, min(mention.last_line, total)
        if mention.first_line < mention.last_line or first > total:
            return first, last
        around = [one for one in self.project.index.symbols_in(path) if one.start_line <= first <= one.end_line]
        inner = max(around, key=lambda one: one.start_line, default=None)
        if inner is not None and inner.end_line - inner.start_line < 10 * AROUND and inner.kind != "section":
            return inner.start_line, min(inner.end_line, total)
        return max(1, first - AROUND), min(total, first + AROUND)

    def _hidden(self, path: str) -> str:
        """Why a file of the project may not be shown, or ""."""
        secret = self.screen.withheld(path)
        if secret:
            return f"it is kept out of prompts ({secret})"
        if path not in self._languages and not Wanted(self.project.root).file(path):
            return "it is ignored (.gitignore, .ignore, .firesideignore, or our defaults)"
        try:
            look = self.project.workspace.look(path)
        except FiresideError as error:
            return error.message
        return f"it cannot be shown ({look.reason})" if isinstance(look, Unread) else ""

    def _folder(self, mention: Mention, folder: str) -> bool:
        inside = f"{folder}/" if folder else ""
        paths = outline.sources_first([path for path in self._languages if path.startswith(inside)])
        if not paths:
            if mention.is_path:
                self._note(f"{mention.text}: nothing in it is read (ignored, empty, or no text)")
            return mention.is_path
        if inside:
            self._scope(inside)
        listed = self.screen.text(outline.of_folder(self.project.index, paths), inside)
        self._attach(Attachment(f"{inside or './'} ({len(paths)} files)", listed, outline=outline.of_names(paths)))
        self._texts(inside, paths)
        return True

    def _texts(self, inside: str, paths: Sequence[str]) -> None:
        """The files of a folder, as far as one could read them."""
        size = 0
        for number, path in enumerate(paths):
            text = self.screen.lines(path) if number < MOST_TEXTS and size < TEXT_BYTES else None
            if text is None and (number >= MOST_TEXTS or size >= TEXT_BYTES):
                self._note(f"the text of {len(paths) - number} more files in {inside or './'}")
                return
            if text and text.strip():
                size += len(text)
                last = text.rstrip("\n").count("\n") + 1
                place = Citation(path, 1, last)
                self._attach(Attachment(path, text.rstrip("\n"), self._languages[path], place, optional=True))

    def _symbol(self, mention: Mention, name: str) -> bool:
        if not name.replace("_", "").replace("$", "").replace(".", "").replace(":", "").replace("#", "").isalnum():
            return False
        wanted = name.replace("::", ".").replace("#", ".").strip(".")
        found = [
            one
            for one in self.project.symbols(name)
            if f".{one.qualified}".endswith(f".{wanted}")
            and one.kind != "section"
            and not self.screen.withheld(one.path)
        ]
        order = outline.sources_first([one.path for one in found])
        found.sort(key=lambda one: order.index(one.path))
        shown = sum(self._definition(one) for one in found[:MOST_DEFINITIONS])
        if len(found) > MOST_DEFINITIONS:
            places = [f"{one.path}:{one.start_line}" for one in found[MOST_DEFINITIONS:]]
            self._note(f"{len(places)} of {len(found)} definitions called {wanted}: {names(places)}")
        if shown:
            self.symbols[wanted] = None
        return shown > 0

    def _definition(self, symbol: Symbol) -> bool:
        """A definition in full, with the comments and attributes before it."""
        before = (self.screen.lines(symbol.path, 1, symbol.start_line - 1) or "").split("\n")
        first = symbol.start_line
        while first > 1 and symbol.start_line - first < LEAD_LINES and _leads(before[first - 2]):
            first -= 1
        text = self.screen.lines(symbol.path, first, symbol.end_line)
        if not text:
            return False
        place = Citation(symbol.path, first, first + text.count("\n"), symbol.qualified)
        head = self.screen.text("\n".join(part for part in (symbol.signature, symbol.doc) if part), symbol.path)
        self._attach(Attachment(str(place), text, self._languages.get(symbol.path, ""), place, head))
        return True

    def _map(self) -> bool:
        drawn = repomap.build(self.project, tokens=MAP_TOKENS)
        text = self.screen.text(drawn.text, "map of the project", numbered=False)
        if text.strip():
            self._attach(Attachment("map of the project", text))
        else:
            self._note("@map: there is nothing to draw yet")
        return True

    def _diff(self, mention: Mention) -> bool:
        try:
            git = Git.find(self.project.root)
            if git is None:
                self._note(f"{mention.text}: {self.project.root} is not in a git repository")
                return True
            found = differences(git, mention.text.strip("@\"'`").partition(":")[2], self.screen)
        except FiresideError as error:
            self._note(f"{mention.text}: {error.message}")
            return True
        for attachment in found.attachments:
            self._attach(attachment)
        if found.hidden:
            self._note(f"{mention.text}: the changes of {names(found.hidden)}")
        if not found.complete:
            self._note(f"{mention.text}: all but the first changes; there are too many")
        if not found.attachments and not found.hidden:
            self._note(f"{mention.text}: nothing has changed")
        return True

    def _scope(self, path: str) -> None:
        self.scopes[path] = None

    def _attach(self, attachment: Attachment) -> None:
        """Named twice is shown once; a file that was asked for stays asked for."""
        key = str(attachment.place or attachment.name)
        if key not in self.attachments or self.attachments[key].optional:
            self.attachments[key] = attachment

    def _note(self, note: str) -> None:
        self.notes[note] = None

    def _did_you_mean(self, name: str) -> str:
        """The paths most like a name that is none."""
        wanted = name.strip("/")
        by_name: dict[str, str] = {path.rpartition("/")[2]: path for path in reversed(self._languages)}
        near = get_close_matches(wanted.rpartition("/")[2], by_name, n=3, cutoff=0.6)
        found = [by_name[one] for one in near] or get_close_matches(wanted, self._languages, n=2, cutoff=0.75)
        return f"; did you mean {', '.join(found)}?" if found else ""


def _leads(line: str) -> bool:
    return COMMENT_LINE.match(line) is not None or ATTRIBUTE_LINE.match(line) is not None

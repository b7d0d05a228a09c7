"""The files of a workspace as a mapping that reads only what is asked for, and remembers what it read. Writes nothing."""

import os
import stat
from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import blake2b

from fireside.core.errors import FiresideError, NotPermitted
from fireside.workspace.edits.refusals import refuse
from fireside.workspace.ignore import RULE_FILES, SECRETS, Chain, outermost, parse
from fireside.workspace.workspace import Workspace
from fireside.workspace.writing import protected

MOST_BYTES = 20_000_000


class Tree(Mapping[str, bytes]):
    """Iterates over what a scan finds; finds every file inside the root by its path. Raises ``EditRefused`` for what it may not read."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.digests: dict[str, str] = {}
        self._read: dict[str, bytes] = {}
        self._rules = _Rules(workspace)

    def __getitem__(self, path: str) -> bytes:
        if path not in self._read:
            data = self._bytes(path)
            self._read[path] = data
            self.digests[path] = blake2b(data, digest_size=16).hexdigest()
        return self._read[path]

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and (path in self._read or self._facts(path) is not None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._scanned)

    def __len__(self) -> int:
        return len(self._scanned)

    def excluded(self, path: str) -> bool:
        """Whether the user's rules leave this file out, or it is known to hold secrets. Raises ``EditRefused`` for a place outside."""
        self._place(path)
        return self._rules.exclude(path)

    def mode(self, path: str) -> int:
        """The permission bits of a file that was read."""
        return stat.S_IMODE(os.stat(self.workspace.root / path).st_mode)

    @cached_property
    def _scanned(self) -> tuple[str, ...]:
        return tuple(entry.path for entry in self.workspace.scan().files)

    def _place(self, path: str) -> str:
        """Where ``path`` leads to, links followed."""
        try:
            place = self.workspace.relative(path)
        except NotPermitted:
            raise refuse("outside_root", "a link in this path leads out of the project", path=path) from None
        except (FiresideError, OSError):
            raise refuse("malformed", "this is no name of a file", path=path) from None
        if protected(place):
            raise refuse("protected", "version control's own files are never written", path=path)
        return place

    def _facts(self, path: str) -> os.stat_result | None:
        """None where there is no file of this name."""
        try:
            facts = os.stat(self.workspace.resolve(path))
        except (FiresideError, OSError):
            return None
        return None if stat.S_ISDIR(facts.st_mode) else facts

    def _bytes(self, path: str) -> bytes:
        place = self._place(path)
        facts = self._facts(path)
        if facts is None:
            raise refuse("missing", "there is no such file", path=path)
        if not stat.S_ISREG(facts.st_mode):
            raise refuse("binary", "this is no ordinary file", path=path)
        if facts.st_size > MOST_BYTES:
            raise refuse("too_large", f"the file has more than {MOST_BYTES // 1_000_000} MB", path=path)
        try:
            return (self.workspace.root / place).read_bytes()
        except OSError as error:
            raise refuse("protected", f"the file cannot be read: {error.strerror}", path=path) from None


class _Rules:
    """The user's own rule files, and what holds secrets. What is left out by default for other reasons (data, lock files) may be edited."""

    def __init__(self, workspace: Workspace) -> None:
        self.root = workspace.root
        chain, self.prefix = outermost(workspace.root)
        self.outermost = Chain((*chain.layers[:-1], (("", parse(SECRETS.split())),)))

    def exclude(self, path: str) -> bool:
        chain, inside = self._within(self.outermost, ""), ""
        *folders, name = path.split("/")
        for folder in folders:
            inside += f"{folder}/"
            if chain.ignores(self.prefix + inside, f"{folder}/"):
                return True
            chain = self._within(chain, inside)
        return chain.ignores(self.prefix + path, name)

    def _within(self, chain: Chain, inside: str) -> Chain:
        folder = self.root / inside
        return chain.within(folder, self.prefix + inside, [name for name in RULE_FILES if (folder / name).exists()])

"""Walk a folder and read its text files. Knows ignore rules, sizes and encodings; not what the text means.

Nothing here is fatal: what cannot be walked or read is counted under a reason. Links to folders are never followed, links to files only
inside the root, and pipes, sockets and devices are never opened.
"""

import os
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from fireside.workspace.ignore import BINARY_EXTENSIONS, MARKED_FOLDER, Chain, outermost

MAX_BYTES = 1_000_000
LONG_LINE = 5_000
SNIFFED_BYTES = 8_192
MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


@dataclass(frozen=True, slots=True)
class FileEntry:
    """``path``: relative to the root, with forward slashes. ``size`` in bytes. ``ctime_ns``: when the system last saw it change."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int = 0


@dataclass(frozen=True, slots=True)
class Scan:
    """One walk. ``skipped``: how many files or folders were left out for which reason; ignored ones are not counted."""

    files: tuple[FileEntry, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceText:
    """A text file as read. ``text`` has ``\\n`` at every line end; ``newline``: what the file had (those, or "mixed").

    ``encoding``: a Python codec name; ``guessed``: nothing in the bytes confirms it (latin-1). ``digest``: blake2b-128 of the bytes, hex.
    """

    path: str
    text: str
    encoding: str
    newline: str
    digest: str
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that is not text we can use. ``reason``: a few words, the same for all files of that kind."""

    reason: str
    digest: str = ""


def scan(root: Path, *, max_bytes: int = MAX_BYTES) -> Scan:
    """Every file under ``root`` that no rule leaves out, by path."""
    chain, prefix = outermost(root)
    skipped: Counter[str] = Counter()
    found: list[FileEntry] = []
    pending: list[tuple[str, str, Chain]] = [(str(root), "", chain)]
    while pending:
        folder, inside, chain = pending.pop()
        try:
            with os.scandir(folder) as entries:
                children = list(entries)
        except OSError:
            skipped["unreadable folder"] += 1
            continue
        names = {child.name for child in children}
        if inside and not names.isdisjoint(MARKED_FOLDER):
            continue
        chain = chain.within(Path(folder), prefix + inside, names)
        for child in children:
            path = inside + child.name
            if child.name == ".git":
                continue  # whatever a rule file says: "!*/" asks for folders of the project, and git itself never lists this one
            try:
                if child.is_dir(follow_symlinks=False):
                    if not chain.ignores(f"{prefix}{path}/", f"{child.name}/"):
                        pending.append((child.path, f"{path}/", chain))
                elif not chain.ignores(prefix + path, child.name):
                    kept = _entry(root, child, path, max_bytes)
                    if isinstance(kept, str):
                        skipped[kept] += 1
                    else:
                        found.append(kept)
            except OSError:
                skipped["unreadable"] += 1
    found.sort(key=_by_path)
    return Scan(tuple(found), dict(skipped))


def read(root: Path, path: str, *, max_bytes: int = MAX_BYTES) -> SourceText | Unread:
    """The text of ``path`` (relative to ``root``), or why there is none. Never blocks on a pipe."""
    try:
        data = _bytes(root / path, max_bytes)
    except OSError:
        return Unread("unreadable")
    if isinstance(data, Unread):
        return data
    return decode(path, data)


def decode(path: str, data: bytes) -> SourceText | Unread:
    """Bytes as text: a byte order mark decides, then UTF-8, then latin-1 (``guessed``). Binary: a NUL, or many control characters."""
    digest = blake2b(data, digest_size=16).hexdigest()
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), "utf-8")
    guessed = False
    if encoding != "utf-16" and b"\0" in data[:SNIFFED_BYTES]:
        return Unread("binary", digest)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        if encoding == "utf-16" or _looks_binary(data[:SNIFFED_BYTES]):
            return Unread("binary", digest)
        text, encoding, guessed = data.decode("latin-1"), "latin-1", True
    plain, newline = _newlines(text)
    if len(plain) > LONG_LINE and 2 * sum(len(line) for line in plain.split("\n") if len(line) > LONG_LINE) > len(
        plain
    ):
        return Unread("minified or data", digest)
    return SourceText(path, plain, encoding, newline, digest, guessed)


def _by_path(entry: FileEntry) -> str:
    return entry.path


def _entry(root: Path, child: "os.DirEntry[str]", path: str, max_bytes: int) -> FileEntry | str:
    """The entry for one file, or why it is left out."""
    if not path.isprintable() and not _encodes(path):
        return "name is not UTF-8"
    if child.name.rpartition(".")[2].lower() in BINARY_EXTENSIONS and "." in child.name[1:]:
        return "binary"
    if child.is_symlink():
        reason = _bad_link(root, child.path)
        if reason:
            return reason
    facts = child.stat()
    if not stat.S_ISREG(facts.st_mode):
        return "not a regular file"
    if facts.st_size > max_bytes:
        return f"larger than {max_bytes / 1_000_000:g} MB"
    return FileEntry(path, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def _bad_link(root: Path, link: str) -> str:
    target = os.path.realpath(link)
    if not os.path.exists(target):
        return "dangling link"
    inside = Path(target).relative_to(root) if Path(target).is_relative_to(root) else None
    if inside is None or ".git" in inside.parts:
        return "link out of the project"
    # A link must not bring in what a rule leaves out (.env under another name).
    chain, prefix = outermost(root)
    text = prefix + inside.as_posix()
    return "link to an ignored file" if chain.ignores(text, inside.name) else ""


def _encodes(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bytes(path: Path, max_bytes: int) -> bytes | Unread:
    # O_NONBLOCK: opening a pipe nobody writes to would otherwise wait for ever.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return Unread("not a regular file")
        if facts.st_size > max_bytes:
            return Unread(f"larger than {max_bytes / 1_000_000:g} MB")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(max_bytes + 1)
    finally:
        os.close(descriptor)


def _looks_binary(head: bytes) -> bool:
    control = sum(byte < 32 and byte not in b"\t\n\r\f\v\b\x1b" for byte in head)
    return control * 20 > len(head)


def _newlines(text: str) -> tuple[str, str]:
    if "\r" not in text:
        return text, "\n"
    windows = text.count("\r\n")
    returns, feeds = text.count("\r"), text.count("\n")
    if returns == windows:
        return text.replace("\r\n", "\n"), "\r\n" if feeds == windows else "mixed"
    if feeds == 0:
        return text.replace("\r", "\n"), "\r"
    return text.replace("\r\n", "\n"), "mixed"

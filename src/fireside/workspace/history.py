"""Who wrote what and when: commits and blame, read from git's machine formats. Runs nothing."""

import re
from dataclasses import dataclass

FORMAT = "%H%x00%P%x00%aN%x00%aE%x00%at%x00%s%x00%b"
FIELDS = 7
LINE_HEAD = re.compile(rb"([0-9a-f]{40,64}) ([0-9]+) ([0-9]+)(?: [0-9]+)?")


@dataclass(frozen=True, slots=True)
class Commit:
    """``hash`` and ``parents`` in full. ``when``: seconds since 1970 (UTC) at which its author made it. ``subject``: its first line."""

    hash: str
    parents: tuple[str, ...]
    author: str
    email: str
    when: int
    subject: str
    body: str = ""


@dataclass(frozen=True, slots=True)
class BlameLine:
    """One line and the commit it is from: ``commit`` is "" for one that is not committed. ``when``: as in ``Commit``."""

    line: int
    text: str
    commit: str
    author: str
    when: int
    subject: str


def read_log(output: bytes) -> list[Commit]:
    """From ``git log -z --format=FORMAT``."""
    fields = output.decode("utf-8", "replace").split("\0")
    rows = zip(*[iter(fields)] * FIELDS, strict=False)
    return [
        Commit(hash_.strip(), tuple(parents.split()), author, email, int(when or 0), subject, body.strip())
        for hash_, parents, author, email, when, subject, body in rows
    ]


def read_blame(output: bytes) -> list[BlameLine]:
    """From ``git blame --line-porcelain``."""
    lines: list[BlameLine] = []
    facts: dict[bytes, bytes] = {}
    for row in output.split(b"\n"):
        if row.startswith(b"\t"):
            lines.append(_blamed(row[1:], facts))
            facts = {}
        elif head := None if facts else LINE_HEAD.fullmatch(row):
            facts = {b"hash": head[1], b"line": head[3]}
        else:
            key, _, value = row.partition(b" ")
            facts[key] = value
    return lines


def _blamed(text: bytes, facts: dict[bytes, bytes]) -> BlameLine:
    commit = facts[b"hash"].decode()
    return BlameLine(
        line=int(facts[b"line"]),
        text=text.decode("utf-8", "replace").removesuffix("\r"),
        commit="" if not commit.strip("0") else commit,
        author=facts.get(b"author", b"").decode("utf-8", "replace"),
        when=int(facts.get(b"author-time", b"0")),
        subject=facts.get(b"summary", b"").decode("utf-8", "replace"),
    )

"""Keep what looks like a key out of a prompt: find it in a text, put a placeholder in its place, know files that hold nothing else.

Knows lines and places; what a key looks like is for ``secret_rules`` (those of vendors) and ``credentials`` (passwords, private keys).
Only lines that hold a digit in a longer word, or one of a few words, are looked at closer: ordinary code passes at some 50 MB/s.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from fireside.workspace import credentials
from fireside.workspace.secret_files import withheld
from fireside.workspace.secret_rules import GENERIC, Match, Rule, keywords, lock_file

__all__ = ["Finding", "Redacted", "findings", "redact", "withheld"]

# A digit within a run of at least seven letters, digits, - and _: each kept rule asks for more than that.
SUSPECT = re.compile(r"[0-9](?:[\w-]{6}|(?<=[\w-]{7}))", re.ASCII)
PLACEHOLDER = re.compile(r"<redacted: [a-z0-9-]+>")
REST_OF_WORD = re.compile(r"[A-Za-z0-9_-]*")
PASSES = 10
WINDOW = 1_500
LEAD = 300
QUOTES = "\"'`"
# The weaker evidence gives its name only where nothing else was found.
WEAK = frozenset((GENERIC, "password", "connection-string", "authorization-header", "curl-auth-user"))


@dataclass(frozen=True, slots=True)
class Finding:
    """What looks like a secret: ``start`` and ``end`` in characters of the text, ``line`` (from 1) of its start, and the rule's name."""

    line: int
    start: int
    end: int
    rule: str


@dataclass(frozen=True, slots=True)
class Redacted:
    """``text``: with a placeholder for each finding, as many lines as before. ``findings``: places in the text that was given."""

    text: str
    findings: tuple[Finding, ...]


def redact(text: str, path: str = "") -> Redacted:
    """``text`` without what looks like a secret. Once redacted it stays as it is when redacted again.

    ``path``: of the file, relative or not; it tells code from configuration. Redact a whole file before cutting pieces out of it: the
    middle of a private key is not known as one.
    """
    found = findings(text, path)
    return Redacted("".join(piece for _, piece in _pieces(text, found)), tuple(found))


def findings(text: str, path: str = "") -> list[Finding]:
    """What looks like a secret in ``text``, by place; no two overlap. ``path``: see ``redact``."""
    found: list[Match] = []
    for _ in range(PASSES):
        # What stands beside a secret may look like one only after that is gone.
        pieces = list(_pieces(text, found))
        shown = "".join(piece for _, piece in pieces)
        more = list(_moved(_matches(shown, path), pieces, shown))
        if not more:
            break
        found = _merged([*found, *more])
    located: list[Finding] = []
    line, counted = 1, 0
    for match in found:
        line += text.count("\n", counted, match.start)
        counted = match.start
        located.append(Finding(line, match.start, match.end, match.rule))
    return located


def _pieces(text: str, found: Sequence[Match | Finding]) -> Iterator[tuple[int, str]]:
    """The text cut where secrets are, with placeholders for them: where each piece begins in ``text`` (-1: nowhere), and the piece."""
    at = 0
    for secret in found:
        yield at, text[at : secret.start]
        ends = "".join(re.findall(r"\r?\n", text[secret.start : secret.end]))
        yield -1, f"<redacted: {secret.rule}>{ends}"
        at = secret.end
    yield at, text[at:]


def _moved(found: Iterable[Match], pieces: Sequence[tuple[int, str]], shown: str) -> Iterator[Match]:
    """Places in the text as shown, as places in the text behind it. What reaches into a placeholder is none."""
    starts = list(accumulate((len(piece) for _, piece in pieces), initial=0))
    hidden = list(PLACEHOLDER.finditer(shown))
    ends = [placeholder.end() for placeholder in hidden]
    for match in found:
        nearest = bisect_right(ends, match.start)
        if nearest < len(hidden) and hidden[nearest].start() < match.end:
            continue
        number = bisect_right(starts, match.start) - 1
        begin, piece = pieces[number]
        if begin >= 0 and match.end <= starts[number] + len(piece):
            offset = begin - starts[number]
            yield Match(match.rule, match.start + offset, match.end + offset)


def _merged(matches: list[Match]) -> list[Match]:
    """Overlapping ones become one, named by the strongest of them."""
    merged: list[Match] = []
    for match in sorted(matches, key=lambda match: (match.start, match.rule in WEAK, -match.end)):
        if merged and match.start < merged[-1].end:
            last = merged[-1]
            name = match.rule if last.rule in WEAK and match.rule not in WEAK else last.rule
            merged[-1] = Match(name, last.start, max(last.end, match.end))
        else:
            merged.append(match)
    return merged


def _matches(text: str, path: str) -> Iterator[Match]:
    lowered = _lowered(text)
    if "-----" in text:
        yield from credentials.private_keys(text)
    if "kind:" in lowered:
        yield from credentials.manifest_values(text, path)
    digests = lock_file().search(path) is not None
    bare = not credentials.CODE.search(path)
    for start, end in _windows(text, lowered):
        yield from credentials.in_line(text, start, end, bare=bare, assigned=not digests)
        here = lowered[start:end]
        for word, rules in keywords().items():
            if word in here:
                for rule in rules:
                    if rule.holds_at(path) and not (digests and rule.id == GENERIC):
                        yield from _by_rule(rule, text, start, end, bare)


def _by_rule(rule: Rule, text: str, start: int, end: int, bare: bool) -> Iterator[Match]:
    for match in rule.matches(text, start, end):
        if rule.id != GENERIC or _is_value(text, match, bare):
            rest = REST_OF_WORD.match(text, match.end)
            yield Match(rule.id, match.start, rest.end() if rest else match.end)


def _is_value(text: str, match: Match, bare: bool) -> bool:
    """Whether what the broad rule found is a literal and a likely one; in code, a bare word is a name."""
    if not credentials.is_secret(text[match.start : match.end]):
        return False
    before = text[max(text.rfind("\n", 0, match.start) + 1, match.start - LEAD) : match.start]
    if credentials.OF_A_DIGEST.search(before[-80:]):
        return False
    return bare or any(before.count(quote) % 2 for quote in QUOTES)


def _windows(text: str, lowered: str) -> Iterator[tuple[int, int]]:
    """The lines worth a closer look, each with the line before it; of very long lines, the parts around such places."""
    last = -1
    for at in sorted(_places(text, lowered)):
        if at < last:
            continue
        line = text.rfind("\n", 0, at) + 1
        start = max(text.rfind("\n", 0, max(line - 1, 0)) + 1, at - LEAD)
        end = text.find("\n", at)
        end = end if end >= 0 else len(text)
        last = end
        if end - at > WINDOW:
            last = at + WINDOW // 2
            rest = REST_OF_WORD.match(text, at + WINDOW, at + 2 * WINDOW)
            end = min(end, rest.end() if rest else end)
        yield start, end


def _places(text: str, lowered: str) -> Iterator[int]:
    """Where something stands that a secret may be near; at most once a line for each kind of sign (every ``WINDOW`` in long lines)."""
    at = 0
    while found := SUSPECT.search(text, at):
        yield found.start()
        at = _next(text, found.start())
    for word in credentials.WORDS:
        at = 0
        while (at := lowered.find(word, at)) >= 0:
            yield at
            at = _next(text, at)


def _next(text: str, at: int) -> int:
    end = text.find("\n", at, at + WINDOW // 2)
    return end if end >= 0 else at + WINDOW // 2


def _lowered(text: str) -> str:
    """In small letters, each at the place it had (of a few letters outside ASCII the small form is two characters)."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else re.sub("[A-Z]+", lambda found: found[0].lower(), text)

"""Secrets that no vendor's prefix gives away: passwords, private keys, and what a URL or a header carries.

Knows what a value must look like to be a secret rather than a name, a path or a placeholder. Every pattern is bounded, so that a line of
100 kB costs no more than its length.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator

from fireside.workspace.secret_rules import Match, entropy

# Whoever looks at lines only: a secret of these kinds stands in a line with one of these words (in small letters).
WORDS = ("://", "passw", "pwd", "passphrase", "secret", "authorization", "bearer ", "curl ")

NAME = r"(?:passw(?:or)?d|passphrase|pwd|secret|token|api_?key|access_?key|private_?key)"
NAMED = re.compile(NAME)
ASSIGNED = re.compile(
    rf"(?i)(?<![a-z0-9])(?P<name>[\w.-]{{0,40}}{NAME}[\w.-]{{0,40}})[\"'`]?\]?[ \t]{{0,8}}(?::[ \t]?\w{{1,20}}[ \t]?)?(?:=>|:=|={{1,3}}|:)"
    r"[ \t]{0,8}[brfu]?(?:\"(?P<double>[^\"\s]{8,200})\"|'(?P<single>[^'\s]{8,200})'|`(?P<back>[^`\s]{8,200})`)",
)
BARE = re.compile(
    rf"(?im)^[ \t]*(?:export[ \t]+|set[ \t]+|env[ \t]+|arg[ \t]+|-[ \t]+)?(?P<name>[\w.-]{{0,40}}{NAME}[\w.-]{{0,40}})[ \t]*[:=][ \t]*"
    r"(?P<value>[^\s\"'`#]{8,200})[ \t]*$",
)
CONNECTION = re.compile(r"(?i)[;?&\"'][ \t]?(?:password|pwd)=(?P<value>[^;&\"'\s]{4,200})(?=[;&\"'\s]|$)")
IN_URL = re.compile(r"://[^\s/:@\"'<>`]{0,100}:(?P<value>[^\s/\"'<>`]{4,200})@(?=[\w.\[%$-])")
HEADER = re.compile(
    r"(?i)\b(?:authorization[\"']?[ \t]{0,4}[\]:=,][ \t]{0,4}[\"'`]?(?P<kind>bearer|basic|token|apikey)|bearer)"
    r"[ \t]{1,4}(?P<value>[a-z0-9._~+/-]{12,4000}={0,3})"
)
CURL = re.compile(r"\bcurl\b[^\n]{0,300}?\s(?:-u|--user)[ =]{1,4}[\"']?[^\s:\"']{0,100}:(?P<value>[^\s\"']{3,200})")

KEY_HEAD = re.compile(r"-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----")
KEY_TAIL = re.compile(r"-----END[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----")
# One line of a key's body: base64, also as part of a string built over several lines, of a comment, or with its line ends written out.
KEY_LINE = re.compile(
    r"[ \t\"'+>|#*]{0,40}(?:(?:[A-Za-z0-9+/=]|\\[nr])*|[A-Z][A-Za-z-]{2,20}: [^\n]{0,100})[ \t\"',;+\\)]{0,16}\r?(?:\n|\Z)"
)
KEY_RUN = re.compile(r"[A-Za-z0-9+/]{16,}")
KEY_LENGTH = 20_000
KEY_LEAST = 40

MANIFEST = re.compile(r"(?m)^[ \t]*kind:[ \t]*[\"']?Secret[\"']?[ \t\r]*$")
MANIFEST_FILE = re.compile(r"(?i)(?:^$|\.(?:ya?ml|tpl|md)$)")
MANIFEST_DATA = re.compile(r"(?m)^([ \t]*)(?:data|stringData):[ \t\r]*\n")
YAML_LINE = re.compile(r"([ \t]*)([^\n]*)\n?")
# The head of a block, a template, a comment, nothing.
NO_VALUE = re.compile(r"[|>][+-]?$|\{\{|\$|<|#|\"\"$|''$")
MANIFEST_VALUE = re.compile(r"[ \t]*[\w.\"'-]{1,200}:[ \t]*(?P<value>[^\n]*?)[ \t\r]*(?:\n|\Z)")

OF_A_DIGEST = re.compile(
    r"(?i)(?:sha[0-9]{1,3}|md5|hash|digest|checksum|fingerprint|integrity|commit)[\w.-]{0,20}[\"']?[ \t]{0,4}[:=][^:=]{0,4}$"
)
CODE = re.compile(
    r"(?i)\.(?:py|pyi|js|jsx|mjs|cjs|ts|tsx|go|rs|java|kt|kts|scala|c|h|cc|cpp|hpp|cs|rb|php|swift|lua|dart|ex|m|vue)$"
)
# Filled in elsewhere: a variable, a format, a call, a pattern, dots.
TEMPLATE = re.compile(
    r"^\$\w+$|\$[({]|\{[\w.!:]*\}|\{\{|%\(|%[sd]|^%\w+%$|^[<(\[]|^[\w.:>-]+[(\[]|\\[wdsSDWb]|^[*.x•_-]+$|\.\.\.|…|^\w+(?:::\w+)+"
)
IN_NO_URL = re.compile(r"[(){}\[\]|\\]|^\$")
PLAIN = re.compile(
    r"(?i)^(?:your|my|the|some|enter|insert|change|replace|set|put|use|add)[\W_]?\w|example|placeholder|redacted|dummy|change[\W_]?(?:me|it)"
    r"|^(?:user(?:name)?|pass(?:w(?:or)?d)?|pw|pwd|secret|token|foo(?:bar)?|bar|baz|none|null|true|false|undefined|x+|test(?:ing)?|abc\d*|12345\d*)$"
)
WORD = r"(?:[A-Za-z]+[0-9]{0,3}|[0-9]{1,4})?"
WORDY = re.compile(rf"{WORD}(?:[-_./:@\\,;&=?+!#]{WORD})*")
UUID = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOT_ITS_VALUE = re.compile(
    r"(?i)(?:name|file|path|url|uri|id|field|label|prompt|hint|type|kind|regex|pattern|endpoint|header|length|ref|arn|policy|prefix|suffix"
    r"|hash|digest|sha\d*|public|version|alias|algorithm|format|message|title|column|param|count|size|limit|error)s?$|public|hash"
)


def in_line(text: str, start: int, end: int, *, bare: bool = True, assigned: bool = True) -> Iterator[Match]:
    """The secrets of these kinds in ``text[start:end]``, one line or a part of a long one.

    ``bare``: a value may stand without quotes, as in configuration. ``assigned``: long values may be keys, which digests in lock files
    are not.
    """
    here = text[start:end].lower()
    if "://" in here:
        yield from (
            _match("url-password", found) for found in IN_URL.finditer(text, start, end) if _in_url(found["value"])
        )
    if "password=" in here or "pwd=" in here:
        yield from _plain("connection-string", CONNECTION.finditer(text, start, end))
    if "curl" in here:
        yield from _plain("curl-auth-user", CURL.finditer(text, start, end))
    if "bearer" in here or "authorization" in here:
        for found in HEADER.finditer(text, start, end):
            if _is_header(found["kind"] or "bearer", found["value"]):
                yield _match("authorization-header", found)
    if assigned and NAMED.search(here):
        for pattern in (ASSIGNED, BARE) if bare else (ASSIGNED,):
            for found in pattern.finditer(text, start, end):
                group = found.lastgroup or "value"
                if not NOT_ITS_VALUE.search(found["name"]) and is_secret(found[group]):
                    yield Match("password", *found.span(group))


def private_keys(text: str) -> Iterator[Match]:
    """Whole keys, and those of which only the first or the last lines are there, as in a piece of a file."""
    at = 0
    while (begin := text.find("-----", at)) >= 0:
        head, tail = KEY_HEAD.match(text, begin), KEY_TAIL.match(text, begin)
        if head:
            end = _key_end(text, head.end())
            at = max(end, head.end())
            if end:
                yield Match("private-key", begin, end)
        elif tail:
            first = _key_start(text, at, begin)
            at = tail.end()
            if first < begin:
                yield Match("private-key", first, at)
        else:
            at = begin + 5


def _key_end(text: str, start: int) -> int:
    """Where the key ends whose head ends at ``start``; 0 when it has no body (code that only names the head)."""
    limit = text.find("-----BEGIN", start, start + KEY_LENGTH)
    tail = KEY_TAIL.search(text, start, limit if limit >= 0 else start + KEY_LENGTH)
    if tail:
        body = text[start : tail.start()]
        runs = sum(map(len, KEY_RUN.findall(body)))
        return tail.end() if runs >= max(KEY_LEAST, 0.6 * len("".join(body.split()))) else 0
    end, length = start, 0
    while end < min(len(text), start + KEY_LENGTH) and (line := KEY_LINE.match(text, end)):
        runs = sum(map(len, KEY_RUN.findall(line[0])))
        if end > start and not runs and line[0].strip() and ": " not in line[0]:
            break
        length += runs
        end = line.end()
    return end - (text[end - 1] == "\n") if length >= KEY_LEAST else 0


def _key_start(text: str, least: int, tail: int) -> int:
    """Where the lines of base64 begin that lead to a key's last line at ``tail``; ``tail`` itself when there are none."""
    start = line_start = text.rfind("\n", least, tail) + 1
    length = 0
    while line_start > least and tail - start < KEY_LENGTH:
        line_start = text.rfind("\n", least, line_start - 1) + 1 or least
        line = KEY_LINE.match(text, line_start)
        runs = sum(map(len, KEY_RUN.findall(line[0]))) if line else 0
        if not line or line.end() != start or (not runs and length):
            break
        start, length = line_start, length + runs
    return start if length >= KEY_LEAST else tail


def manifest_values(text: str, path: str) -> Iterator[Match]:
    """What Kubernetes manifests of the kind Secret hold."""
    start = 0 if MANIFEST_FILE.search(path) else -1
    while start >= 0:
        after = text.find("\n---", start + 1)
        end = after if after >= 0 else len(text)
        if MANIFEST.search(text, start, end):
            for data in MANIFEST_DATA.finditer(text, start, end):
                yield from _values(text, data.end(), len(data[1]))
        start = after


def _values(text: str, at: int, indent: int) -> Iterator[Match]:
    """The values of a mapping in YAML that stands deeper than ``indent``; of a block (``|``), its lines."""
    inner = -1
    while line := YAML_LINE.match(text, at):
        depth, content = len(line[1]), line[2].rstrip()
        if not line[0] or (content and depth <= indent):
            return
        inner = depth if inner < 0 and content else inner
        value = MANIFEST_VALUE.match(text, at) if depth == inner else None
        if value and value["value"] and not NO_VALUE.match(value["value"]):
            yield _match("kubernetes-secret", value)
        elif depth > inner >= 0 and content and "{{" not in content:
            yield Match("kubernetes-secret", at + depth, at + depth + len(content))
        at = line.end()


def is_secret(value: str) -> bool:
    """Whether an assigned value looks like a password or a key: mixed, not a placeholder, a path, an expression or a few words."""
    kinds = sum(bool(re.search(kind, value)) for kind in ("[a-z]", "[A-Z]", "[0-9]", r"[^A-Za-z0-9\s]"))
    if kinds < 2 or entropy(value) < 2.75 or not re.search("[0-9!@#$%^&*]", value):
        return False
    return not (
        _is_placeholder(value) or WORDY.fullmatch(value) or UUID.fullmatch(value) or value.startswith(("/", "./", "~/"))
    )


def _in_url(value: str) -> bool:
    return not (IN_NO_URL.search(value) or _is_placeholder(value))


def _plain(rule: str, found: Iterable["re.Match[str]"]) -> Iterator[Match]:
    return (_match(rule, match) for match in found if not _is_placeholder(match["value"]))


def _is_placeholder(value: str) -> bool:
    return bool(TEMPLATE.search(value) or PLAIN.search(value))


def _is_header(kind: str, value: str) -> bool:
    if kind.lower() != "basic":
        return (
            bool(re.search("[0-9]", value))
            and entropy(value) >= 3
            and not _is_placeholder(value)
            and not WORDY.fullmatch(value)
        )
    try:
        user, colon, password = base64.b64decode(value + "=" * (-len(value) % 4)).decode().partition(":")
    except (binascii.Error, ValueError):
        return False
    return bool(colon and user.isprintable() and password and not _is_placeholder(password))


def _match(rule: str, found: "re.Match[str]") -> Match:
    return Match(rule, *found.span("value"))

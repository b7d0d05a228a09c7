"""The rules of gitleaks as data: what a vendor's key looks like, and what only looks like one.

Knows ``secret_rules.json`` (written by ``tools/secret_rules.py``) and a few kinds of key it has no rule for. Knows nothing of files.
A pattern is compiled when the first of its keywords is met, so a run that meets none pays for none.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

GENERIC = "generic-api-key"
LEAST_ENTROPY = 2.0
LEAD = re.compile(r"[\w.-]{0,50}\Z", re.ASCII)
DIGIT = re.compile(r"[0-9]")
# Kinds the kept rules do not have yet: name, keyword, pattern.
MORE: Sequence[tuple[str, str, str]] = (
    ("anthropic-key", "sk-ant-", r"\bsk-ant-[a-z]+[0-9]{2}-[\w-]{32,}"),
    ("discord-bot-token", ".", r"\b[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}\b"),
    ("docker-access-token", "dckr_", r"\bdckr_(?:pat|oat)_[\w-]{24,}"),
    ("google-client-secret", "gocspx-", r"\bGOCSPX-[\w-]{24,}"),
    ("google-access-token", "ya29.", r"\bya29\.[\w-]{20,}"),
    ("groq-api-key", "gsk_", r"\bgsk_[A-Za-z0-9]{48,}"),
    ("openai-style-key", "sk-", r"\bsk-(?:(?:or-v1|proj|svcacct|admin|None)-[\w-]{32,}|[A-Za-z0-9]{32,})"),
    ("replicate-api-token", "r8_", r"\br8_[A-Za-z0-9]{37}\b"),
    ("slack-client-token", "xox", r"\bxox[cde]-[\w-]{20,}"),
    ("supabase-access-token", "sbp_", r"\bsbp_[a-f0-9]{40}\b"),
    ("telegram-bot-token", ":aa", r"\b[0-9]{8,10}:AA[\w-]{33}\b"),
    ("xai-api-key", "xai-", r"\bxai-[A-Za-z0-9]{60,}"),
)


@dataclass(frozen=True)
class Match:
    """One secret: ``start`` and ``end`` in characters; ``rule``: a rule's name."""

    rule: str
    start: int
    end: int


@dataclass(frozen=True)
class Rule:
    """One kind of key. ``group``: which group is the secret (-1: the first that took part, else all of it)."""

    id: str
    regex: str
    keywords: tuple[str, ...]
    entropy: float = LEAST_ENTROPY
    group: int = -1
    path: str = ""
    allowed: tuple[str, ...] = ()
    allowed_matches: tuple[str, ...] = ()
    allowed_lines: tuple[str, ...] = ()
    stopwords: tuple[str, ...] = field(default=(), repr=False)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(self.regex, re.ASCII)

    @cached_property
    def allowances(self) -> tuple[re.Pattern[str] | None, ...]:
        """For the secret, for the whole match, and for the line: what makes it none."""
        return tuple(_any(sources) for sources in (self.allowed, self.allowed_matches, self.allowed_lines))

    @cached_property
    def stops(self) -> re.Pattern[str] | None:
        return re.compile("|".join(map(re.escape, self.stopwords))) if self.stopwords else None

    def holds_at(self, path: str) -> bool:
        return not self.path or re.search(self.path, path, re.ASCII) is not None

    def matches(self, text: str, start: int, end: int) -> Iterator[Match]:
        """What the rule takes for a secret in ``text[start:end]``."""
        for found in self.pattern.finditer(text, start, end):
            first, last = self._secret(found)
            secret = text[first:last]
            if DIGIT.search(secret) and entropy(secret) >= self.entropy and not self._allows(text, found, secret):
                yield Match(self.id, first, last)

    def _secret(self, found: re.Match[str]) -> tuple[int, int]:
        if self.group >= 0:
            return found.span(self.group)
        groups = range(1, (found.re.groups or 0) + 1)
        return next((found.span(group) for group in groups if found[group]), found.span())

    def _allows(self, text: str, found: re.Match[str], secret: str) -> bool:
        values, matches, lines = self.allowances
        if _anywhere()[0].search(secret) or any(word in secret.lower() for word in _anywhere()[1]):
            return True
        if (values and values.search(secret)) or (self.stops and self.stops.search(secret.lower())):
            return True
        lead = LEAD.search(text, max(0, found.start() - 50), found.start())
        whole = (lead[0] if lead else "") + found[0]
        if matches and matches.search(whole):
            return True
        return bool(lines and lines.search(line_around(text, found.start())))


def line_around(text: str, at: int) -> str:
    """The line that holds a place, at most some hundred characters of it to both sides."""
    start = max(text.rfind("\n", 0, at) + 1, at - 400)
    end = text.find("\n", at, at + 400)
    return text[start : end if end >= 0 else at + 400]


def entropy(text: str) -> float:
    """Shannon's, in bits a character."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


@cache
def keywords() -> Mapping[str, tuple[Rule, ...]]:
    """Which rules to try where a (lower-case) word is met."""
    index: dict[str, list[Rule]] = {}
    for rule in rules():
        for word in rule.keywords:
            index.setdefault(word, []).append(rule)
    return {word: tuple(found) for word, found in index.items()}


@cache
def rules() -> tuple[Rule, ...]:
    more = (Rule(name, regex, (keyword,), entropy=3.0) for name, keyword, regex in MORE)
    kept = (_rule(found) for found in _data()["rules"])
    return (*more, *kept)


def _rule(found: Mapping[str, Any]) -> Rule:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}
    return Rule(**values)


@cache
def lock_file() -> re.Pattern[str]:
    """Paths of files full of digests, which tools write and nobody puts a key in."""
    pattern = _any(_data()["allowed_paths"])
    assert pattern
    return pattern


@cache
def _anywhere() -> tuple[re.Pattern[str], tuple[str, ...]]:
    pattern = _any([*_data()["allowed_values"], r"(?i:example|placeholder|redacted|x{6,})", r"\*{4,}"])
    assert pattern
    return pattern, tuple(_data()["stopwords"])


@cache
def _data() -> dict[str, Any]:
    return json.loads(files("fireside.workspace").joinpath("secret_rules.json").read_bytes())  # type: ignore[no-any-return]


def _any(sources: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{source})" for source in sources), re.ASCII) if sources else None

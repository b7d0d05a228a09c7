"""Turn the rules of gitleaks (MIT, see LICENSES/gitleaks-MIT.txt) into ours.

    python tools/secret_rules.py GITLEAKS.TOML VERSION > src/fireside/workspace/secret_rules.json

Go's RE2 syntax becomes that of Python's ``re``: flags in the middle of a pattern get a scope, ``\\z`` becomes ``\\Z``, named groups and
POSIX classes are written out. A rule that is left out is listed under ``left_out`` with the reason.
"""

import json
import re
import sys
import tomllib
import warnings
from pathlib import Path
from typing import Any

# Each of these is written by hand in workspace/credentials.py: the original backtracks without bound in ``re``, or finds too much.
WRITTEN_ANEW = {
    "private-key": "ours reads to the end of a cut-off key, and never runs over the whole text",
    "curl-auth-user": "ours is bounded: the original is quadratic on long lines",
    "curl-auth-header": "any Authorization header is found, in curl or not",
    "kubernetes-secret-yaml": "ours reads the manifest line by line and finds every value of it",
    "sidekiq-sensitive-url": "any password in a URL is found",
    "sidekiq-secret": "two groups of eight hexadecimal digits are too short to be told from anything else",
    "nuget-config-password": "the name of a password beside a value is found in any XML",
    "pkcs12-file": "a rule about a file name: see withheld",
}
# What a rule needs changed. ``group`` 0: the whole match is the secret. ``keywords``: words that stand in the secret itself.
CHANGES: dict[str, dict[str, Any]] = {
    "microsoft-teams-webhook": {"group": 0},
    "airtable-personnal-access-token": {"keywords": ["pat"]},
    "aws-amazon-bedrock-api-key-short-lived": {"regex": r"bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t[\w+/=-]{20,}"},
}
# Allowlists that quote keys which scanners of other people would stop at.
WITHOUT_ALLOWLIST = ("gcp-api-key",)
POSIX = {"[:alnum:]": "a-zA-Z0-9"}
FLAGS = re.compile(r"\(\?([a-z]*(?:-[a-z]+)?)\)")
OPENING = re.compile(r"\((?:\?P<\w+>|\?[a-z]*(?:-[a-z]+)?:)?")
# Only the secret matters here, so what stands before the vendor's name need not be matched; trying it at each place is slow.
LEAD = r"[\w.-]{0,50}?"


def translate(pattern: str) -> str:
    """A pattern of Go's as one of Python's."""
    for name, written_out in POSIX.items():
        pattern = pattern.replace(name, written_out)
    translated, end = _scoped(pattern.replace(LEAD, ""), 0)
    if end != len(pattern.replace(LEAD, "")):
        raise ValueError("unbalanced )")
    return translated


def _scoped(pattern: str, at: int) -> tuple[str, int]:
    """The pattern from ``at`` to the end of its group, and where that is. Go's ``(?i)`` holds to there, also after a ``|``."""
    parts: list[str] = []
    flags: list[str] = []
    while at < len(pattern) and pattern[at] != ")":
        character = pattern[at]
        if character == "\\":
            parts.append("\\Z" if pattern[at + 1] == "z" else pattern[at : at + 2])
            at += 2
        elif character == "[":
            end = _class_end(pattern, at)
            parts.append(pattern[at:end])
            at = end
        elif setting := FLAGS.match(pattern, at):
            flags.append(f"(?{setting[1]}:")
            parts.append(flags[-1])
            at = setting.end()
        elif character == "(":
            opening = OPENING.match(pattern, at)
            assert opening
            inner, at = _scoped(pattern, opening.end())
            head = "(?:" if opening[0].startswith("(?P<") else opening[0]
            parts.append(f"{head}{inner})")
            at += 1
        else:
            parts.append(")" * len(flags) + "|" + "".join(flags) if character == "|" else character)
            at += 1
    return "".join(parts) + ")" * len(flags), at


def _class_end(pattern: str, at: int) -> int:
    """The place after the ``]`` that ends the class which begins at ``at``."""
    at += 2 if pattern[at + 1] == "^" else 1
    at += pattern[at] == "]"
    while pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    return at + 1


def converted(source: dict[str, Any]) -> dict[str, Any]:
    """The whole file: every rule is either in ``rules`` or in ``left_out``."""
    rules: list[dict[str, Any]] = []
    left_out = dict(WRITTEN_ANEW)
    for found in source["rules"]:
        if found["id"] in WRITTEN_ANEW:
            continue
        try:
            rules.append(_rule(found))
        except (re.error, ValueError, FutureWarning) as error:
            left_out[found["id"]] = f"does not compile: {error}"
    everywhere = source["allowlist"]
    return {
        "allowed_values": [_checked(regex) for regex in everywhere["regexes"]],
        "allowed_paths": [_checked(regex) for regex in everywhere["paths"]],
        "stopwords": everywhere["stopwords"],
        "left_out": dict(sorted(left_out.items())),
        "rules": rules,
    }


def _rule(found: dict[str, Any]) -> dict[str, Any]:
    rule: dict[str, Any] = {"id": found["id"], "regex": _checked(found["regex"]), "keywords": found["keywords"]}
    if "entropy" in found:
        rule["entropy"] = float(found["entropy"])
    if "path" in found:
        rule["path"] = _checked(found["path"])
    if "secretGroup" in found:
        rule["group"] = found["secretGroup"]
    for allowlist in found.get("allowlists", ()):
        if found["id"] in WITHOUT_ALLOWLIST or "paths" in allowlist:
            continue
        target = {"match": "allowed_matches", "line": "allowed_lines"}.get(allowlist.get("regexTarget"), "allowed")
        rule.setdefault(target, []).extend(_checked(regex) for regex in allowlist.get("regexes", ()))
        if "stopwords" in allowlist:
            rule["stopwords"] = allowlist["stopwords"]
    return rule | CHANGES.get(found["id"], {})


def _checked(regex: str) -> str:
    translated = translate(regex)
    re.compile(translated, re.ASCII)
    return translated


def main(arguments: list[str]) -> None:
    """Write the rules to standard output, one a line."""
    if len(arguments) != 2:
        sys.exit(__doc__)
    warnings.simplefilter("error")
    whole = converted(tomllib.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    licence = Path(__file__).parents[1].joinpath("LICENSES", "gitleaks-MIT.txt").read_text(encoding="utf-8")
    head = {"source": "gitleaks", "version": arguments[1], "licence": licence.strip()}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in (head | whole).items() if key != "rules"]
    rules = ",\n".join(json.dumps(rule) for rule in whole["rules"])
    lines.append(f'"rules": [\n{rules}\n]')
    print("{\n" + ",\n".join(lines) + "\n}")
    print(f"{len(whole['rules'])} rules, {len(whole['left_out'])} left out", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])

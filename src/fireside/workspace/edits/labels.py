"""Where an answer names a file: a heading, a line of bold type, a fence, a comment, a sentence. Knows the names there are."""

import re
from collections.abc import Iterable

from fireside.workspace.edits.names import Names, is_protected
from fireside.workspace.edits.refusals import EditRefused

PREFIX = re.compile(
    r"^(?:[-*+]\s+|\d+[.)]\s+|#{1,6}\s+|//+\s*|#\s*|--+\s+|;+\s*|%+\s*|<!--\s*|/\*+\s*|>\s+|\*\*|__(?!\w+__)|`+|\"|'|\[|\("
    r"|<(?:path|file_?path|file_?name|file)>|(?:new\s+|updated?\s+|modified\s+)?(?:file\s*name|file\s*path|file|path)\s*[:=](?!//)\s*|(?:create|update|edit|modify|in)\s*:\s*)",
    re.IGNORECASE,
)
SUFFIX = re.compile(
    r"(?:\s*</(?:path|file_?path|file_?name|file)>|\s*-->|\s*\*/|\*\*|__|`+|\"|'|\]|\)|:|,|\s+(?:[-–—]\s*)?\(?(?:new(?:\s+file)?|modified|updated|changed|edited|created|unchanged)\)?"
    r"|:\d+(?:-\d+)?|\s+\(?lines?\s+\d+(?:\s*-\s*\d+)?\)?)$",
    re.IGNORECASE,
)
PATH_LIKE = re.compile(r"^(?:[A-Za-z]:)?[\w.@+$~%\[\]()\\/-]*[\w\])]$")
EXTENSION = re.compile(r"[\w\])-]\.[A-Za-z][\w-]{0,11}$|[\w\])-]\.\d$|(?:^|[/\\])\.[A-Za-z][\w.-]*$")
BARE_NAMES = frozenset(
    (
        "makefile",
        "dockerfile",
        "containerfile",
        "rakefile",
        "gemfile",
        "vagrantfile",
        "jenkinsfile",
        "procfile",
        "license",
        "readme",
        "changelog",
        "justfile",
        "codeowners",
    )
)
WORD = re.compile(r"[\w.@+$~\\/-]*\w")
INFO_WORD = re.compile(r"[\s=\"'{},;]+|(?<!^[A-Za-z]):(?![\\/])")


def label(line: str, names: Names) -> str:
    """The name a line consists of, without its decoration; "" for a line that is no name."""
    text = line.strip()
    if not text or len(text) > 400:
        return ""
    while True:
        if _is_known(text, names):
            return text
        bared = SUFFIX.sub("", PREFIX.sub("", text, count=1).strip()).strip()
        if bared == text:
            break
        text = bared
    # What only pretends to be another name is kept, so that it is refused and not overlooked.
    return text if looks_like_path(text) or text.startswith("file:") or is_protected(text) else ""


def looks_like_path(text: str) -> bool:
    if not PATH_LIKE.match(text) or text.startswith("..."):
        return False
    base = re.split(r"[\\/]", text)[-1]
    return bool(EXTENSION.search(text)) or base.casefold() in BARE_NAMES or ("/" in text[:-1] and "//" not in text)


def info_label(info: str, names: Names) -> str:
    """The name in what stands behind the fence: ``python src/a.py``, ``python:src/a.py``, ``python title="a.py"``, ``src/a.py``."""
    text = info.strip()
    if not text:
        return ""
    if _is_known(text, names):
        return text
    for word in INFO_WORD.split(text):
        found = label(word, names) if word else ""
        if found and (found in names or EXTENSION.search(found) or "/" in found):
            return _unglued(found, names)
    return ""


def mentioned(lines: Iterable[str], names: Names) -> tuple[str, ...]:
    """Known files that are named in sentences, the last first."""
    found: dict[str, None] = {}
    for line in reversed(list(lines)):
        for word in reversed(WORD.findall(line)):
            if _is_known(word, names) or ("." in word and _resolves(word, names)):
                found[word] = None
    return tuple(found)


def _unglued(name: str, names: Names) -> str:
    """``pythonsrc/a.py``: a language without a blank before the name."""
    if name in names or "/" not in name:
        return next((known for known in names.known if name.endswith(known) and name[: -len(known)].isalpha()), name)
    return next((name[cut:] for cut in range(1, len(name)) if name[cut:] in names and name[:cut].isalpha()), name)


def _is_known(text: str, names: Names) -> bool:
    return text in names or text.replace("\\", "/").removeprefix("./") in names


def _resolves(word: str, names: Names) -> bool:
    try:
        return names.find(word, loosely=False) is not None
    except EditRefused:
        return False

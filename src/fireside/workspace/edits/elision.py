"""Lines that stand for code which is not shown ("... rest unchanged"). Knows how models write them; edits nothing."""

import re
from collections.abc import Collection, Sequence

DOTS = r"(?:\.{3,}|…)"
LEADER = r"(?:#(?!#)|//+|/\*+|\*+|--+|;+|%+|<!--+|\{/\*+|\"\"\"|'''|REM\b|=begin\b)"
TRAILER = r"(?:\*+/\}?|--+>|\"\"\"|''')"
COMMENT = re.compile(rf"^{LEADER}\s*(?P<body>.*?)\s*{TRAILER}?$", re.IGNORECASE)
ONLY_DOTS = re.compile(rf"^[\[(<{{]?\s*{DOTS}\s*[\])>}}]?$")
WHAT = (
    r"(?:code|methods?|functions?|implementations?|lines?|contents?|logic|imports?|body|bodies|files?|class(?:es)?|tests?|"
    r"definitions?|statements?|fields?|parts?|properties|setup|config(?:uration)?|handlers?|routes?|everything|stuff|things)"
)
OLD = r"(?:existing|previous|other|remaining|original|unchanged|same|old|current|earlier)"
LEFT = r"(?:unchanged|the\s+same|same|as\s+(?:is|before|above)|omitted|here|below|above|elided|not\s+shown|untouched|intact|for\s+brevity)"
STAYS = rf"(?:\s+(?:remains?|stays?|is|are|goes|continues?|follows?|left))*(?:\s+{LEFT})*"
PHRASES = re.compile(
    r"^[\[(<{\s]*(?:"
    rf"(?:keep\s+)?(?:the\s+)?(?:rest|remainder)(?:\s+of(?:\s+[\w.]+){{1,5}}?)?{STAYS}"
    rf"|(?:keep\s+)?(?:the\s+|your\s+|all\s+)*{OLD}\s+(?:\w+\s+){{0,2}}?{WHAT}{STAYS}"
    rf"|(?:\w+\s+){{0,2}}{WHAT}\s+(?:remains?\s+|stays?\s+|is\s+|are\s+)?(?:unchanged|the\s+same|omitted|elided|truncated|not\s+shown|as\s+before){STAYS}"
    r"|unchanged(?:\s+(?:code|lines?|here|below|above))?|same\s+as\s+(?:before|above|original)|no\s+changes?(?:\s+\w+){0,2}"
    r"|snip(?:ped)?|omitted(?:\s+for\s+brevity)?|truncated|as\s+before|and\s+so\s+on|etc"
    r")[\s.…\])>}]*$",
    re.IGNORECASE,
)
TELLING = re.compile(
    rf"\b(?:rest|remaining|remainder|existing|previous|other|unchanged|same|omitted|before|original|snip|{WHAT})\b",
    re.IGNORECASE,
)
# Words that tell little in a comment, and enough in one that stands alone where code stood.
HINT = re.compile(
    r"\b(?:rest|remain\w*|unchanged|same|existing|omitted|original|keep|kept|as\s+(?:is|it\s+was)|continues?|identical|other|etc"
    r"|no\s+changes?|snip\w*|implementation|previous|stays?|here|below|above|before)\b|\.{3}|…",
    re.IGNORECASE,
)
PLACEHOLDER = re.compile(r"^(?:pass|\.{3}|return|raise\s+NotImplementedError(?:\(.*\))?)\s*;?\s*(?=#|//|$)")
LEAST_HIDDEN = 2
OPENS_BODY = (":", '"""')
DOTTED = re.compile(rf"^(?:[\[(<{{]\s*)?{DOTS}|{DOTS}(?:\s*[\])>}}])?$")


def is_dots(text: str) -> bool:
    """Three dots alone, as a line or as a comment: an elision, or a statement of Python."""
    line = text.strip()
    comment = COMMENT.match(line)
    return bool(ONLY_DOTS.match(comment["body"] if comment else line))


def is_phrase(text: str) -> bool:
    """A comment, or words among dots or brackets, that say something was left out."""
    line = text.strip()
    comment = COMMENT.match(line)
    body = (comment["body"] if comment else line).strip().strip("-=~ ")
    dotted = bool(DOTTED.search(body))
    if dotted and not ONLY_DOTS.match(body):
        inner = re.sub(rf"^[\[(<{{\s]*{DOTS}?\s*|\s*{DOTS}?[\])>}}\s]*$", "", body)
        if (comment and len(inner) <= 100 and TELLING.search(inner)) or PHRASES.match(inner):
            return True
    bracketed = body[:1] in "[(<" and body[-1:] in "])>" and len(body) > 1
    return bool((comment or bracketed) and body and PHRASES.match(body))


def stands_for_more(text: str) -> bool:
    return is_dots(text) or is_phrase(text)


def elided(texts: Sequence[str], dropped: Sequence[str], known: Collection[str]) -> str | None:
    """The first of the new lines that stands for code not shown, or None. ``dropped``: the lines they replace.

    ``known``: the lines of the file, stripped; words that are there already are no elision. A bare ``...`` is a statement where it was
    one before, and where it is all there is below a new line, or its docstring, while no more is taken away than is shown.
    """
    shown = sum(bool(text.strip()) and not is_dots(text) for text in texts)
    statement = sum(bool(text.strip()) for text in dropped) <= shown
    had_dots = any(is_dots(text) for text in dropped)
    above = ""
    for text in texts:
        line = text.strip()
        if is_phrase(line) and line not in known:
            return line
        if is_dots(line) and not had_dots and not (statement and line == "..." and above.endswith(OPENS_BODY)):
            return line
        above = line or above
    return _hollow(texts, dropped, known)


def _hollow(texts: Sequence[str], dropped: Sequence[str], known: Collection[str]) -> str | None:
    """The comment that hints at code not shown, where nothing but comments came in the place of some lines of code."""
    lost = [text for text in dropped if text.strip() and not COMMENT.match(text.strip())]
    told = [PLACEHOLDER.sub("", text.strip()) for text in texts if text.strip()]
    if len(lost) < LEAST_HIDDEN or any(text and not COMMENT.match(text) for text in told):
        return None
    return next((text for text in told if text not in known and HINT.search(text)), None)

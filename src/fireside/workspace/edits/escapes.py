"""Other readings of a text that was escaped once too often, or once too little. Each is only worth a try: the file decides."""

from collections.abc import Iterator

from fireside.workspace.edits.damaged_json import ESCAPES

QUOTES = "\"'"


def readings(old: str, new: str) -> Iterator[tuple[str, str]]:
    """Pairs to look for when ``old`` itself is nowhere; both texts are read the same way."""
    if "\\" in old:
        yield _unescaped(old), _unescaped(new)
    again = _lines_in_quotes(old)
    if again is not None and again != old:
        other = _lines_in_quotes(new)
        if other is not None:
            yield again, other


def splits_a_string(text: str) -> bool:
    """Whether a line ends within quotes: then a line end was made of what should have stayed an escape."""
    return '"""' not in text and "'''" not in text and _lines_in_quotes(text) != text


def _unescaped(text: str) -> str:
    parts: list[str] = []
    at = 0
    while at < len(text):
        pair = text[at : at + 2]
        if len(pair) == 2 and pair[0] == "\\" and pair[1] in ESCAPES:
            parts.append(ESCAPES[pair[1]])
            at += 2
        else:
            parts.append(text[at])
            at += 1
    return "".join(parts)


def _lines_in_quotes(text: str) -> str | None:
    """``text`` with the line ends and tabs within quotes written as escapes. None where quotes cannot be told apart."""
    if '"""' in text or "'''" in text:
        return None
    parts: list[str] = []
    quote = ""
    for at, sign in enumerate(text):
        if sign in QUOTES and text[at - 1 : at] != "\\":
            quote = "" if sign == quote else quote or sign
        parts.append({"\n": "\\n", "\t": "\\t"}.get(sign, sign) if quote else sign)
    return "".join(parts) if not quote else None

"""A file as lines, and back to the very same bytes. Knows encodings and line ends; not what is edited.

A line's end belongs to the line: what is not edited keeps its own, and a new line takes that of the line it replaces or stands beside.
"""

import codecs
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fireside.workspace.edits.refusals import refuse

# UTF-32 first: its mark begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
HALF = re.compile("[\ud800-\udfff]")
TEXT_MARK = "\ufeff"


@dataclass(slots=True)
class Line:
    """``end``: its line end, "" only for a last line without one. ``origin``: its row in the file as read, None for a new line."""

    text: str
    end: str
    origin: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """``encoding``: None for a file that was given as ``str``. ``mark``: the byte order mark, if any."""

    lines: tuple[Line, ...]
    encoding: str | None = None
    mark: bytes = b""
    text_mark: str = ""

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    def write(self, lines: Sequence[Line]) -> str | bytes:
        """Other lines as the same kind of file. Raises ``EditRefused`` for what the encoding cannot say."""
        text = self.text_mark + "".join(line.text + line.end for line in lines)
        if self.encoding is None:
            half = next((found for line in lines if line.origin is None and (found := HALF.search(line.text))), None)
            if half is not None:
                raise refuse("encoding", f"the new text has half a character (U+{ord(half[0]):04X})")
            return text
        try:
            return self.mark + text.encode(self.encoding)
        except UnicodeEncodeError as error:
            character = text[error.start]
            raise refuse(
                "encoding",
                f"the file is {self.encoding}, which has no {character!r} (U+{ord(character):04X})",
            ) from None


def read_document(data: str | bytes) -> Document:
    """Raises ``EditRefused`` (binary) for bytes that are no text."""
    if isinstance(data, str):
        marked = data.startswith(TEXT_MARK)
        return Document(tuple(split_lines(data[marked:])), text_mark=TEXT_MARK * marked)
    mark, encoding = next(((mark, name) for mark, name in MARKS if data.startswith(mark)), (b"", "utf-8"))
    body = data[len(mark) :]
    if encoding == "utf-8" and b"\0" in body:
        raise refuse("binary", "the file is not text")
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError:
        if mark or _mostly_control(body[:8192]):
            raise refuse("binary", "the file is not text") from None
        text, encoding = body.decode("latin-1"), "latin-1"
    return Document(tuple(split_lines(text)), encoding, mark)


def split_lines(text: str) -> list[Line]:
    """Only ``\\n``, ``\\r\\n`` and, where there is no other, ``\\r`` end a line: form feeds and U+2028 stand inside of one."""
    if not text:
        return []
    mark = "\r" if "\n" not in text else "\n"
    pieces = text.split(mark)
    last = pieces.pop()
    lines = [
        Line(piece[:-1], "\r\n", row) if mark == "\n" and piece.endswith("\r") else Line(piece, mark, row)
        for row, piece in enumerate(pieces)
    ]
    return [*lines, Line(last, "", len(lines))] if last else lines


def replace_lines(lines: list[Line], start: int, stop: int, texts: Sequence[str]) -> None:
    """Put ``texts`` in the place of ``lines[start:stop]``, with the line ends that belong there."""
    old = lines[start:stop]
    beside = _end_beside(lines, start)
    at_end = stop == len(lines)
    last_end = lines[-1].end if lines else beside
    new = [Line(text, (old[number].end if number < len(old) else "") or beside) for number, text in enumerate(texts)]
    if at_end and new:
        new[-1].end = last_end
        if start and not lines[start - 1].end:
            before = lines[start - 1]
            lines[start - 1] = Line(before.text, beside, before.origin)
    lines[start:stop] = new


def usual_end(lines: Sequence[Line]) -> str:
    """The line end most lines have; ``\\n`` where there is none."""
    ends = Counter(line.end for line in lines if line.end)
    return ends.most_common(1)[0][0] if ends else "\n"


def _end_beside(lines: Sequence[Line], row: int) -> str:
    for near in (row - 1, row):
        if 0 <= near < len(lines) and lines[near].end:
            return lines[near].end
    return usual_end(lines)


def _mostly_control(head: bytes) -> bool:
    control = sum(byte < 32 and byte not in b"\t\n\r\f\v\b\x1b" for byte in head)
    return control * 20 > len(head)

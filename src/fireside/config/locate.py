"""On which line of a TOML text each key stands. The text must already have been read by ``tomllib``: nothing is checked again here.

Places are key paths; an element of an array adds its index: ``("servers", "0", "name")``.
"""

import re
from bisect import bisect_right

from fireside.config.notation import KeyPath, read_key

BETWEEN = re.compile(r"(?:[\s,]|#[^\n]*)*")
STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}' + r"|'''.*?'{3,5}(?!')" + r'|"(?:[^"\\\n]|\\.)*"' + r"|'[^'\n]*'", re.DOTALL
)
SCALAR = re.compile(r"[^,\]}#\n]*")


def lines_of(text: str) -> dict[KeyPath, int]:
    """The line, counted from 1, where each table, key and array element is first written."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self._lengths: dict[KeyPath, int] = {}
        self._ends = [match.start() for match in re.finditer("\n", text)]

    def document(self) -> None:
        table: KeyPath = ()
        self._skip()
        while self.at < len(self.text):
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)
            self._skip()

    def _header(self) -> KeyPath:
        start = self.at
        is_array = self.text.startswith("[[", start)
        path, end = read_key(self.text, start + 1 + is_array)
        self.at = end + 1 + is_array
        if is_array:
            parent = (*self._inside(path[:-1]), path[-1])
            self._note(parent, start)
            self._lengths[parent] = self._lengths.get(parent, 0) + 1
        table = self._inside(path)
        self._note(table, start)
        return table

    def _inside(self, path: KeyPath) -> KeyPath:
        """A header below an array of tables means the array's last element."""
        inside: KeyPath = ()
        for name in path:
            inside = (*inside, name)
            if inside in self._lengths:
                inside = (*inside, str(self._lengths[inside] - 1))
        return inside

    def _pair(self, table: KeyPath) -> None:
        start = self.at
        path, end = read_key(self.text, start)
        for depth in range(1, len(path) + 1):
            self._note((*table, *path[:depth]), start)
        self.at = end + 1
        self._value((*table, *path))

    def _value(self, path: KeyPath) -> None:
        self._skip_blank()
        if match := STRING.match(self.text, self.at):
            self.at = match.end()
        elif self.text.startswith("[", self.at):
            self._array(path)
        elif self.text.startswith("{", self.at):
            self._inline_table(path)
        elif match := SCALAR.match(self.text, self.at):
            self.at = match.end()

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        self._skip()
        index = 0
        while not self.text.startswith("]", self.at):
            element = (*path, str(index))
            self._note(element, self.at)
            self._value(element)
            self._skip()
            index += 1
        self.at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self.at += 1
        self._skip()
        while not self.text.startswith("}", self.at):
            self._pair(path)
            self._skip()
        self.at += 1

    def _note(self, path: KeyPath, at: int) -> None:
        self.lines.setdefault(path, bisect_right(self._ends, at - 1) + 1)

    def _skip(self) -> None:
        """Over blanks, line ends, commas and comments."""
        if match := BETWEEN.match(self.text, self.at):
            self.at = match.end()

    def _skip_blank(self) -> None:
        while self.text.startswith((" ", "\t"), self.at):
            self.at += 1

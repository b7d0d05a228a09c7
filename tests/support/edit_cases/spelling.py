"""Line ends, byte order marks, encodings, look-alike characters, blanks: what the answer cannot see, and must not change."""

# One case a line, however long.
# ruff: noqa: E501
# fmt: off

from support.edit_cases.case import Case, every, listing, one

ENDS = "line ends"
BYTES = "encodings"
ALIKE = "look-alikes"
BLANKS = "blanks"

TWO = "def f():\n    return 1\n\n\ndef g():\n    return 2\n"
TWO_AFTER = "def f():\n    return 7\n    # done\n\n\ndef g():\n    return 2\n"


def _crlf(text: str) -> str:
    return text.replace("\n", "\r\n")


def _line_ends() -> list[Case]:
    old, new = "def f():\n    return 1", "def f():\n    return 7\n    # done"
    cases = [
        *every(ENDS, "CRLF as text", _crlf(TWO), old, new, _crlf(TWO_AFTER)),
        *every(ENDS, "CRLF as bytes", _crlf(TWO).encode(), old, new, _crlf(TWO_AFTER).encode()),
        *every(ENDS, "CR alone", TWO.replace("\n", "\r"), old, new, TWO_AFTER.replace("\n", "\r")),
        *every(
            ENDS,
            "mixed ends stay where they are",
            "a = 1\r\nb = 2\nc = 3\r\nd = 4\n",
            "b = 2\nc = 3",
            "b = 2\nc = 30",
            "a = 1\r\nb = 2\nc = 30\r\nd = 4\n",
        ),
        *every(
            ENDS,
            "both ends of a mixed block change",
            "a = 1\r\nb = 2\nc = 3\r\n",
            "a = 1\nb = 2\nc = 3",
            "a = 10\nb = 2\nc = 30",
            "a = 10\r\nb = 2\nc = 30\r\n",
        ),
        *every(ENDS, "no newline at the end, last line changed", "a = 1\nb = 2", "b = 2", "b = 3", "a = 1\nb = 3"),
        *every(ENDS, "no newline at the end, first line changed", "a = 1\nb = 2", "a = 1", "a = 3", "a = 3\nb = 2"),
        *every(
            ENDS,
            "appended where no newline ends the file",
            "a = 1\nb = 2",
            "b = 2",
            "b = 2\nc = 3",
            "a = 1\nb = 2\nc = 3",
        ),
        *every(
            ENDS,
            "appended to a CRLF file without last newline",
            "a = 1\r\nb = 2",
            "b = 2",
            "b = 2\nc = 3",
            "a = 1\r\nb = 2\r\nc = 3",
        ),
        *every(ENDS, "a newline at the end stays one", "a = 1\nb = 2\n", "b = 2", "b = 3", "a = 1\nb = 3\n"),
        *every(ENDS, "the last line goes", "a = 1\nb = 2\n", "a = 1\nb = 2", "a = 1", "a = 1\n"),
        *every(ENDS, "blank lines at the end stay", "a = 1\n\n\n", "a = 1", "a = 2", "a = 2\n\n\n"),
        *every(ENDS, "one line without newline", "x = 1", "x = 1", "x = 2", "x = 2"),
        *every(ENDS, "a form feed ends no line", "a = 1\n\x0c\nb = 2\n", "b = 2", "b = 3", "a = 1\n\x0c\nb = 3\n"),
        *every(ENDS, "U+2028 ends no line", "a = 'x\u2028y'\nb = 2\n", "b = 2", "b = 3", "a = 'x\u2028y'\nb = 3\n"),
        *every(ENDS, "a lone CR within a line", "a = 'x\ry'\nb = 2\n", "b = 2", "b = 3", "a = 'x\ry'\nb = 3\n"),
    ]
    for name, before, content, after in (
        ("CRLF", "a = 1\r\nb = 2\r\n", "a = 1\nb = 3\n", "a = 1\r\nb = 3\r\n"),
        ("no last newline", "a = 1\nb = 2", "a = 1\nb = 3\n", "a = 1\nb = 3"),
        ("mixed", "a = 1\r\nb = 2\nc = 3\n", "a = 1\nb = 2\nc = 4\n", "a = 1\r\nb = 2\nc = 4\n"),
        ("blank line at the end of the listing", "a = 1\n", "a = 2\n\n", "a = 2\n"),
        ("blank line at its beginning", "a = 1\n", "\na = 2\n", "a = 2\n"),
    ):
        cases.append(
            one(ENDS, f"whole file, {name}", "whole", {"app.py": before}, listing("app.py", content), {"app.py": after})
        )
    cases.append(
        one(
            ENDS,
            "an answer with CRLF",
            "search_replace",
            {"app.py": TWO},
            "app.py\r\n```\r\n<<<<<<< SEARCH\r\n    return 1\r\n=======\r\n    return 7\r\n>>>>>>> REPLACE\r\n```\r\n",
            {"app.py": TWO.replace("return 1", "return 7")},
        )
    )
    cases.append(
        one(
            ENDS,
            "CRLF within the JSON",
            "edit_tool",
            {"app.py": _crlf(TWO)},
            '{"path": "app.py", "old_string": "def f():\\r\\n    return 1", "new_string": "def f():\\r\\n    return 7"}',
            {"app.py": _crlf(TWO).replace("return 1", "return 7")},
        )
    )
    cases.append(
        one(
            ENDS,
            "the new text gains a line end the old one lacks",
            "edit_tool",
            {"app.py": "a = 1\nb = 2"},
            '{"path": "app.py", "old_string": "b = 2", "new_string": "b = 3\\n"}',
            {"app.py": "a = 1\nb = 3"},
        )
    )
    cases.append(
        one(
            ENDS,
            "the new text lacks the line end the old one has",
            "edit_tool",
            {"app.py": "a = 1\nb = 2\nc = 3\n"},
            '{"path": "app.py", "old_string": "b = 2\\n", "new_string": "b = 4"}',
            {"app.py": "a = 1\nb = 4\nc = 3\n"},
        )
    )
    cases.append(
        one(
            ENDS,
            "no newline marker",
            "udiff",
            {"app.py": "a = 1\nb = 2"},
            "--- a/app.py\n+++ b/app.py\n@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n\\ No newline at end of file\n+b = 3\n"
            "\\ No newline at end of file\n",
            {"app.py": "a = 1\nb = 3"},
        )
    )
    return cases


def _encodings() -> list[Case]:
    mark = "\ufeff"
    latin = "name = 'caf\xe9'\nsize = 1\n".encode("latin-1")
    return [
        *every(BYTES, "BOM as text", f"{mark}a = 1\nb = 2\n", "a = 1", "a = 3", f"{mark}a = 3\nb = 2\n"),
        *every(
            BYTES,
            "BOM as bytes",
            b"\xef\xbb\xbfa = 1\nb = 2\n",
            "a = 1\nb = 2",
            "a = 3\nb = 2",
            b"\xef\xbb\xbfa = 3\nb = 2\n",
        ),
        *every(
            BYTES,
            "BOM and CRLF",
            b"\xef\xbb\xbfa = 1\r\nb = 2\r\n",
            "a = 1",
            "c = 0\na = 1",
            b"\xef\xbb\xbfc = 0\r\na = 1\r\nb = 2\r\n",
        ),
        *every(
            BYTES, "UTF-16", "a = 'é'\nb = 2\n".encode("utf-16"), "b = 2", "b = 3", "a = 'é'\nb = 3\n".encode("utf-16")
        ),
        *every(BYTES, "latin-1", latin, "size = 1", "size = 2", latin.replace(b"1", b"2")),
        *every(BYTES, "a character latin-1 has not", latin, "size = 1", "size = '→'", refused=["encoding"]),
        *every(BYTES, "a character latin-1 has", latin, "size = 1", "size = 'ü'", latin.replace(b"1", b"'\xfc'")),
        *every(
            BYTES,
            "multibyte text around",
            "# 日本語\nx = '🎉'\ny = 1\n",
            "y = 1",
            "y = 2",
            "# 日本語\nx = '🎉'\ny = 2\n",
        ),
        *every(BYTES, "multibyte text within", "x = '日本語'\n", "x = '日本語'", "x = '日本酒'", "x = '日本酒'\n"),
        *every(BYTES, "binary", b"\x7fELF\0\0\1\2a = 1\n", "a = 1", "a = 2", refused=["binary"]),
        one(
            BYTES,
            "whole file keeps its BOM",
            "whole",
            {"app.py": b"\xef\xbb\xbfa = 1\n"},
            listing("app.py", "a = 2\n"),
            {"app.py": b"\xef\xbb\xbfa = 2\n"},
        ),
        one(
            BYTES,
            "whole file keeps UTF-16",
            "whole",
            {"app.py": "a = 1\n".encode("utf-16")},
            listing("app.py", "a = 2\n"),
            {"app.py": "a = 2\n".encode("utf-16")},
        ),
    ]


def _look_alikes() -> list[Case]:
    curly = "title = “Menu”\n# don’t touch – ever\nsize = 1\n"
    return [
        *every(
            ALIKE,
            "curly quotes in the lines around",
            curly,
            'title = "Menu"\n# don\'t touch - ever\nsize = 1',
            'title = "Menu"\n# don\'t touch - ever\nsize = 2',
            curly.replace("size = 1", "size = 2"),
        ),
        *every(
            ALIKE,
            "curly quotes in the line itself",
            curly,
            'title = "Menu"',
            'title = "Card"',
            [curly.replace("Menu", "Card"), curly.replace("“Menu”", '"Card"')],
        ),
        *every(ALIKE, "a hard blank", "a\u00a0= 1\nb = 2\n", "a = 1\nb = 2", "a = 1\nb = 3", "a\u00a0= 1\nb = 3\n"),
        *every(
            ALIKE,
            "composed and decomposed accents",
            "s = 'cafe\u0301'\nt = 1\n",
            "s = 'caf\u00e9'\nt = 1",
            "s = 'caf\u00e9'\nt = 2",
            "s = 'cafe\u0301'\nt = 2\n",
        ),
        *every(
            ALIKE,
            "an ellipsis character",
            "s = 'wait…'\nt = 1\n",
            "s = 'wait...'\nt = 1",
            "s = 'wait...'\nt = 2",
            "s = 'wait…'\nt = 2\n",
        ),
        *every(
            ALIKE,
            "a no-width blank in the file",
            "s = 'a\u200bb'\nt = 1\n",
            "s = 'ab'\nt = 1",
            "s = 'ab'\nt = 2",
            "s = 'a\u200bb'\nt = 2\n",
        ),
        *every(
            ALIKE,
            "the answer has the curly ones",
            "s = 'it'\nt = \"x\"\n",
            "s = ‘it’\nt = “x”",
            "s = ‘it’\nt = “y”",
            ["s = 'it'\nt = \"y\"\n", "s = 'it'\nt = “y”\n"],
        ),
        *every(
            ALIKE,
            "two places that differ only by a dash are one too many",
            "a – b\nx\na — b\n",
            "a - b",
            "a + b",
            refused=["ambiguous"],
            formats=("search_replace", "udiff", "apply_patch", "edit_tool"),
        ),
    ]


def _blanks() -> list[Case]:
    spaced = "def f(x):\n    y = x\n\n    return y\n\n\ndef g():\n    pass\n"
    return [
        *every(BLANKS, "trailing blanks in the file", "def f():   \n    return 1  \nx = 1\n", "def f():\n    return 1\nx = 1",
               "def f():\n    return 1\nx = 2", "def f():   \n    return 1  \nx = 2\n"),
        *every(BLANKS, "trailing blanks in the answer", "def f():\n    return 1\n", "def f():  \n    return 1  ",
               "def f():  \n    return 2", "def f():\n    return 2\n"),
        *every(BLANKS, "a blank line missing in the search", spaced, "    y = x\n    return y", "    y = x\n    return y + 1",
               spaced.replace("return y", "return y + 1")),
        *every(BLANKS, "a blank line too many in the search", "a = 1\nb = 2\n", "a = 1\n\nb = 2", "a = 1\n\nb = 3",
               ["a = 1\nb = 3\n", "a = 1\n\nb = 3\n"]),
        *every(BLANKS, "a blank line that holds blanks", "def f():\n    a = 1\n    \n    return a\n",
               "    a = 1\n\n    return a", "    a = 2\n\n    return a", "def f():\n    a = 2\n    \n    return a\n"),
        *every(BLANKS, "blank lines before and after the search", "x = 0\na = 1\nb = 2\n", "\na = 1\n", "\na = 3\n", "x = 0\na = 3\nb = 2\n",
               formats=("search_replace", "edit_tool")),
        *every(BLANKS, "blanks within the line", "a   =  1\nb = 2\n", "a = 1\nb = 2", "a = 1\nb = 3", "a   =  1\nb = 3\n"),
        *every(BLANKS, "no blanks around the sign", "a=1\nb = 2\n", "a = 1\nb = 2", "a = 1\nb = 3", "a=1\nb = 3\n"),
        *every(BLANKS, "tabs for blanks within", "a\t= 1\nb = 2\n", "a = 1\nb = 2", "a = 1\nb = 3", "a\t= 1\nb = 3\n"),
        *every(BLANKS, "a changed line loses its trailing blanks or keeps them", "a = 1  \n", "a = 1", "a = 2", ["a = 2\n", "a = 2  \n"]),
        *every(BLANKS, "a blank line is put in", "a = 1\nb = 2\n", "a = 1\nb = 2", "a = 1\n\nb = 2", "a = 1\n\nb = 2\n"),
        *every(BLANKS, "a blank line is taken out", "a = 1\n\nb = 2\n", "a = 1\n\nb = 2", "a = 1\nb = 2", "a = 1\nb = 2\n"),
        *every(BLANKS, "two blank lines are kept apart", spaced, "    return y\n\n\ndef g():\n    pass",
               "    return y\n\n\ndef h():\n    pass", spaced.replace("def g", "def h")),
    ]


CASES = [*_line_ends(), *_encodings(), *_look_alikes(), *_blanks()]

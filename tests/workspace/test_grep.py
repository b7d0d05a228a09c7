"""Exact look-ups in files as they lie on disk."""

import os
import time
from pathlib import Path

import pytest

from fireside.core.errors import Invalid, TimedOut
from fireside.workspace.grep import Query, grep
from fireside.workspace.workspace import Workspace

FILES = {
    "src/anchor.py": b"import os\n\n\nclass Anchor:\n    def drop(self, depth):\n        return depth + 1\n\n"
    b"    def drop_all(self):\n        pass\n",
    "src/windows.txt": b"first line\r\nsecond line\r\nthird\r\n",
    "src/latin.txt": "caf\xe9 au lait\n".encode("latin-1"),
    "src/wide.txt": "anker \u2693 here\n".encode("utf-16"),
    "src/greek.md": "\u1f04\u03b3\u03ba\u03c5\u03c1\u03b1 anchor ANCHOR\n".encode(),
    "src/photo.txt": b"anchor\0\1\2",
    "tests/test_anchor.py": b"def test_drop():\n    assert drop\n",
    "secret/keys.txt": b"anchor\n",
    ".gitignore": b"secret/\n",
}


@pytest.fixture
def harbour(tmp_path: Path) -> Workspace:
    root = tmp_path / "harbour"
    for path, data in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    (root / ".git").mkdir()
    return Workspace(root)


def places(workspace: Workspace, pattern: str, **options: object) -> list[tuple[str, int]]:
    asked = {key: options.pop(key) for key in ("regex", "ignore_case", "word") if key in options}
    return [(one.path, one.line) for one in grep(workspace, Query(pattern, **asked), **options).matches]


def test_plain_text_means_itself_whatever_it_looks_like(harbour):
    (harbour.root / "src/odd.txt").write_text("a.b(c)[d]*\naxbXcX\n")
    assert places(harbour, "a.b(c)[d]*") == [("src/odd.txt", 1)]
    assert places(harbour, "a.b") == [("src/odd.txt", 1)]


def test_files_are_read_as_they_are_now_and_ignore_rules_hold(harbour):
    assert places(harbour, "anchor") == [("src/greek.md", 1)]
    (harbour.root / "src/new.txt").write_text("an anchor\n")
    assert ("src/new.txt", 1) in places(harbour, "anchor")
    (harbour.root / "src/new.txt").unlink()
    assert ("src/new.txt", 1) not in places(harbour, "anchor")


def test_binary_files_are_passed_over(harbour):
    assert not [path for path, _ in places(harbour, "anchor") if path == "src/photo.txt"]


@pytest.mark.parametrize(
    ("pattern", "options", "found"),
    [
        ("ANCHOR", {"ignore_case": True}, [("src/anchor.py", 4), ("src/greek.md", 1), ("tests/test_anchor.py", 0)][:2]),
        ("drop", {"word": True}, [("src/anchor.py", 5), ("tests/test_anchor.py", 2)]),
        ("drop", {}, [("src/anchor.py", 5), ("src/anchor.py", 8), ("tests/test_anchor.py", 1), ("tests/test_anchor.py", 2)]),
        (r"^\s*def \w+_all", {"regex": True}, [("src/anchor.py", 8)]),
        (r"line$", {"regex": True}, [("src/windows.txt", 1), ("src/windows.txt", 2)]),
        (r"first line\nsecond", {"regex": True}, [("src/windows.txt", 1)]),
        ("first line\nsecond", {}, [("src/windows.txt", 1)]),
        ("first line\r\nsecond", {}, [("src/windows.txt", 1)]),
        (r"(?s)class.*pass", {"regex": True}, [("src/anchor.py", 4)]),
        (r"class[^x]*pass", {"regex": True}, []),
        ("caf\xe9", {}, [("src/latin.txt", 1)]),
        ("CAF\xc9", {"ignore_case": True}, [("src/latin.txt", 1)]),
        ("\u2693", {}, [("src/wide.txt", 1)]),
        ("\u1f04\u03b3\u03ba", {}, [("src/greek.md", 1)]),
        (r"(?<!\s)import", {"regex": True}, [("src/anchor.py", 1)]),
        (r"\Apass\Z", {"regex": True}, []),
        (r"\A\s+pass\Z", {"regex": True}, [("src/anchor.py", 9)]),
        (r"depth[^+]*+$", {"regex": True}, [("src/anchor.py", 5)]),
        ("nowhere", {}, []),
        ("drop\udce9", {}, []),
    ],
)  # fmt: skip
def test_finds_what_was_asked_for_and_nothing_else(harbour, pattern, options, found):
    assert places(harbour, pattern, **options) == found


def test_a_match_tells_its_line_where_it_stands_and_what_is_around(harbour):
    (one,) = grep(harbour, Query("depth + 1"), context=1).matches
    assert (one.line, one.end_line, one.text) == (6, 6, "        return depth + 1")
    assert [one.text[start:end] for start, end in one.spans] == ["depth + 1"]
    assert (one.before, one.after) == (("    def drop(self, depth):",), ("",))


def test_several_matches_in_one_line_are_one_line(harbour):
    (one,) = grep(harbour, Query("anchor", ignore_case=True), wanted=lambda path: path.endswith(".md")).matches
    assert [one.text[start:end] for start, end in one.spans] == ["anchor", "ANCHOR"]


def test_a_match_over_lines_holds_all_of_them(harbour):
    (one,) = grep(harbour, Query(r"line\nthird", regex=True)).matches
    assert (one.line, one.end_line, one.text) == (2, 3, "second line\nthird")


def test_a_pattern_that_fits_nothing_at_all_says_each_line_once(harbour):
    found = grep(harbour, Query("q*", regex=True), wanted=lambda path: path == "src/windows.txt")
    assert [one.line for one in found.matches] == [1, 2, 3, 4]


def test_filters_are_asked_before_and_after_reading(harbour):
    assert places(harbour, "drop", wanted=lambda path: path.startswith("tests/")) == [
        ("tests/test_anchor.py", 1),
        ("tests/test_anchor.py", 2),
    ]
    assert places(harbour, "drop", accepted=lambda path, text: "class" in text) == [
        ("src/anchor.py", 5),
        ("src/anchor.py", 8),
    ]


def test_the_limit_is_kept_and_told(harbour):
    found = grep(harbour, Query("drop"), limit=2)
    assert (len(found.matches), found.more) == (2, True)
    found = grep(harbour, Query("drop"), limit=4)
    assert (len(found.matches), found.more) == (4, False)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("[a-z", "at character 5"),
        ("a(b", "at character 4"),
        ("*", "at character 1"),
        ("a\\", "bad escape"),
        ("(" * 4000 + ")" * 4000, "nested"),
        ("(?R)", "calls itself"),
        ("(a)(?1)", "calls itself"),
        ("", "empty"),
        ("x" * 10_001, "10,001 characters"),
    ],
)
def test_a_pattern_that_cannot_be_read_is_one_line_with_the_place(harbour, pattern, says):
    with pytest.raises(Invalid, match=says) as caught:
        grep(harbour, Query(pattern, regex=True))
    assert "\n" not in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize("pattern", [r"(a|aa)+$", r"(?s)(a|aa)+$"])
def test_a_pattern_that_would_go_on_for_ever_is_broken_off(tmp_path, pattern):
    (tmp_path / "trap.txt").write_text("a" * 60 + "!\n")
    began = time.monotonic()
    with pytest.raises(TimedOut, match=r"trap\.txt"):
        grep(Workspace(tmp_path), Query(pattern, regex=True), seconds=0.2)
    assert time.monotonic() - began < 5


def test_text_of_100_kB_is_looked_for(harbour):
    (harbour.root / "src/long.txt").write_text("x" * 40 + "\n" + ("berth " * 500 + "\n") * 40)
    assert places(harbour, ("berth " * 500 + "\n") * 34) == [("src/long.txt", 2)]


def test_a_file_that_goes_or_becomes_a_pipe_after_the_walk_is_passed_over(harbour, monkeypatch):
    scan = harbour.scan()
    monkeypatch.setattr(harbour, "scan", lambda: scan)
    (harbour.root / "src/anchor.py").unlink()
    os.mkfifo(harbour.root / "src/anchor.py")
    (harbour.root / "tests/test_anchor.py").unlink()
    assert places(harbour, "drop") == []

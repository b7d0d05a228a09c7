"""Walking and reading: encodings, line ends, links, and things that are no files at all."""

import os
import time
from pathlib import Path

import pytest

from fireside.workspace.files import SourceText, Unread, read, scan
from support.privileges import as_nobody, open_folder


def text_of(root: Path, data: bytes) -> SourceText | Unread:
    (root / "f.txt").write_bytes(data)
    return read(root, "f.txt")


@pytest.mark.parametrize(
    ("data", "encoding", "newline", "guessed"),
    [
        (b"a\nb\n", "utf-8", "\n", False),
        (b"a\r\nb\r\n", "utf-8", "\r\n", False),
        (b"a\rb\r", "utf-8", "\r", False),
        (b"a\r\nb\n", "utf-8", "mixed", False),
        (b"\xef\xbb\xbfa\nb\n", "utf-8-sig", "\n", False),
        ("a\nb\n".encode("utf-16"), "utf-16", "\n", False),
        (b"\xfe\xff" + "a\r\nb\r\n".encode("utf-16-be"), "utf-16", "\r\n", False),
    ],
)
def test_text_is_read_as_it_was_written(tmp_path, data, encoding, newline, guessed):
    source = text_of(tmp_path, data)
    assert isinstance(source, SourceText)
    assert (source.text, source.encoding, source.newline, source.guessed) == ("a\nb\n", encoding, newline, guessed)


def test_text_that_is_not_utf8_is_read_as_latin_1_and_flagged(tmp_path):
    source = text_of(tmp_path, "größe = 1\n".encode("latin-1"))
    assert isinstance(source, SourceText)
    assert (source.text, source.encoding, source.guessed) == ("größe = 1\n", "latin-1", True)


@pytest.mark.parametrize(
    "data", [b"\x7fELF\x02\x01\0\0", bytes(range(256)), b"\xff\xfe\0", b"\xff" + b"\x01\x02\x03" * 50]
)
def test_binary_has_no_text_but_a_reason(tmp_path, data):
    source = text_of(tmp_path, data)
    assert isinstance(source, Unread)
    assert source.reason == "binary"
    assert source.digest


def test_a_file_that_is_one_long_line_is_data(tmp_path):
    assert text_of(tmp_path, b"x" * 20_000) == Unread("minified or data", read(tmp_path, "f.txt").digest)
    assert isinstance(text_of(tmp_path, b"y" * 6_000 + b"\nline of code\n" * 2_000), SourceText)


def test_equal_bytes_have_equal_digests(tmp_path):
    first = text_of(tmp_path, b"same")
    assert text_of(tmp_path, b"same").digest == first.digest
    assert text_of(tmp_path, b"other").digest != first.digest


def test_files_above_the_limit_are_counted_not_read(tmp_path):
    with open(tmp_path / "large.py", "wb") as file:
        file.truncate(2_000_000)
    seen = scan(tmp_path)
    assert seen.files == ()
    assert seen.skipped == {"larger than 1 MB": 1}
    assert read(tmp_path, "large.py") == Unread("larger than 1 MB")


def test_a_huge_ignored_folder_costs_nothing(tmp_path):
    (tmp_path / ".gitignore").write_text("data/\n")
    (tmp_path / "data").mkdir()
    with open(tmp_path / "data/blob.txt", "wb") as file:
        file.truncate(1 << 30)
    # Walking into it would be told as unreadable.
    os.symlink("loop", tmp_path / "data/loop")
    assert [entry.path for entry in scan(tmp_path).files] == [".gitignore"]
    assert scan(tmp_path).skipped == {}


def test_links_to_folders_are_not_followed_even_in_a_loop(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.py").write_text("x = 1\n")
    os.symlink(tmp_path, tmp_path / "a/up")
    os.symlink("self", tmp_path / "self")
    seen = scan(tmp_path)
    assert [entry.path for entry in seen.files] == ["a/x.py"]
    assert seen.skipped == {"dangling link": 1, "not a regular file": 1}


def test_links_to_files_are_followed_inside_the_root_only(tmp_path):
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "real.py").write_text("x = 1\n")
    (root / ".env").write_text("KEY=1\n")
    (tmp_path / "outside.py").write_text("secret = 1\n")
    os.symlink("../real.py", root / "sub/link.py")
    os.symlink(tmp_path / "outside.py", root / "out.py")
    os.symlink("nowhere", root / "dangling.py")
    os.symlink(".env", root / "innocent.py")
    seen = scan(root)
    assert [entry.path for entry in seen.files] == ["real.py", "sub/link.py"]
    assert seen.skipped == {"link out of the project": 1, "dangling link": 1, "link to an ignored file": 1}


def test_a_pipe_is_neither_walked_nor_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.py")
    began = time.monotonic()
    assert scan(tmp_path).skipped == {"not a regular file": 1}
    assert read(tmp_path, "pipe.py") == Unread("not a regular file")
    assert time.monotonic() - began < 5


def test_what_cannot_be_read_has_a_reason(tmp_path):
    os.symlink("loop", tmp_path / "loop")
    assert read(tmp_path, "loop") == Unread("unreadable")
    assert read(tmp_path, "missing.py") == Unread("unreadable")
    assert read(tmp_path, ".") == Unread("not a regular file")


def test_a_folder_without_permission_is_counted():
    with open_folder() as folder:
        (folder / "closed").mkdir(mode=0o000)
        with as_nobody():
            assert scan(folder).skipped == {"unreadable folder": 1}


def test_a_name_that_is_not_utf8_is_counted(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.py")).write_text("x\n")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert scan(tmp_path).skipped == {"name is not UTF-8": 1}

"""What comes in from outside the terminal."""

import io

import pytest

from fireside.cli.piped import MOST_INPUT, read_piped, shown
from fireside.core.errors import Invalid


def piped(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), encoding="ascii")


def test_input_is_utf_8_whatever_the_locale_and_broken_bytes_are_marked():
    assert read_piped(piped("grüße ".encode() + b"\xff")) == "grüße \ufffd"


def test_a_pipe_without_end_is_read_no_further_than_any_window_takes():
    stream = piped(b"x" * (MOST_INPUT + 10))
    assert len(read_piped(stream)) == MOST_INPUT


def test_a_closed_input_is_nothing():
    assert read_piped(None) == ""


def test_what_is_not_text_is_refused():
    with pytest.raises(Invalid, match="not text"):
        read_piped(piped(b"\x7fELF\0\0"))


def test_words_in_bytes_that_are_no_utf_8_can_be_written():
    assert shown("a\udcff").encode() == "a\ufffd".encode()

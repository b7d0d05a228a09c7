"""A chain over several files and many lines at once; what one file shows is in tests/engines/test_egress.py, of the ledger."""

import os
import threading
from pathlib import Path

import pytest

from fireside.records.chain import GENESIS, Chain, Verdict

LINES = [{"n": number, "text": "x" * 50} for number in range(300)]


def chain(folder: Path, max_bytes: int = 0) -> Chain:
    return Chain(folder / "server.jsonl", max_bytes=max_bytes)


def test_many_lines_are_appended_at_once_and_in_their_order(tmp_path):
    one = chain(tmp_path)
    last = one.append(LINES)
    assert one.verify() == Verdict(300, last=last)
    assert [line["n"] for line in one.lines()] == list(range(300))


def test_an_entry_keeps_the_time_it_has(tmp_path):
    one = chain(tmp_path)
    one.append([{"time": "2026-11-30T12:00:00.000+00:00"}, {"n": 2}])
    first, second = one.lines()
    assert first["time"] == "2026-11-30T12:00:00.000+00:00"
    assert str(second["time"]).endswith("+00:00")


def test_a_full_file_is_put_aside_and_the_chain_goes_on(tmp_path):
    one = chain(tmp_path, max_bytes=1000)
    for number in range(40):
        one.append([{"n": number}])
    names = [path.name for path in one.older()]
    assert len(names) > 3
    assert names[0] == "server.000001.jsonl"
    verdict = one.verify()
    assert (verdict.entries, verdict.broken_at, verdict.broken_in) == (40, None, None)
    assert [line["n"] for line in one.lines()] == list(range(40))


@pytest.mark.parametrize("damage", ["removed", "changed"])
def test_a_file_that_was_put_aside_and_then_touched_shows(tmp_path, damage):
    one = chain(tmp_path, max_bytes=1000)
    for number in range(40):
        one.append([{"n": number}])
    middle = one.older()[1]
    if damage == "removed":
        middle.unlink()
    else:
        middle.write_bytes(middle.read_bytes().replace(b'"n":1', b'"n":9', 1))
    verdict = one.verify()
    assert verdict.broken_at is not None
    assert verdict.broken_in is not None
    assert verdict.entries < 40


def test_a_torn_line_at_the_end_of_a_full_file_is_mended_before_it_is_put_aside(tmp_path):
    one = chain(tmp_path, max_bytes=500)
    one.append(LINES[:5])
    one.path.write_bytes(one.path.read_bytes() + b'{"half a li')
    for number in range(10):
        one.append([{"n": number}])
    assert len(one.older()) >= 2
    verdict = one.verify()
    assert (verdict.broken_at, verdict.torn, verdict.entries) == (None, 1, 15)


def test_what_cannot_be_written_whole_is_not_written_at_all(tmp_path, monkeypatch):
    one = chain(tmp_path)
    one.append(LINES[:2])
    before, write, calls = one.path.read_bytes(), os.write, []

    def full(descriptor: int, data: bytes) -> int:
        calls.append(1)
        if len(calls) == 1:
            return write(descriptor, data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        one.append(LINES)
    monkeypatch.setattr(os, "write", write)
    assert one.path.read_bytes() == before
    one.append(LINES)
    assert one.verify().entries == 302


def test_processes_and_threads_may_write_to_one_chain_together(tmp_path):
    threads = [threading.Thread(target=lambda: chain(tmp_path, max_bytes=2000).append(LINES[:10])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert chain(tmp_path).verify().entries == 60


def test_a_chain_that_was_never_written_is_empty(tmp_path):
    assert chain(tmp_path / "none").verify() == Verdict(0, last=GENESIS)
    assert list(chain(tmp_path / "none").lines()) == []

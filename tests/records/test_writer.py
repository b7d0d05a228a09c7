"""Entries are written in the background; whoever hands one over neither waits nor fails."""

import threading
from collections.abc import Sequence

import pytest

from fireside.core.errors import NotPermitted
from fireside.records.writer import Writer


class Paper:
    """A sink that remembers, and can be made to fail or to wait."""

    def __init__(self) -> None:
        self.entries: list[object] = []
        self.batches: list[int] = []
        self.failing: Exception | None = None
        self.tried = threading.Event()
        self.written = threading.Event()
        self.free = threading.Event()
        self.free.set()

    def write(self, entries: Sequence[int], lost: int) -> None:
        self.tried.set()
        self.free.wait(10)
        if self.failing is not None:
            raise self.failing
        self.entries += [*entries, *([f"{lost} lost"] if lost else [])]
        self.batches.append(len(entries))
        self.written.set()


@pytest.fixture
def paper() -> Paper:
    return Paper()


def test_entries_are_written_soon_and_together(paper):
    writer: Writer[int] = Writer("paper", paper, seconds=0.02)
    for number in range(50):
        writer.put(number)
    assert paper.written.wait(5)
    writer.close()
    assert paper.entries == list(range(50))
    assert len(paper.batches) < 10
    assert (writer.state().pending, writer.state().written) == (0, 50)


def test_a_large_batch_does_not_wait_for_its_time(paper):
    writer: Writer[int] = Writer("paper", paper, seconds=60, batch=10)
    for number in range(20):
        writer.put(number)
    assert paper.written.wait(5)
    writer.close()
    assert paper.entries == list(range(20))


def test_what_is_left_is_written_when_it_is_closed(paper):
    writer: Writer[int] = Writer("paper", paper, seconds=60)
    writer.put(1)
    writer.close()
    assert paper.entries == [1]


def test_a_writer_that_was_given_nothing_starts_no_thread(paper):
    before = threading.active_count()
    writer: Writer[int] = Writer("paper", paper)
    assert threading.active_count() == before
    writer.close()
    assert paper.batches == []


@pytest.mark.parametrize("error", [OSError(28, "No space left"), NotPermitted("no"), ValueError("a fault of ours")])
def test_a_sink_that_fails_keeps_nobody_waiting_and_gets_everything_later(paper, error):
    writer: Writer[int] = Writer("paper", paper, seconds=0.01)
    paper.failing = error
    for number in range(5):
        writer.put(number)
    assert paper.tried.wait(5)
    assert not writer.flush()
    assert writer.state().problem
    assert writer.state().pending == 5
    paper.failing = None
    writer.put(5)
    assert writer.flush()
    assert (paper.entries, writer.state().problem) == ([0, 1, 2, 3, 4, 5], "")
    writer.close()


def test_it_tries_again_by_itself(paper, monkeypatch):
    monkeypatch.setattr("fireside.records.writer.RETRY_SECONDS", 0.01)
    writer: Writer[int] = Writer("paper", paper, seconds=0.01)
    paper.failing = OSError("gone")
    writer.put(1)
    assert paper.tried.wait(5)
    paper.failing = None
    assert paper.written.wait(5)
    writer.close()


def test_what_does_not_fit_is_counted_and_said_where_it_would_have_stood(paper):
    writer: Writer[int] = Writer("paper", paper, seconds=60, capacity=10)
    paper.failing = OSError("full")
    for number in range(25):
        writer.put(number)
    assert writer.state().lost == 15
    paper.failing = None
    assert writer.flush()
    writer.put(99)
    assert writer.flush()
    assert paper.entries == [*range(10), "15 lost", 99]
    assert writer.state().lost == 15
    writer.close()


def test_a_slow_disk_holds_nobody_up(paper):
    writer: Writer[int] = Writer("paper", paper, seconds=0.001, capacity=100)
    paper.free.clear()
    writer.put(0)
    assert paper.tried.wait(5)
    for number in range(1000):
        writer.put(number)
    paper.free.set()
    writer.close()
    assert f"{writer.state().lost} lost" in paper.entries


def test_threads_may_hand_over_together_and_nothing_is_lost(paper):
    writer: Writer[int] = Writer("paper", paper, seconds=0.001, batch=7)
    threads = [threading.Thread(target=lambda: [writer.put(n) for n in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    writer.close()
    assert sorted(paper.entries) == sorted(list(range(500)) * 4)


def test_a_sink_that_never_comes_back_does_not_keep_the_program_from_ending(paper, monkeypatch, caplog):
    monkeypatch.setattr("fireside.records.writer.CLOSE_SECONDS", 0.05)
    writer: Writer[int] = Writer("paper", paper, seconds=0.001)
    paper.free.clear()
    writer.put(1)
    assert paper.tried.wait(5)
    writer.close()
    assert "1 entries could not be written" in caplog.text
    paper.free.set()

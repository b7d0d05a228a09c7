"""What a terminal is told while a stage runs and when it is done: no time that is made up, and no key where a word will do."""

import io
from itertools import count
from types import SimpleNamespace

import pytest

from fireside.cli import training_progress
from fireside.cli.training_progress import in_figures, stage_progress
from fireside.training.stages import Step


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A stream that is no terminal; every step comes ten seconds after the one before it."""
    ticks = count(0, training_progress.PLAIN_SECONDS)
    monkeypatch.setattr(training_progress, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    return io.StringIO()


def test_a_run_that_goes_on_tells_the_time_left_by_what_it_does_now(said: io.StringIO) -> None:
    with stage_progress(said) as show:
        show(Step("pretrain", 80, 100, "tokens"))
        show(Step("pretrain", 85, 100, "tokens"))
    assert "30 s left" in said.getvalue()  # 5 in 10 seconds; not 80 in no time


def test_rows_say_nothing_about_how_fast_characters_go(said: io.StringIO) -> None:
    with stage_progress(said) as show:
        show(Step("prepare", 9_000, 0, "rows"))
        show(Step("prepare", 10_000, 0, "rows"))
        show(Step("prepare", 100, 1_000, "characters"))
        show(Step("prepare", 200, 1_000, "characters"))
    assert "80 s left" in said.getvalue().splitlines()[-1]


def test_an_adapter_tells_what_it_learnt_and_what_it_forgot() -> None:
    facts = {
        "steps": 26,
        "tokens": 53_248,
        "strength": 0.85,
        "target_before": 2.909,
        "target_after": 2.824,
        "target_change": -0.0293,
        "other_before": 1.755,
        "other_after": 1.793,
        "other_change": 0.0217,
    }
    assert in_figures("tune", facts) == [
        "26 steps, 53,248 tokens",
        "bits per byte of unseen files 2.909 -> 2.824 (-2.9 %), of other code 1.755 -> 1.793 (+2.2 %)",
        "kept at 0.85 of its strength, so that other code gets no worse",
    ]


@pytest.mark.parametrize(
    ("facts", "first"),
    [
        ({"share": 0.0}, "mine:1, 2.0 MB; nobody gets it yet"),
        ({"share": 0.1, "alias": "complete"}, "mine:1, 2.0 MB; 10 % of the requests for complete go to it"),
        ({"repository": "/code", "base": "b:1"}, "mine:1, 2.0 MB, over b:1; it completes in /code from now on"),
    ],
)
def test_what_is_published_says_who_gets_it_and_what_to_do_next(facts: dict[str, object], first: str) -> None:
    told = in_figures("publish", {"model": "mine:1", "bytes": 2_000_000, "note": "to use it: say so", **facts})
    assert told == [first, "to use it: say so"]

"""Requests and tokens by key, model and day, on SQLite and on PostgreSQL."""

import threading

import pytest

from fireside.records.database import Database
from fireside.records.keys import Keys
from fireside.records.request import RequestRecord
from fireside.records.usage import Spent, UsageSink, Used, additions, day_of, report, spent

NOON = 1_796_040_000.0  # 2026-11-30T12:00:00Z


def asked(**facts: object) -> RequestRecord:
    given = {"time": NOON, "route": "/v1/chat/completions", "status": 200, "seconds": 0.1, "model": "m", **facts}
    return RequestRecord(**given)  # type: ignore[arg-type]


def test_requests_are_added_up_by_day_key_and_model(database):
    sink = UsageSink(database)
    sink.write([asked(prompt_tokens=10, completion_tokens=2), asked(prompt_tokens=5, status=502)], 0)
    sink.write([asked(prompt_tokens=1), asked(model="other"), asked(key_id="key_1"), asked(time=NOON + 86_400)], 0)
    assert report(database) == [
        Used("2026-11-30", "", "m", 3, 1, 16, 2),
        Used("2026-11-30", "", "other", 1),
        Used("2026-11-30", "key_1", "m", 1),
        Used("2026-12-01", "", "m", 1),
    ]
    assert report(database, since="2026-12-01") == [Used("2026-12-01", "", "m", 1)]


def test_a_key_that_was_used_says_when(database):
    key, _ = Keys(database).create("laptop")
    UsageSink(database).write([asked(key_id=key.id, time=NOON - 5), asked(key_id=key.id), asked()], 0)
    assert Keys(database).find("laptop").last_used == NOON


def test_what_a_key_has_spent_is_of_this_day_and_this_month(database):
    days = {"2026-10-31": 1000, "2026-11-01": 100, "2026-11-29": 10, "2026-11-30": 1}
    database.write(*additions([Used(day, "key_1", "m", 1, 0, tokens, tokens) for day, tokens in days.items()]))
    assert spent(database, NOON) == {"key_1": Spent(day=2, month=222)}
    assert spent(database, NOON + 86_400) == {}


def test_nothing_is_made_by_asking(tmp_path):
    database = Database.file(tmp_path / "records.db")
    assert (report(database), spent(database, NOON)) == ([], {})
    assert list(tmp_path.iterdir()) == []


def test_processes_that_count_together_lose_nothing(database):
    def count() -> None:
        for _ in range(10):
            UsageSink(database).write([asked(prompt_tokens=1), asked(model="other", prompt_tokens=1)], 0)

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [(used.model, used.requests, used.prompt_tokens) for used in report(database)] == [
        ("m", 30, 30),
        ("other", 30, 30),
    ]


@pytest.mark.parametrize(("time", "day"), [(0.0, "1970-01-01"), (NOON, "2026-11-30"), (NOON + 43_199.9, "2026-11-30")])
def test_days_are_of_utc(time, day):
    assert day_of(time) == day

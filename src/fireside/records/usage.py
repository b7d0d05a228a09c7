"""Requests and tokens by key, model and day: what budgets and bills are made of. Days are of UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fireside.records.database import Database, Statement, Value
from fireside.records.keys import last_used
from fireside.records.request import RequestRecord

FAILED_FROM = 400
ADD = (
    "INSERT INTO usage (day, key_id, model, requests, failed, prompt_tokens, completion_tokens)"
    " VALUES (:day, :key_id, :model, :requests, :failed, :prompt_tokens, :completion_tokens)"
    " ON CONFLICT (day, key_id, model) DO UPDATE SET requests = usage.requests + excluded.requests,"
    " failed = usage.failed + excluded.failed, prompt_tokens = usage.prompt_tokens + excluded.prompt_tokens,"
    " completion_tokens = usage.completion_tokens + excluded.completion_tokens"
)
REPORT = (
    "SELECT day, key_id, model, requests, failed, prompt_tokens, completion_tokens FROM usage"
    " WHERE day >= :since ORDER BY day, key_id, model"
)
SPENT = (
    "SELECT key_id, SUM(CASE WHEN day = :today THEN prompt_tokens + completion_tokens ELSE 0 END) AS day_tokens,"
    " SUM(prompt_tokens + completion_tokens) AS month_tokens FROM usage WHERE day >= :month GROUP BY key_id"
)


@dataclass(slots=True)
class Used:
    """One key, one model, one day. ``key_id`` is empty for requests without a key."""

    day: str
    key_id: str
    model: str
    requests: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def count(self, record: RequestRecord) -> None:
        self.requests += 1
        self.failed += record.status >= FAILED_FROM
        self.prompt_tokens += record.prompt_tokens
        self.completion_tokens += record.completion_tokens


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens of one key, prompt and answer, in this day and this month."""

    day: int = 0
    month: int = 0


class UsageSink:
    """Counts requests together before it writes them: many requests, few rows. For a ``Writer``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, entries: Sequence[RequestRecord], lost: int) -> None:
        """All of them or none. What was lost is not counted: the writer's state and the audit log say how many those were."""
        rows: dict[tuple[str, str, str], Used] = {}
        for record in entries:
            place = (day_of(record.time), record.key_id, record.model)
            rows.setdefault(place, Used(*place)).count(record)
        last = {record.key_id: record.time for record in entries if record.key_id}
        self._database.write(*additions(list(rows.values())), *last_used(last))


def additions(rows: Sequence[Used]) -> list[Statement]:
    """What adds these counts to those that are there."""
    # In one order everywhere, so that two processes never wait for each other's rows.
    ordered = sorted(rows, key=lambda row: (row.day, row.key_id, row.model))
    return [(ADD, [_values(row) for row in ordered])] if ordered else []


def report(database: Database, *, since: str = "") -> list[Used]:
    """Every row from the day ``since`` (2026-11-30) on."""
    if not database.is_there():
        return []
    return [
        Used(
            str(row["day"]),
            str(row["key_id"]),
            str(row["model"]),
            *(_number(row[name]) for name in ("requests", "failed", "prompt_tokens", "completion_tokens")),
        )
        for row in database.read(REPORT, since=since)
    ]


def spent(database: Database, now: float) -> Mapping[str, Spent]:
    """Key id -> what it has spent until now, over all processes."""
    if not database.is_there():
        return {}
    today = day_of(now)
    rows = database.read(SPENT, today=today, month=today[:8] + "01")
    return {str(row["key_id"]): Spent(_number(row["day_tokens"]), _number(row["month_tokens"])) for row in rows}


def day_of(time: float) -> str:
    """The day of UTC, for example 2026-11-30."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d")


def _values(row: Used) -> Mapping[str, Value]:
    return {
        "day": row.day,
        "key_id": row.key_id,
        "model": row.model,
        "requests": row.requests,
        "failed": row.failed,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
    }


def _number(value: object) -> int:
    # PostgreSQL sums BIGINT to NUMERIC, which the driver gives as a Decimal.
    return int(str(value))

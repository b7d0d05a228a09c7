"""How people write spans of time, moments and counts of tokens on a command line: ``30d``, ``2h``, ``2026-11-30``, ``5M/month``.

Each function is a ``type`` of a click option: it takes what was typed and raises ``click.BadParameter``.
"""

import re
import time
from datetime import UTC, datetime

import click

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
TIMES = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


def span(text: str) -> float:
    """A span of time as seconds: ``30d``, ``12h``, ``90m``, ``45s``, ``2w``."""
    seconds = _seconds(text)
    if not seconds:
        raise click.BadParameter(f"{text!r} is no span of time; write it like 30d, 12h or 90m")
    return seconds


def moment(text: str) -> str:
    """A moment as ISO 8601 in UTC: ``2026-11-30``, ``2026-11-30T12:00``, or a span before now: ``2h``."""
    if seconds := _seconds(text):
        return iso(time.time() - seconds)
    try:
        found = datetime.fromisoformat(text)
        return iso((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            f"{text!r} is no moment; write it like 2026-11-30, 2026-11-30T12:00 or 2h (ago)"
        ) from error


def budget(text: str) -> tuple[str, int]:
    """Tokens in a day or a month, ``200k``, ``1000000/day``, ``5M/month``: ("day" or "month", tokens)."""
    found = re.fullmatch(r"(\d{1,15})([kmg]?)(?:/(day|month))?", text.strip().lower(), re.ASCII)
    if found is None or not int(found[1]):
        raise click.BadParameter(f"{text!r} is no budget; write it like 200k/day or 5M/month")
    return found[3] or "day", int(found[1]) * TIMES[found[2]]


def iso(when: float) -> str:
    """A moment as every record is dated; ``when``: seconds since 1970."""
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds")


def _seconds(text: str) -> float:
    """Seconds, or 0 for what is no span."""
    found = re.fullmatch(r"(\d{1,4})([smhdw])", text.strip().lower(), re.ASCII)
    return float(int(found[1]) * SECONDS[found[2]]) if found else 0.0

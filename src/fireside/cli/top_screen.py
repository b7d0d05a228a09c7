"""How ``fireside top`` draws a running server. Knows the server's summary and a terminal's width; asks nobody."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

# Below this many columns a table shows what matters most only.
NARROW = 76
MOST_ROWS = 12
MOST_ERRORS = 5
COLOURS = {"ready": "green", "idle": "cyan", "loading": "yellow", "down": "red", "unknown": "yellow"}
Cells = tuple[str, ...]


class Engine(msgspec.Struct, frozen=True):
    """Seconds; tokens a second; ``None`` where nothing was answered yet."""

    name: str
    state: str
    running: int
    waiting: int
    detail: str = ""
    remedy: str = ""
    loaded: tuple[str, ...] = ()
    tokens_per_second: float | None = None
    first_token_p50: float | None = None
    first_token_p95: float | None = None


class Running(msgspec.Struct, frozen=True):
    id: str
    route: str
    seconds: float
    key: str = ""
    engine: str = ""
    model: str = ""
    position: int = 0
    streaming: bool = False


class Gateway(msgspec.Struct, frozen=True):
    fallbacks: dict[str, int] = {}
    tool_repairs: dict[str, int] = {}
    retries: int = 0
    cancelled: int = 0
    superseded: int = 0
    cache_hit_rate: float | None = None


class Key(msgspec.Struct, frozen=True):
    name: str
    requests: int
    failed: int
    tokens: int


class Failed(msgspec.Struct, frozen=True):
    at: float
    route: str
    status: int
    cause: str
    message: str = ""


class Check(msgspec.Struct, frozen=True):
    check: str
    ok: bool
    detail: str
    remedy: str = ""


class Rates(msgspec.Struct, frozen=True):
    requests: float
    tokens: float


class Requests(msgspec.Struct, frozen=True):
    total: int
    failed: int


class Summary(msgspec.Struct, frozen=True):
    """What ``GET /metrics.json`` says, as far as it is drawn."""

    version: str
    uptime: float
    ready: bool
    rates: Rates
    requests: Requests
    engines: tuple[Engine, ...]
    running: tuple[Running, ...]
    gateway: Gateway
    keys: tuple[Key, ...]
    errors: tuple[Failed, ...]
    health: tuple[Check, ...]


def draw(summary: Summary, width: int, *, address: str, trouble: str = "") -> "Group":
    """Everything on one screen, for ``width`` columns. ``trouble``: why the summary is not new any more."""
    from rich.console import Group

    narrow = width < NARROW
    parts: list[Table | Text] = [_head(summary, address, trouble), *_unwell(summary.health)]
    parts.append(_engines(summary.engines, narrow))
    parts.append(_running(summary.running, narrow))
    parts.append(_line("gateway", _gateway(summary.gateway)))
    if summary.keys:
        rows = [(key.name, str(key.requests), str(key.failed), str(key.tokens)) for key in summary.keys]
        parts.append(_table(("KEY", "REQUESTS", "FAILED", "TOKENS"), rows))
    if summary.errors:
        parts.append(_errors(summary.errors[:MOST_ERRORS], narrow))
    return Group(*parts)


def seconds(value: float | None) -> str:
    """A time in the unit that reads best; ``-`` where there is none."""
    if value is None:
        return "-"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 120:
        return f"{value:.1f} s"
    minutes = int(value // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _head(summary: Summary, address: str, trouble: str) -> "Text":
    from rich.text import Text

    state = ("ready", "green") if summary.ready else ("not ready", "red")
    text = Text.assemble(("fireside ", "bold"), plain(address), " ", state)
    text.append(
        f", up {seconds(summary.uptime)}: {summary.rates.requests:g} requests/s, {summary.rates.tokens:g} tokens/s"
    )
    text.append(f", {summary.requests.total} requests, {summary.requests.failed} failed")
    if trouble:
        text.append(f"\n{plain(trouble)}", "red")
    return text


def _unwell(health: Iterable[Check]) -> "list[Text]":
    from rich.text import Text

    wrong = [each for each in health if not each.ok]
    return [Text(f"{each.check}: {plain(each.detail)}{_try(each.remedy)}", "yellow") for each in wrong]


def _engines(engines: Sequence[Engine], narrow: bool) -> "Table":
    if narrow:
        rows = [(each.name, each.state, f"{each.running}+{each.waiting}", _rate(each)) for each in engines]
        return _table(("ENGINE", "STATE", "RUN+WAIT", "TOK/S"), rows, states=1)
    head = ("ENGINE", "STATE", "RUN", "WAIT", "TOK/S", "TTFT P50", "P95", "LOADED")
    rows8 = [
        (
            each.name, each.state, str(each.running), str(each.waiting), _rate(each),
            seconds(each.first_token_p50), seconds(each.first_token_p95), ", ".join(each.loaded) or "-",
        )
        for each in engines
    ]  # fmt: skip
    return _table(head, rows8, states=1)


def _running(running: Sequence[Running], narrow: bool) -> "Table | Text":
    if not running:
        return _line("running", "nothing")
    more = len(running) - MOST_ROWS
    rows: list[Cells] = []
    for each in running[:MOST_ROWS]:
        place = f"number {each.position}" if each.position else "answering" if each.streaming else "waiting"
        row = (each.model or each.route, each.engine or "-", seconds(each.seconds), place)
        rows.append(row if narrow else (each.id, each.route, *row, each.key or "-"))
    if more > 0:
        rows.append((f"and {more} more",))
    head = ("MODEL", "ENGINE", "AGE", "PLACE")
    return _table(head if narrow else ("REQUEST", "ROUTE", *head, "KEY"), rows)


def _gateway(gateway: Gateway) -> str:
    told = [f"{source}: {count}" for source, count in gateway.fallbacks.items()]
    repaired = sum(gateway.tool_repairs.values())
    hits = "-" if gateway.cache_hit_rate is None else f"{gateway.cache_hit_rate:.0%}"
    parts = [f"fallbacks {', '.join(told) or 0}", f"tool calls repaired {repaired}", f"cache hits {hits}"]
    return "; ".join((*parts, f"retries {gateway.retries}", f"cancelled {gateway.cancelled + gateway.superseded}"))


def _errors(errors: Sequence[Failed], narrow: bool) -> "Table":
    import time

    rows: list[Cells] = []
    for each in errors:
        place = (time.strftime("%H:%M:%S", time.localtime(each.at)), each.route, str(each.status))
        rows.append((*place, each.cause) if narrow else (*place, each.cause, each.message))
    head = ("LAST ERRORS", "ROUTE", "STATUS", "CAUSE")
    return _table(head if narrow else (*head, "WHAT"), rows)


def _table(head: Cells, rows: Iterable[Cells], *, states: int = -1) -> "Table":
    """``states``: the column whose words have colours."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in head:
        table.add_column(name, no_wrap=True, overflow="ellipsis", min_width=len(name))
    for row in rows:
        cells = [Text(plain(cell), COLOURS.get(cell, "") if n == states else "") for n, cell in enumerate(row)]
        table.add_row(*cells)
    return table


def _line(name: str, said: str) -> "Text":
    from rich.text import Text

    return Text.assemble((f"{name}: ", "bold"), plain(said))


def _rate(engine: Engine) -> str:
    return "-" if engine.tokens_per_second is None else f"{engine.tokens_per_second:.1f}"


def _try(remedy: str) -> str:
    return f" (try: {plain(remedy.partition(chr(10))[0])})" if remedy else ""


def plain(text: str) -> str:
    """What came over the network may hold what moves the cursor of a terminal."""
    return text if text.isprintable() else text.encode("unicode_escape", "replace").decode("ascii", "replace")

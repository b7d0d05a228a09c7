"""The figures as tables, and each bar beside what was measured: ratios to other gateways of the same run, or absolutes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

Figures = Mapping[str, float]
Results = Mapping[str, Mapping[str, Figures]]
OURS = "fireside"


@dataclass(frozen=True, slots=True)
class Bar:
    """``value``: None where this run has nothing to compare. ``at_most``: whether the bar is a ceiling."""

    what: str
    unit: str
    bar: float
    stretch: float | None
    value: Callable[[Results], float | None]
    at_most: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    what: str
    unit: str
    value: float
    bar: float
    stretch: float | None
    verdict: str


def ratio(scenario: str, to: str) -> Callable[[Results], float | None]:
    """Our answers a second as a multiple of another's."""

    def value(results: Results) -> float | None:
        ours, theirs = _figure(results, scenario, OURS, "per s"), _figure(results, scenario, to, "per s")
        return ours / theirs if ours and theirs else None

    return value


def added(scenario: str, name: str) -> Callable[[Results], float | None]:
    """Ours minus the upstream asked directly."""

    def value(results: Results) -> float | None:
        ours, direct = _figure(results, scenario, OURS, name), _figure(results, scenario, "direct", name)
        return None if ours is None or direct is None else ours - direct

    return value


def plain(scenario: str, name: str) -> Callable[[Results], float | None]:
    return lambda results: _figure(results, scenario, OURS, name)


BARS = (
    Bar("JSON at 1 client : LiteLLM", "x", 20, 35, ratio("json-1", "litellm")),
    Bar("JSON at 16 clients : LiteLLM", "x", 40, 80, ratio("json-16", "litellm")),
    Bar("JSON at 64 clients : LiteLLM", "x", 40, 90, ratio("json-64", "litellm")),
    Bar("burst SSE at 16 clients : LiteLLM", "x", 60, 120, ratio("sse-16", "litellm")),
    Bar("JSON at 16 clients : smg", "x", 0.5, 1, ratio("json-16", "smg")),
    Bar("JSON at 16 clients : nginx", "x", 0.05, 0.15, ratio("json-16", "nginx")),
    Bar("added p50 at 1 client", "ms", 0.5, 0.3, added("json-1", "p50 ms"), True),
    Bar("added p99 at 1 client", "ms", 1.5, 0.8, added("json-1", "p99 ms"), True),
    Bar("added p99 at 64 clients", "ms", 40, 20, added("json-64", "p99 ms"), True),
    Bar("64 paced streams, first token p50", "ms", 3, 1, plain("paced", "first p50 ms"), True),
    Bar("64 paced streams, first token p99", "ms", 15, 5, plain("paced", "first p99 ms"), True),
    Bar("64 paced streams, total longer by", "ms", 10, 2, added("paced", "p50 ms"), True),
    Bar("400 kB prompt : LiteLLM", "x", 30, 80, ratio("large", "litellm")),
    Bar("small p99 beside two 400 kB clients", "ms", 10, 3, plain("beside", "p99 ms"), True),
    Bar("bad keys rejected", "/s", 8000, 25000, plain("keys", "per s")),
    Bar("start to first answer", "s", 1, None, plain("start", "seconds"), True),
    Bar("resident when idle", "MB", 110, None, plain("start", "idle MB"), True),
    Bar("growth after requests and cancelled streams", "MB", 15, None, plain("memory", "growth MB"), True),
    Bar("descriptors more than when idle", "", 0, None, plain("memory", "descriptors more"), True),
    Bar("/api/tags and 30 x /api/show", "ms", 300, None, plain("ollama", "all ms"), True),
    Bar("one /api/show", "ms", 5, None, plain("ollama", "one show ms"), True),
)


def verdicts(results: Results) -> Iterator[Verdict]:
    for bar in BARS:
        value = bar.value(results)
        if value is not None:
            yield Verdict(bar.what, bar.unit, value, bar.bar, bar.stretch, _verdict(bar, value))


def show_scenario(name: str, found: Mapping[str, Figures]) -> None:
    """One table: a row for each gateway."""
    columns = list(dict.fromkeys(column for figures in found.values() for column in figures))
    print(f"\n{name}\n| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for peer, figures in found.items():
        cells = [f"{figures[column]:,.4g}" if column in figures else "" for column in columns]
        print(f"| {peer} | {' | '.join(cells)} |", flush=True)


def show_bars(results: Results) -> bool:
    """Whether every bar that could be looked at holds."""
    found = list(verdicts(results))
    if found:
        print("\n| what | measured | bar | stretch | |\n|---|---|---|---|---|")
    for each in found:
        stretch = "" if each.stretch is None else f"{each.stretch:g}"
        print(f"| {each.what} | {each.value:.4g} {each.unit} | {each.bar:g} | {stretch} | {each.verdict} |")
    return all(each.verdict != "MISSED" for each in found)


def _figure(results: Results, scenario: str, peer: str, name: str) -> float | None:
    return results.get(scenario, {}).get(peer, {}).get(name)


def _verdict(bar: Bar, value: float) -> str:
    def reaches(limit: float) -> bool:
        return value <= limit if bar.at_most else value >= limit

    if not reaches(bar.bar):
        return "MISSED"
    return "holds" if bar.stretch is None or not reaches(bar.stretch) else "stretch"

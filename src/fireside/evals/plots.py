"""A few plots as SVG text: intervals side by side, and how a figure is spread. Colours are classes, so that a page may be light or dark."""

from collections.abc import Mapping, Sequence
from html import escape

from fireside.evals.suite import Score

WIDTH, LEFT, RIGHT, ROW = 760, 190, 150, 22
BINS = 32


def intervals(columns: Mapping[str, Sequence[Score]], names: Sequence[str], *, unit: str) -> str:
    """For each score a row, for each column a dot with its 95 % interval. All of one unit: they share the axis."""
    rows = [(name, _of(name, columns)) for name in names]
    most = 100.0 if unit == "%" else max((score.high for _, found in rows for _, score in found), default=1.0) or 1.0
    step = ROW * max(1, len(columns)) + 8
    height = step * len(rows) + 34
    parts = [_axis(most, height - 26, unit)]
    for index, (name, found) in enumerate(rows):
        top = index * step + 6
        parts.append(
            f'<text class="label" x="{LEFT - 12}" y="{top + step / 2}" text-anchor="end">{escape(name)}</text>'
        )
        for place, score in found:
            parts.append(_interval(score, place, top + ROW * place + ROW / 2 + 2, most))
    title = escape(f"{', '.join(names)} with 95 % intervals")
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">{"".join(parts)}</svg>'


def histogram(columns: Mapping[str, Sequence[float]], *, unit: str) -> str:
    """How many cases took how long; the slowest hundredth is gathered in the last bar. One row for each column."""
    every = sorted(value for values in columns.values() for value in values)
    if not every:
        return ""
    most = every[min(len(every) - 1, int(len(every) * 0.99))] or 1.0
    row = 84
    height = row * len(columns) + 34
    parts = [_axis(most, height - 26, unit)]
    for place, (name, values) in enumerate(columns.items()):
        floor = row * (place + 1) - 2
        counts = [0] * BINS
        for value in values:
            counts[min(BINS - 1, int(value / most * BINS))] += 1
        parts.append(f'<text class="label" x="{LEFT - 12}" y="{floor - 30}" text-anchor="end">{escape(name)}</text>')
        parts += _bars(counts, place, floor, row - 22)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor}" y2="{floor}"/>')
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="spread in {escape(unit)}">{"".join(parts)}</svg>'
    )


def curve(columns: Mapping[str, Sequence[tuple[float, float, float]]]) -> str:
    """How much is shown against how much of it is right, as the confidence rises. Points: (threshold, offered, right), in %."""
    height, foot = 250, 214
    across = (WIDTH - LEFT - RIGHT) / 100
    parts = [_axis(100.0, foot, "% offered")]
    for level in (0, 25, 50, 75, 100):
        y = foot - level * (foot - 16) / 100
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{level} % right</text>')
    for place, (name, points) in enumerate(columns.items()):
        spots = [(LEFT + offered * across, foot - right * (foot - 16) / 100, at) for at, offered, right in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in spots)
        parts.append(f'<polyline class="line c{place % 6}" points="{line}"><title>{escape(name)}</title></polyline>')
        for x, y, at in spots:
            parts.append(f'<circle class="dot c{place % 6}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
            parts.append(f'<text class="tick" x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">{at:g}</text>')
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="right against offered">{"".join(parts)}</svg>'


def legend(names: Sequence[str]) -> str:
    keys = "".join(f'<li><i class="key c{place % 6}"></i>{escape(name)}</li>' for place, name in enumerate(names))
    return f'<ul class="legend">{keys}</ul>'


def _of(name: str, columns: Mapping[str, Sequence[Score]]) -> list[tuple[int, Score]]:
    return [(place, score) for place, scores in enumerate(columns.values()) for score in scores if score.name == name]


def _axis(most: float, foot: float, unit: str) -> str:
    parts = []
    for part in range(5):
        x = LEFT + (WIDTH - LEFT - RIGHT) * part / 4
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="2" y2="{foot}"/>')
        tick = f"{_short(most * part / 4)}{' ' + unit if part == 4 else ''}"
        parts.append(f'<text class="tick" x="{x}" y="{foot + 16}" text-anchor="middle">{escape(tick)}</text>')
    return "".join(parts)


def _interval(score: Score, place: int, y: float, most: float) -> str:
    scale = (WIDTH - LEFT - RIGHT) / most
    low, at, high = (LEFT + max(0.0, min(most, value)) * scale for value in (score.low, score.value, score.high))
    told = f"{_short(score.value)} [{_short(score.low)}, {_short(score.high)}]"
    return (
        f'<g class="c{place % 6}"><title>{escape(told)}, n={score.n}</title>'
        f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>'
        f'<circle class="dot" cx="{at:.1f}" cy="{y}" r="5"/></g>'
        f'<text class="value" x="{WIDTH - RIGHT + 12}" y="{y + 4}">{escape(told)}</text>'
    )


def _bars(counts: Sequence[int], place: int, floor: float, tall: float) -> list[str]:
    wide = (WIDTH - LEFT - RIGHT) / len(counts)
    most = max(counts) or 1
    return [
        f'<rect class="bar c{place % 6}" x="{LEFT + wide * at + 0.5:.1f}" y="{floor - tall * count / most:.1f}" '
        f'width="{wide - 1:.1f}" height="{tall * count / most:.1f}" rx="1"><title>{count} cases</title></rect>'
        for at, count in enumerate(counts)
        if count
    ]


def _short(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 1 or value == 0 else f"{value:.2f}"

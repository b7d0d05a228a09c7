"""One HTML page that says it all: no script, nothing from outside, light and dark. Draws results; measures nothing."""

from collections.abc import Mapping, Sequence
from html import escape

from fireside.evals.fill import THRESHOLDS
from fireside.evals.plots import curve, histogram, intervals, legend
from fireside.evals.report import cell, columns_of, facts
from fireside.evals.suite import Outcome, Result, Score

WRONG = 30


def page(results: Sequence[Result]) -> str:
    """The whole page. What a model wrote is escaped: it is text here, whatever it says."""
    subjects = ", ".join(dict.fromkeys(result.subject for result in results))
    body = "".join(map(_section, results))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(subjects)}: measured by Fireside</title><style>{_style()}</style></head><body><main>"
        f"<h1>{escape(subjects)}</h1><p class=lead>Measured by Fireside. Each figure stands with its 95 % interval and the number of"
        f" cases.</p>{body}</main></body></html>\n"
    )


def _style() -> str:
    from importlib.resources import files

    return files("fireside.evals").joinpath("data/page.css").read_text("utf-8")


def _section(result: Result) -> str:
    columns = columns_of(result)
    parts = [f"<section><h2>{escape(result.suite)}</h2>", _verdict(result), legend(list(columns))]
    for unit in dict.fromkeys(score.unit for scores in columns.values() for score in scores):
        names = _names(columns, unit)
        parts.append(f"<h3>{escape(unit or 'counts')}</h3>{intervals(columns, names, unit=unit)}")
    parts += [_spread(result), _confidence(columns), _table(columns), _wrong(result.outcomes), _facts(result)]
    return "".join(parts) + "</section>"


def _names(columns: Mapping[str, Sequence[Score]], unit: str) -> list[str]:
    """Scores of this unit, but for those that have a plot of their own."""
    names = dict.fromkeys(score.name for scores in columns.values() for score in scores if score.unit == unit)
    return [name for name in names if " at 0." not in name]


def _verdict(result: Result) -> str:
    from fireside.evals.fim_line import FimLine, ships

    if result.suite != FimLine.name or not result.scores:
        return ""
    found = ships(result)
    head = "It beats plain copying by enough to be shown to users." if found.ships else "It does not pass the gate."
    lines = "<br>".join(map(escape, found.reasons))
    return f'<div class="verdict {"good" if found.ships else "bad"}"><b>{head}</b><br>{lines}</div>'


def _spread(result: Result) -> str:
    times = {result.subject: [outcome.scores["ms"] for outcome in result.outcomes if "ms" in outcome.scores]}
    times |= {
        name: [outcome.rivals[name]["ms"] for outcome in result.outcomes if "ms" in outcome.rivals.get(name, {})]
        for name in result.rivals
    }
    # The subject keeps its colour, so it must keep its place, also where it took no time.
    shown = {name: values for name, values in times.items() if values}
    return f"<h3>time of each case</h3>{histogram(shown, unit='ms')}" if shown else ""


def _confidence(columns: Mapping[str, Sequence[Score]]) -> str:
    # Also those that tell no confidence keep their place, and so everybody his colour.
    lines: dict[str, list[tuple[float, float, float]]] = {}
    for name, scores in columns.items():
        known = {score.name: score.value for score in scores}
        lines[name] = [
            (at, known[f"offered at {at}"], known[f"right at {at}"])
            for at in THRESHOLDS
            if f"offered at {at}" in known and f"right at {at}" in known
        ]
    return f"<h3>offered and right, by confidence</h3>{curve(lines)}" if any(lines.values()) else ""


def _table(columns: Mapping[str, Sequence[Score]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    names = dict.fromkeys(score.name for scores in columns.values() for score in scores)
    rows = []
    for name in names:
        found = (next((score for score in scores if score.name == name), None) for scores in columns.values())
        rows.append(
            f"<tr><td>{escape(name)}</td>" + "".join(f"<td>{escape(cell(one))}</td>" for one in found) + "</tr>"
        )
    return f"<h3>all figures</h3><div class=scroll><table><tr><th>score</th>{head}</tr>{''.join(rows)}</table></div>"


def _wrong(outcomes: Sequence[Outcome]) -> str:
    wrong = [outcome for outcome in outcomes if outcome.detail]
    if not wrong:
        return ""
    items = "".join(
        f"<li><code>{escape(outcome.case)}</code>: <code>{escape(outcome.detail)}</code></li>"
        for outcome in wrong[:WRONG]
    )
    return f"<details><summary>{len(wrong)} cases went wrong</summary><ul>{items}</ul></details>"


def _facts(result: Result) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in facts(result))
    return f"<details><summary>how it was measured</summary><ul class=facts>{lines}</ul></details>"

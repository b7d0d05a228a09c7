"""Results as files: JSON to compare and keep, Markdown to paste, HTML to look at. Reads its own JSON again. Measures nothing."""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from fireside.core.errors import Invalid
from fireside.evals.suite import FORMAT, Result, Score
from fireside.models.disk import disk_errors, write_atomically

JSON, MARKDOWN, PAGE = "results.json", "results.md", "results.html"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one run measured: one result for each suite."""

    results: tuple[Result, ...]
    format: int = FORMAT


def write(results: Sequence[Result], folder: Path) -> None:
    """All three files, each whole or not at all. Raises ``OutOfResources`` or ``NotPermitted`` where they cannot be written."""
    from fireside.evals.page import page

    with disk_errors("writing the results"):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / JSON, as_json_text(results).encode())
        write_atomically(folder / MARKDOWN, markdown(results).encode())
        write_atomically(folder / PAGE, page(results).encode())


def as_json_text(results: Sequence[Result]) -> str:
    return msgspec.json.format(msgspec.json.encode(Report(results=tuple(results)))).decode()


def read(path: Path) -> tuple[Result, ...]:
    """The results of a file, or of a folder that ``write`` wrote to. Raises ``Invalid`` for what is none."""
    place = path / JSON if path.is_dir() else path
    try:
        data = place.read_bytes()
    except OSError as error:
        raise Invalid(f"{place} cannot be read: {error.strerror}", remedy="name a results.json") from error
    try:
        report = msgspec.json.decode(data, type=Report)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(
            f"{place} holds no results: {error}", remedy="name a results.json that fireside eval wrote"
        ) from error
    if report.format != FORMAT or not report.results:
        raise Invalid(
            f"{place} is of another version, or empty", remedy="measure again with this version: fireside eval"
        )
    return report.results


def markdown(results: Sequence[Result]) -> str:
    """A table for each suite: n and the 95 % interval stand with every figure."""
    return "\n\n".join(map(_section, results)) + "\n"


def _section(result: Result) -> str:
    columns = columns_of(result)
    names = list(dict.fromkeys(score.name for scores in columns.values() for score in scores))
    lines = [
        f"## {result.suite}: {result.subject}",
        "",
        *(f"- {line}" for line in facts(result)),
        "",
        "| score | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for name in names:
        cells = (next((score for score in scores if score.name == name), None) for scores in columns.values())
        lines.append(f"| {name} | " + " | ".join(cell(one) for one in cells) + " |")
    wrong = [outcome for outcome in result.outcomes if outcome.detail][:5]
    if wrong:
        lines += ["", "Some of what went wrong:", ""]
        lines += [f"- `{outcome.case}`: {_inline(outcome.detail)}" for outcome in wrong]
    return "\n".join(lines)


def columns_of(result: Result) -> dict[str, tuple[Score, ...]]:
    """The subject's scores first, where it was measured, then each rival's."""
    own = {result.subject: result.scores} if result.scores else {}
    return {**own, **result.rivals}


def cell(score: Score | None) -> str:
    """``19.3 % [15.2, 24.1] n=300``."""
    if score is None:
        return "-"
    unit = f" {score.unit}" if score.unit else ""
    return f"{number(score.value)}{unit} [{number(score.low)}, {number(score.high)}] n={score.n}"


def number(value: float) -> str:
    """Three figures are enough; no exponent, however large."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 1 or value == 0 else f"{value:.2f}"


def facts(result: Result) -> list[str]:
    """What somebody needs to measure it again, in lines."""
    card, hardware = result.card, result.hardware
    model = " ".join(
        str(part) for part in (card.get("name", result.model), card.get("quantization", ""), _short(card)) if part
    )
    machine = ", ".join(
        str(part)
        for part in (hardware.get("processor", hardware.get("machine", "")), f"{hardware.get('cores', '?')} cores")
        if part
    )
    done = len(result.outcomes)
    asked = f"{done} cases" if done == result.asked else f"{done} of {result.asked} cases, stopped"
    return [
        f"model: {model or 'none'}",
        f"{asked}, seed {result.seed}, {result.parallel} at a time, {result.seconds:,.1f} s",
        f"machine: {machine}",
        "versions: " + ", ".join(f"{name} {number}" for name, number in result.versions.items()),
        f"measured {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(result.finished))}, "
        f"config {result.config[:12]}, cases {result.material[:12]}",
    ]


def _short(card: dict[str, object]) -> str:
    digest = str(card.get("sha256", ""))
    return f"sha256 {digest[:12]}" if digest else ""


def _inline(text: str) -> str:
    return text.replace("`", "'").replace("|", "\\|")

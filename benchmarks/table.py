"""How a measured figure is printed: what, figure, bar, and whether it holds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """``value`` and ``bar`` in ``unit``; ``at_most``: whether the bar is a ceiling (else it is a floor)."""

    what: str
    value: float
    unit: str
    bar: float | None = None
    at_most: bool = True
    note: str = ""

    @property
    def holds(self) -> bool:
        return self.bar is None or (self.value <= self.bar if self.at_most else self.value >= self.bar)


def show(figures: list[Figure]) -> None:
    """Print the figures as a Markdown table."""
    print("| what | measured | bar | |\n|---|---|---|---|")
    for figure in figures:
        sign = "<=" if figure.at_most else ">="
        bar = "" if figure.bar is None else f"{sign} {figure.bar:g} {figure.unit}"
        verdict = "" if figure.bar is None else "holds" if figure.holds else "MISSED"
        print(
            f"| {figure.what} | {figure.value:.3g} {figure.unit} | {bar} | {' '.join((verdict, figure.note)).strip()} |",
            flush=True,
        )

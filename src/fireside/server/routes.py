"""What the server answers to: a method and a path, who may ask, and how an error looks there."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from fireside.server.exchange import Draw, Exchange

Handler = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """``right``: what a key must allow (chat, complete, embed, models, admin); empty: anybody may ask. ``draw``: an error's JSON here."""

    handler: Handler
    draw: Draw
    right: str = ""
    name: str = ""


@dataclass(slots=True)
class Table:
    """``exact``: (method, path) -> route. ``under``: (method, start of a path) -> route, for paths that end in a name.

    ``elsewhere``: start of a path -> how errors look there, the longest that fits; the empty start fits all.
    """

    exact: dict[tuple[str, str], Route] = field(default_factory=dict)
    under: dict[tuple[str, str], Route] = field(default_factory=dict)
    elsewhere: dict[str, Draw] = field(default_factory=dict)

    def add(self, routes: Mapping[tuple[str, str], Route]) -> None:
        """A path that ends in ``/*`` stands for all paths under it."""
        for (method, path), route in routes.items():
            if path.endswith("/*"):
                self.under[method, path[:-1]] = route
            else:
                self.exact[method, path] = route

    def find(self, method: str, path: str) -> Route | None:
        found = self.exact.get((method, path))
        if found is None and path.endswith("/") and path != "/":
            found = self.exact.get((method, path[:-1]))
        return found or self._under(method, path)

    def methods(self, path: str) -> list[str]:
        """The methods this path knows; empty for a path that is not there."""
        known = {method for method, each in self.exact if each == path}
        return sorted(known | {method for method, start in self.under if path.startswith(start)})

    def draw(self, path: str) -> Draw:
        starts = sorted((start for start in self.elsewhere if path.startswith(start)), key=len)
        return self.elsewhere[starts[-1]]

    def _under(self, method: str, path: str) -> Route | None:
        starts = [start for known, start in self.under if known == method and path.startswith(start)]
        return self.under[method, max(starts, key=len)] if starts else None


def named(routes: Mapping[tuple[str, str], tuple[Handler, str]], draw: Draw) -> dict[tuple[str, str], Route]:
    """Routes of one dialect: (method, path) -> handler and right. HEAD is answered wherever GET is."""
    made = {place: Route(handler, draw, right, place[1]) for place, (handler, right) in routes.items()}
    return made | {("HEAD", path): route for (method, path), route in made.items() if method == "GET"}


def tables(parts: Iterable[Mapping[tuple[str, str], Route]], elsewhere: Mapping[str, Draw]) -> Table:
    table = Table(elsewhere=dict(elsewhere))
    for part in parts:
        table.add(part)
    return table

"""Layers laid over each other, and for each value the layer it came from. Knows what a schema allows only where a tag decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fireside.config.notation import KeyPath, leaves, plain
from fireside.config.schema import Shape
from fireside.config.sources import Layer, Origin


@dataclass(slots=True)
class Merged:
    """``values``: nested tables; ``layers``: the layer of each value that is not a table, and of each empty table."""

    values: dict[str, object] = field(default_factory=dict)
    layers: dict[KeyPath, Layer] = field(default_factory=dict)
    _order: list[Layer] = field(default_factory=list)

    def lay(self, layer: Layer, shape: Shape) -> None:
        """Put a layer on top: tables are joined, everything else, lists too, is replaced."""
        self._order.append(layer)
        self._join(self.values, layer.values, (), shape, layer)

    def origin(self, path: KeyPath) -> Origin:
        """Where the value at ``path`` came from; for a table, where the topmost of its values did."""
        layer = self._layer(path)
        return layer.origin(path) if layer else Origin("default")

    @property
    def height(self) -> int:
        """The rank of the layer on top."""
        return len(self._order) - 1

    def rank(self, path: KeyPath) -> int:
        """How high the layer of ``path`` lies, 0 for the defaults."""
        layer = self._layer(path)
        return self._order.index(layer) if layer else -1

    def _layer(self, path: KeyPath) -> Layer | None:
        for end in range(len(path), 0, -1):
            if path[:end] in self.layers:
                return self.layers[path[:end]]
        below = [layer for here, layer in self.layers.items() if here[: len(path)] == path]
        return max(below, key=self._order.index) if below else None

    def _join(
        self, base: dict[str, object], over: Mapping[str, object], path: KeyPath, shape: Shape, layer: Layer
    ) -> None:
        tag = shape.tag_field()
        if tag is not None and tag in over and base.get(tag, over[tag]) != over[tag]:
            # Another kind of thing: the keys of the old kind mean nothing to it.
            base.clear()
            self._forget(path)
        elif over:
            self.layers.pop(path, None)
        for name, value in over.items():
            here, below = (*path, name), base.get(name)
            if isinstance(value, Mapping) and isinstance(below, dict):
                self._join(below, value, here, shape.child(name), layer)
                continue
            self._forget(here)
            base[name] = plain(value)
            places = leaves(value, here) if isinstance(value, Mapping) and value else [(here, value)]
            self.layers.update((place, layer) for place, _ in places)

    def _forget(self, path: KeyPath) -> None:
        self.layers = {here: layer for here, layer in self.layers.items() if here[: len(path)] != path}

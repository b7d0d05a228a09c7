"""The settings in force, and changes to the user's own file: the same words and the same refusals as ``fireside config``."""

import msgspec

from fireside.app.fireside import Fireside
from fireside.config.sources import read_text
from fireside.core.errors import FiresideError
from fireside.server.own.schemas import ConfigAsked


class Configuration:
    def __init__(self, fireside: Fireside) -> None:
        self._config = fireside.config

    def items(self) -> dict[str, object]:
        """Key -> value and where it came from. A secret is ``***``."""
        return {
            key: {
                "value": msgspec.to_builtins(value),
                "layer": origin.layer,
                "file": str(origin.file) if origin.file else None,
                "line": origin.line,
                "variable": origin.variable or None,
            }
            for key, value, origin in self._config.items()
        }

    def change(self, asked: ConfigAsked) -> dict[str, object]:
        """All changes or none. ``hidden``: keys whose new value does not count, because another layer goes before it."""
        config = self._config
        file = config.file("user")
        before, existed = read_text(file), file.exists()
        changed: set[str] = set()
        try:
            for key, value in asked.set.items():
                changed |= config.set(key, value, layer="user")
            for key in asked.unset:
                changed |= config.unset(key, layer="user")
        except FiresideError:
            if existed or file.exists():
                config.replace(before, layer="user", before=read_text(file))
            raise
        hidden = {key: str(origin) for key in asked.set if (origin := config.origin(key)).layer != "user"}
        return {"changed": sorted(changed), "file": str(file), "hidden": hidden}

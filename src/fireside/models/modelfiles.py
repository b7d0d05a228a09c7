"""Models made of another one and a few words: what Ollama calls a Modelfile. A system text, options, first turns; the weights stay where
they are, on whatever engine has them.

One JSON file each under the store's root, ``v1/modelfiles/NAME.json``. Names are compared without regard to case, and ``name`` and
``name:latest`` are one, as in the store. Knows files; nothing of what a client sends.
"""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import msgspec

from fireside.models.disk import disk_errors, write_atomically
from fireside.models.store import LATEST, checked_name

log = logging.getLogger(__name__)
# Nanoseconds. File systems tell the time in steps: a folder that changed this moment may change again without its time changing.
SETTLED = 100_000_000


class Modelfile(msgspec.Struct, frozen=True, kw_only=True):
    """``model``: the one it stands on. ``parameters``: Ollama's options. ``added``: seconds since 1970."""

    name: str
    model: str
    system: str = ""
    template: str = ""
    license: str = ""
    parameters: dict[str, object] = {}
    messages: list[object] = []
    added: float = 0.0


class Modelfiles:
    """``root``: the store's. Reads its folder again only when something in it has changed."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "v1" / "modelfiles"
        self._seen = -1
        self._known: dict[str, Modelfile] = {}

    def all(self) -> list[Modelfile]:
        return list(self._read().values())

    def find(self, name: str) -> Modelfile | None:
        known = self._read()
        return known.get(_key(name)) if known else None

    def put(self, modelfile: Modelfile) -> None:
        """Write it, over an older one of that name. Raises ``Invalid`` for a name that is none."""
        checked_name(modelfile.name)
        with disk_errors(f"keeping {modelfile.name}"):
            self._folder.mkdir(parents=True, exist_ok=True)
            dated = msgspec.structs.replace(modelfile, added=time.time())
            write_atomically(self._place(modelfile.name), msgspec.json.format(msgspec.json.encode(dated)))
        self._seen = -1

    def remove(self, name: str) -> bool:
        """Whether there was one."""
        there = self.find(name) is not None
        with disk_errors(f"removing {name}"):
            self._place(name).unlink(missing_ok=True)
        self._seen = -1
        return there

    def _read(self) -> Mapping[str, Modelfile]:
        try:
            seen = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        if seen != self._seen:
            found = [_load(place) for place in sorted(self._folder.glob("*.json"))]
            self._known = {_key(each.name): each for each in found if each is not None}
            self._seen = seen if time.time_ns() - seen > SETTLED else -1
        return self._known

    def _place(self, name: str) -> Path:
        return self._folder / f"{quote(_key(name), safe='')}.json"


def _load(place: Path) -> Modelfile | None:
    """``None`` for one that nobody can read: it must not keep the others from being found."""
    try:
        return msgspec.json.decode(place.read_bytes(), type=Modelfile)
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("%s is passed over: %s", place, error)
        return None


def _key(name: str) -> str:
    return name.casefold().removesuffix(LATEST)

"""The state of a run that is not done, in one file that appears whole, and the log that belongs to it. Knows no model."""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from fireside.core.errors import Invalid

NAME = ".checkpoint.pt"
LOG = "log.jsonl"


def save(folder: Path, state: Mapping[str, Any]) -> None:
    import torch

    part = folder / f"{NAME}.part"
    with part.open("wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, folder / NAME)


def load(folder: Path, device: str) -> dict[str, Any] | None:
    """The state that was written last; ``None`` where there is none. Raises ``Invalid`` for a file that is no state."""
    import torch

    place = folder / NAME
    if not place.is_file():
        return None
    try:
        found: dict[str, Any] = torch.load(place, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise Invalid(
            f"{place} cannot be read: {error}", remedy=f"delete it: rm {place}; the run begins anew"
        ) from error
    return found


class Log:
    """One JSON object a line. Lines behind the step from which a run goes on are taken out: that part is done again."""

    def __init__(self, folder: Path, step: int) -> None:
        place = folder / LOG
        kept = [line for line in _lines(place) if _step(line) <= step] if step else []
        part = place.with_name(f"{LOG}.part")
        part.write_bytes(b"".join(kept))
        os.replace(part, place)
        self._file = place.open("ab")

    def write(self, **told: object) -> None:
        self._file.write(msgspec.json.encode({key: _short(value) for key, value in told.items()}) + b"\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _lines(place: Path) -> list[bytes]:
    lines = place.read_bytes().splitlines(keepends=True) if place.is_file() else []
    return [line for line in lines if line.endswith(b"}\n")]


def _step(line: bytes) -> int:
    return int(msgspec.json.decode(line).get("step", 0))


def _short(value: object) -> object:
    return float(f"{value:.6g}") if isinstance(value, float) else value

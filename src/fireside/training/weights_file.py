"""A safetensors file, written whole or not at all. Knows how the library tells that a disk is full; not whose weights they are."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SYSTEM = re.compile(r"\(os error (\d+)\)")


def save_weights(tensors: "Mapping[str, Tensor]", path: Path) -> None:
    """Write the tensors to ``path``. Raises ``OSError`` with the system's number, which the library hides in a sentence."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    part = path.with_name(path.name + ".part")
    try:
        save_file(dict(tensors), str(part), metadata={"format": "pt"})
        os.replace(part, path)
    except SafetensorError as error:
        found = SYSTEM.search(str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error
    finally:
        part.unlink(missing_ok=True)

"""Fit the completion model to one repository: which stages run, and with what settings.

``fireside train adapt`` is a recipe that nobody has to write. The rates and limits are those of ``benchmarks/adapt.py``: they make the
repository's own code easier to tell without making other code much harder. Knows settings; runs nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fireside.core.errors import Invalid, ModelNotFound

Tables = Mapping[str, Mapping[str, Any]]
MINUTES = 10.0
EPOCHS = 4.0
# A base this large takes a smaller batch, and its weights packed.
LARGE = 600_000_000
CONTEXT = 512
KINDS = ("lm", "fim")


def adaptation(root: Path, base: Path, *, minutes: float = 0.0, parameters: int = 0, context: int = CONTEXT) -> Tables:
    """The tables of a recipe by stage. ``base``: a GGUF or an HF folder. ``minutes``: 0: as long as it helps, ten at most.

    ``parameters``: of the base, where they are known. Raises ``Invalid`` when ``root`` is no folder, ``ModelNotFound`` without a base.
    """
    if not root.is_dir():
        raise Invalid(f"{root} is no folder", remedy="name a repository: fireside train adapt PATH")
    if not base.exists():
        raise ModelNotFound(
            f"the base model {base} is not there", remedy="name another: fireside train adapt --base MODEL"
        )
    large = parameters > LARGE
    place = str(base.absolute())
    return {
        "collect": {"repositories": [str(root.absolute())], "kinds": list(KINDS), "near_duplicates": 0.8},
        "prepare": {
            "base": place,
            "context": context,
            "held_out": 0.1,
            "fim_rate": 0.5,
            "headers": 0.5,
            "other": "stdlib",
            "other_bytes": 6_000_000,
        },
        "tune": {
            "base": place,
            "epochs": EPOCHS,
            "minutes": minutes or MINUTES,
            "rate": 2e-4 if large else 1e-3,
            "rank": 16,
            "alpha": 32.0,
            "batch": 1 if large else 4,
            "accumulation": 4 if large else 1,
            "bits": 4 if large else 0,
            "gradient_checkpointing": large,
            "mix": 0.3,
            "forgetting": 0.025,
        },
        "export": {},
    }

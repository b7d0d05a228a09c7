"""Fit the completion model to one repository: which stages run, and with what settings.

``fireside train adapt`` is a recipe that nobody has to write. The rates and limits are those of ``benchmarks/adapt.py``: they make the
repository's own code easier to tell without making other code much harder. Knows settings; runs nothing.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fireside.core.errors import Invalid, ModelNotFound

Tables = Mapping[str, Mapping[str, Any]]
MINUTES = 10.0
EPOCHS = 4.0
CONTEXT = 512
# The highest learning rate by the base's parameters: the first is measured (benchmarks/adapt.py), the others are common practice.
RATES = ((20e6, 2e-3), (200e6, 1e-3), (math.inf, 2e-4))
KINDS = ("lm", "fim")
# A base this large takes a smaller batch, its weights packed, and gradient checkpointing.
LARGE = 600_000_000


def adaptation(root: Path, base: Path, *, minutes: float = 0.0, parameters: int = 0, context: int = CONTEXT) -> Tables:
    """The tables of a recipe by stage. ``base``: a GGUF or an HF folder. ``minutes``: 0: as long as it helps, ten at most.

    ``parameters``: of the base, 0 where nobody knows. ``context``: tokens a row; no more than the base takes.
    Raises ``Invalid`` when ``root`` is no folder, ``ModelNotFound`` without a base.
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
        "collect": {"repositories": [str(root.absolute())], "kinds": list(KINDS), "near_duplicates": 0.7},
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
            "rate": next(rate for most, rate in RATES if parameters <= most),
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

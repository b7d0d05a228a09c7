"""Task routes: a name of the user's own that stands for several models, each with a weight.

Knows names, weights and dice; whether a model exists, or may be asked, is the router's question.
"""

import random
from collections.abc import Sequence
from typing import Annotated

import msgspec


class Choice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``model``: MODEL or MODEL@ENGINE. ``weight``: its share of the requests; 0 is asked only when all others fail."""

    model: str
    weight: Annotated[float, msgspec.Meta(ge=0)] = 1.0


def ordered(choices: Sequence[Choice], rng: random.Random) -> list[str]:
    """All models, the first drawn by weight, the rest in the order they would have been drawn next.

    Weighted sampling without replacement: each draws u ** (1 / weight), the largest goes first (Efraimidis & Spirakis, Information
    Processing Letters 97, 2006). So a fallback follows the weights of those that are left, too.
    """
    drawn = [(rng.random() ** (1 / choice.weight) if choice.weight else -1.0, choice.model) for choice in choices]
    return [model for _, model in sorted(drawn, key=lambda entry: entry[0], reverse=True)]

"""What the stage ``publish`` can be told. Loads nothing."""

from typing import Annotated, Literal

import msgspec


class PublishSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``name``: the model becomes NAME:1, NAME:2, ... in the store; empty: the run's folder gives it.

    ``alias``: whose requests it gets a ``share`` of: 1 = all, at once; 0 = none, it is only registered. ``repository``: instead of that,
    the folder in which it completes from now on, and in no other. ``gate``: auto = a model that the stage ``eval`` found no better than
    copying is registered and gets no share; no = it gets it all the same. ``quantization``: which file is published, else the first that
    was made. ``about``: a line or more for its card. ``licence``: SPDX, else what ``export`` was told.
    """

    name: str = ""
    alias: str = "complete"
    repository: str = ""
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    gate: Literal["auto", "no"] = "auto"
    quantization: str = ""
    about: str = ""
    licence: str = ""

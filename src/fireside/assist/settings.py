"""What the user may choose about completing code. A file of its own, because every command reads the settings and few complete."""

from typing import Annotated

import msgspec


class AssistSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``heal``: the model writes the end of what was typed again, so that it may choose a token that reaches over the cursor.

    ``least_logprob``: the mean natural logarithm of the likelihood of a token in what a model would show; below it nothing of the model
    is shown. ``copy_confidence``: a copy at least that likely to be right is shown at once, and no model is asked; above 1 always ask one.
    ``models``: a project's folder -> the model that completes in it, instead of the one that answers to ``complete``.
    """

    heal: bool = True
    least_logprob: Annotated[float, msgspec.Meta(le=0)] = -0.8
    copy_confidence: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.8
    models: dict[str, str] = {}

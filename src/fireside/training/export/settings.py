"""What the stages ``export`` and ``quantize`` can be told. Loads nothing."""

from typing import Annotated, Literal

import msgspec

Kind = Literal["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M"]


class ExportSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A checkpoint or an adapter as GGUF.

    ``source``: the folder of a model or of a PEFT adapter that is not this run's; ``base``: what that adapter was trained on, a folder or
    a GGUF. ``type``: of the weights; auto = as the checkpoint has them. ``name``, ``licence`` (SPDX), ``author``: told in the file; an
    empty name is the folder's or the run's. ``gates``: whether the file is held against transformers before the stage counts as done;
    auto = where torch and transformers are installed.
    """

    source: str = ""
    base: str = ""
    type: Literal["auto", "F32", "F16", "BF16"] = "auto"
    name: str = ""
    licence: str = ""
    author: str = ""
    gates: Literal["auto", "yes", "no"] = "auto"


class QuantizeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``kinds``: one file each, the first is the one that is measured and published. ``source``: a GGUF that is not this run's.

    ``gates``: whether the perplexity of each file is held against the source's, on ``tokens`` tokens that the training never saw; a file
    that is worse than its gate allows ends the stage. auto = where the run has such text.
    """

    kinds: tuple[Kind, ...] = ("Q8_0", "Q4_K_M")
    source: str = ""
    gates: Literal["auto", "yes", "no"] = "auto"
    tokens: Annotated[int, msgspec.Meta(ge=64)] = 16_384

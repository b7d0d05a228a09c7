"""What the stage ``prepare`` can be told. Loads nothing."""

from typing import Annotated

import msgspec

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Size = Annotated[int, msgspec.Meta(ge=0)]


class PrepareSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How rows become tokens.

    ``base``: whose tokenizer is taken: a Hugging Face folder, a folder with a tokenizer, or a GGUF; empty: one is trained, of
    ``vocabulary`` tokens, on ``vocabulary_bytes`` of the rows. ``context``: tokens a row. ``held_out``: share of the files kept from
    training. ``kinds``: the rows that are used.

    ``fim_rate``: share of the text cut for fill-in-the-middle, of that ``line_spans`` from a cursor to the end of its line,
    ``syntax_spans`` on syntax nodes (rows of the kind fim), the rest anywhere; ``joined``: the share in the joined order (see
    ``documents``). ``headers``: share of the documents that tell their repository and path.

    ``other``: code of other people, for the mix and to measure forgetting: ``stdlib`` (that of this Python), a folder of source files or
    of shards, or empty; ``other_bytes``: how much of it.
    """

    base: str = ""
    vocabulary: Annotated[int, msgspec.Meta(ge=300, le=200_000)] = 8192
    vocabulary_bytes: Size = 20_000_000
    context: Annotated[int, msgspec.Meta(ge=32, le=131_072)] = 1024
    held_out: Share = 0.03
    kinds: tuple[str, ...] = ("lm", "fim", "doc", "edit")
    fim_rate: Share = 0.7
    line_spans: Share = 0.5
    syntax_spans: Share = 0.3
    joined: Share = 0.5
    headers: Share = 0.5
    other: str = "stdlib"
    other_bytes: Size = 8_000_000

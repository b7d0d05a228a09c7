"""What the user may choose about the index. Read by ``app``, which builds what was chosen."""

from typing import Annotated, Literal

import msgspec


class IndexSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``embedder``: "built-in", "none" (search by words alone), or a model of yours: MODEL or MODEL@ENGINE.

    ``store``: where vectors are kept: "numpy" in the index itself, "usearch" in a graph beside it, "chroma" in ChromaDB; "auto" is numpy,
    and usearch, where it is installed, for a project of more than ``usearch_above`` chunks. ``chroma_url``: a Chroma server; empty: none
    is needed, it runs inside Fireside and keeps its files in the index folder. ``chroma_collection``: how the names of collections begin.
    ``vector_cache_bytes``: disk space for vectors of one model, shared by all projects; 0 keeps none. The built-in embedder needs none.
    """

    embedder: Annotated[str, msgspec.Meta(min_length=1)] = "built-in"
    store: Literal["auto", "numpy", "usearch", "chroma"] = "auto"
    usearch_above: Annotated[int, msgspec.Meta(ge=0)] = 100_000
    chroma_url: str = ""
    chroma_collection: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")] = "fireside"
    vector_cache_bytes: Annotated[int, msgspec.Meta(ge=0)] = 1024 * 1024 * 1024

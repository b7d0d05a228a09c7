"""What the stage ``collect`` can be told. Loads nothing."""

from typing import Annotated, Literal

import msgspec

from fireside.training.rows import Kind

Size = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class CollectSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is read, and what becomes of it. With no source named, nothing is read.

    ``repositories``: folders of git repositories, each named on purpose. ``packages``: installed Python packages by name;
    ``packages_from = "environment"``: all that are installed beside Fireside. ``archives``: a folder with the archives of the pinned
    packages of ``training/sources.toml``.

    ``shared``: the model will be given to others: what has no licence that is known and permissive is left out. Otherwise an unknown
    licence is allowed, and counted. ``languages``: only these; empty: any language with a name (data and settings are none).
    ``kinds``: the rows that are made (see ``training.rows``). ``against``: folders of an evaluation set: nothing that nearly equals a
    file in them is taken.

    ``smallest``, ``largest``: bytes of a file. ``longest_line``: characters. ``repository_bytes``, ``package_bytes``: at most so much of
    each, chosen by a digest of the path (0: all). ``near_duplicates``: the Jaccard similarity of two files from which the second is left
    out (0: only exact copies are).

    ``span_every``: one span on a syntax node for so many bytes of a file; ``span_smallest``, ``span_largest``: its bytes;
    ``prefix``, ``suffix``: bytes of text that are kept before and behind it. ``commits``: how many of the last commits become edits, each
    of at most ``edit_lines`` lines before and after; ``recent``: how many of them say which syntax nodes are preferred.

    ``shard_bytes``: of a shard, unpacked. ``parquet``: also write ``rows.parquet``. ``workers``: processes (0: one for each core).
    ``ray``: instead of them a Ray cluster: ``local``, ``auto`` or HOST:PORT. The rows are the same with any of these.
    """

    repositories: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    packages_from: Literal["", "environment"] = ""
    archives: str = ""
    shared: bool = False
    languages: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ("lm", "fim", "doc", "edit")
    against: tuple[str, ...] = ()
    smallest: Size = 100
    largest: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 200_000
    longest_line: Annotated[int, msgspec.Meta(ge=80, le=1_000_000)] = 1_000
    repository_bytes: Size = 0
    package_bytes: Size = 1_500_000
    near_duplicates: Share = 0.7
    span_every: Annotated[int, msgspec.Meta(ge=100)] = 2_500
    span_smallest: Annotated[int, msgspec.Meta(ge=1)] = 12
    span_largest: Annotated[int, msgspec.Meta(ge=1)] = 1_000
    prefix: Size = 2_000
    suffix: Size = 1_000
    commits: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 1_000
    edit_lines: Annotated[int, msgspec.Meta(ge=1)] = 30
    recent: Size = 200
    shard_bytes: Annotated[int, msgspec.Meta(ge=10_000)] = 8_000_000
    parquet: bool = False
    workers: Annotated[int, msgspec.Meta(ge=0, le=1_024)] = 0
    ray: str = ""

"""Shards as one Parquet file, for whoever goes on with other tools. Knows rows and pyarrow."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from fireside.training import rows as shards
from fireside.training.rows import Row

ROWS = 5_000


def export_parquet(folder: Path, path: Path) -> int:
    """Write the rows of all shards of ``folder`` to ``path``, whole or not at all; returns how many.

    Columns are the fields of ``Row``; ``scrubbed`` is a list. Raises ``Invalid`` when a shard cannot be read.
    """
    import pyarrow as arrow
    from pyarrow import parquet

    texts = [name for name in Row.__struct_fields__ if name != "scrubbed"]
    schema = arrow.schema([*((name, arrow.string()) for name in texts), ("scrubbed", arrow.list_(arrow.string()))])
    part = path.with_name(path.name + ".part")
    count = 0
    try:
        with parquet.ParquetWriter(part, schema, compression="zstd") as writer:
            for group in _groups(shards.read(folder)):
                writer.write_table(arrow.Table.from_pylist(group, schema))
                count += len(group)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return count


def _groups(rows: Iterator[Row]) -> Iterator[list[dict[str, Any]]]:
    while group := [_plain(row) for row in islice(rows, ROWS)]:
        yield group


def _plain(row: Row) -> dict[str, Any]:
    return {**msgspec.structs.asdict(row), "scrubbed": list(row.scrubbed)}

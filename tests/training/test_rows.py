"""Shards of rows: what is damaged is named with its line, and nothing is guessed."""

from pathlib import Path

import pytest
import zstandard

from fireside.core.errors import Invalid
from fireside.training.rows import Row, read, write_shard

ROW = Row(kind="lm", text="x = 1\n", repo="r", path="p.py", language="python", sha256="0")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[1]",
        b'{"kind":"lm","text":',
        b'{"kind":"lm","text":7}',
        b'{"kind":"lm","text":"\xff"}',
        b'{"text":"\\ud800"}',
    ],
    ids=["blank", "array", "half", "type", "not UTF-8", "half a character"],
)
def test_a_broken_row_is_named_with_its_shard_and_line(tmp_path: Path, line: bytes):
    shard = tmp_path / "rows-0.jsonl.zst"
    write_shard(shard, [ROW, ROW])
    whole = zstandard.ZstdDecompressor().decompressobj().decompress(shard.read_bytes())
    shard.write_bytes(zstandard.ZstdCompressor().compress(whole + line + b"\n"))

    with pytest.raises(Invalid, match=r"rows-0\.jsonl\.zst, line 3: "):
        list(read(tmp_path))


@pytest.mark.parametrize("kept", [0, 1, 20])
def test_a_shard_without_its_end_is_not_taken_for_a_short_one(tmp_path: Path, kept: int):
    shard = tmp_path / "rows-0.jsonl.zst"
    write_shard(shard, [ROW, ROW])
    shard.write_bytes(shard.read_bytes()[:kept])

    with pytest.raises(Invalid, match="its end is missing"):
        list(read(tmp_path))

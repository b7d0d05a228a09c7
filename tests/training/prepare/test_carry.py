"""Rows reach another machine in small pieces, and what comes back is whole or refused."""

from pathlib import Path

import pytest

from fireside.core.errors import Invalid
from fireside.training import rows
from fireside.training.prepare import carry
from support.corpora import row, standard_library

pytestmark = pytest.mark.train


def shards(place: Path, many: list[rows.Row]) -> Path:
    place.mkdir()
    rows.write_shard(place / "rows-00000.jsonl.zst", many)
    return place


def test_rows_come_out_as_they_went_in(tmp_path: Path):
    sent = standard_library(6)
    pieces = carry.pack(shards(tmp_path / "here", sent), tmp_path / "out.xz", carry.size_of("60MiB"))
    assert [piece.name for piece in pieces] == ["out-00.xz"]
    assert carry.unpack(pieces, tmp_path / "there") == len(sent)
    assert list(rows.read(tmp_path / "there")) == sent


def test_no_piece_is_larger_than_the_limit_and_none_of_the_rows_is_lost(tmp_path: Path):
    # Random digits hardly compress, so that three megabytes make several pieces.
    import random

    chance = random.Random(1)
    sent = [row(f"{chance.getrandbits(400_000):0100000x}", f"{number}.py") for number in range(30)]
    limit = 1 << 20
    pieces = carry.pack(shards(tmp_path / "here", sent), tmp_path / "out.xz", limit)
    assert len(pieces) > 1
    assert all(piece.stat().st_size <= limit for piece in pieces)
    carry.unpack(pieces, tmp_path / "there")
    assert list(rows.read(tmp_path / "there")) == sent


def test_a_damaged_piece_is_named(tmp_path: Path):
    (piece,) = carry.pack(shards(tmp_path / "here", standard_library(2)), tmp_path / "out.xz", 60 << 20)
    piece.write_bytes(piece.read_bytes()[:-200])
    with pytest.raises(Invalid, match=r"out-00\.xz is damaged"):
        carry.unpack([piece], tmp_path / "there")


def test_a_file_is_cut_and_joined_and_a_missing_piece_is_noticed(tmp_path: Path):
    file = tmp_path / "model.safetensors"
    content = bytes(range(256)) * 400
    file.write_bytes(content)
    pieces = carry.cut(file, 40_000)
    assert all(piece.stat().st_size <= 40_000 for piece in pieces)
    carry.join(pieces[::-1], tmp_path / "joined")
    assert (tmp_path / "joined").read_bytes() == content
    with pytest.raises(Invalid, match="missing or damaged"):
        carry.join(pieces[1:], tmp_path / "broken")
    assert not (tmp_path / "broken").exists()


def test_the_command_packs_and_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    here = shards(tmp_path / "here", standard_library(1))
    assert carry.main(["pack", str(here), str(tmp_path / "o.xz"), "--limit", "60 parsecs"]) == 1
    assert "60 parsecs is no size" in capsys.readouterr().err
    assert carry.main(["pack", str(here), str(tmp_path / "o.xz")]) == 0
    assert carry.main(["unpack", str(tmp_path / "o-00.xz"), str(tmp_path / "there")]) == 0
    assert "1 rows" in capsys.readouterr().out

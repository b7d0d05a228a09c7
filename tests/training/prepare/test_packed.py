"""Rows of tokens: every token is predicted once, and what must not be cut is not."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from fireside.core.errors import Invalid
from fireside.training.prepare import packed
from fireside.training.prepare.packed import Meta, Packer, Split


def written(place: Path, documents: list[tuple[list[int], bool]], context: int = 8) -> tuple[np.ndarray, Split]:
    packer = Packer(place / "train.bin", context, "uint16", first=0, pad=9)
    for tokens, whole in documents:
        packer.add(np.array(tokens), whole=whole)
    split = packer.close()
    told = Meta(
        context=context, dtype="uint16", vocabulary=100, eot=0, pad=9, special=[0, 9], fim_order="joined",
        splits={"train": split},
    )  # fmt: skip
    packed.write_meta(place, told)
    return np.array(packed.open_split(place, "train")), split


def test_each_token_is_the_target_of_exactly_one_row(tmp_path: Path):
    tokens = list(range(10, 40))
    rows, split = written(tmp_path, [(tokens, False)])
    assert rows.shape == (4, 9)
    assert rows[0, 0] == 0
    assert [number for row in rows for number in row[1:].tolist()] == [*tokens, 9, 9]
    assert all(before[-1] == after[0] for before, after in itertools.pairwise(rows))
    assert split.tokens == 30


def test_a_document_that_must_not_be_cut_begins_a_row_and_others_fill_the_room(tmp_path: Path):
    rows, _ = written(tmp_path, [([1] * 6, True), ([2] * 20, False), ([3] * 6, True)])
    assert rows[0, 1:].tolist() == [1] * 6 + [2] * 2
    assert rows[1, 1:7].tolist() == [3] * 6
    assert sorted(rows[:, 1:].flatten().tolist()) == [1] * 6 + [2] * 20 + [3] * 6


def test_without_filling_nothing_is_lost(tmp_path: Path):
    rows, _ = written(tmp_path, [([1] * 6, True), ([3] * 6, True)])
    assert rows[:, 1:].flatten().tolist() == [1] * 6 + [3] * 6 + [9] * 4


def test_a_file_of_another_length_is_refused(tmp_path: Path):
    written(tmp_path, [([1] * 30, False)])
    (tmp_path / "train.bin").write_bytes(b"short")
    with pytest.raises(Invalid, match=r"train\.bin is not as prepare left it"):
        packed.open_split(tmp_path, "train")

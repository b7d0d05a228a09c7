"""Fitting a model to a repository is a recipe that nobody has to write."""

from pathlib import Path

import pytest

from fireside.core.errors import Invalid, ModelNotFound
from fireside.training.adapt import adaptation
from fireside.training.recipe import made


@pytest.fixture
def base(tmp_path: Path) -> Path:
    place = tmp_path / "base.gguf"
    place.write_bytes(b"GGUF")
    return place


def test_the_tables_are_a_recipe_of_the_stages_an_adapter_needs(base: Path, tmp_path: Path):
    recipe = made({"name": "mine", **adaptation(tmp_path, base)}, "adapt")
    assert recipe.stages == ("collect", "prepare", "tune", "export")
    assert recipe.collect is not None
    assert recipe.prepare is not None
    assert recipe.tune is not None
    assert recipe.collect.repositories == (str(tmp_path),)
    assert recipe.prepare.base == recipe.tune.base == str(base)
    assert recipe.tune.mix > 0
    assert recipe.tune.forgetting < 0.03, "other code may get worse by 3 % at most"


def test_a_run_ends_by_the_clock_unless_it_is_told_otherwise(base: Path, tmp_path: Path):
    assert adaptation(tmp_path, base)["tune"]["minutes"] == 10
    assert adaptation(tmp_path, base, minutes=2)["tune"]["minutes"] == 2


def test_a_large_base_is_packed_and_learns_more_slowly(base: Path, tmp_path: Path):
    small = adaptation(tmp_path, base, parameters=5_000_000)["tune"]
    large = adaptation(tmp_path, base, parameters=7_000_000_000)["tune"]
    assert (small["bits"], large["bits"]) == (0, 4)
    assert large["rate"] < small["rate"]
    assert large["batch"] < small["batch"]


def test_a_folder_or_a_base_that_is_not_there_is_refused(base: Path, tmp_path: Path):
    with pytest.raises(Invalid, match="is no folder"):
        adaptation(tmp_path / "none", base)
    with pytest.raises(ModelNotFound, match="is not there"):
        adaptation(tmp_path, tmp_path / "none.gguf")

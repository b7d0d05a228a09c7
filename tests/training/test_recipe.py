"""A recipe is read whole or refused with everything that is wrong with it."""

from pathlib import Path

import pytest

from fireside.core.errors import Invalid
from fireside.training import recipe
from fireside.training.recipe import STAGES, changed, made, read


def written(tmp_path: Path, text: str) -> str:
    place = tmp_path / "night.toml"
    place.write_text(text)
    return str(place)


def test_a_stage_runs_when_it_has_a_table_and_all_run_in_one_order(tmp_path: Path):
    found = read(written(tmp_path, "[publish]\n[collect]\n[tune]\nrank = 8\n"))
    assert found.stages == ("collect", "tune", "publish")
    assert found.tune is not None
    assert found.tune.rank == 8


def test_a_recipe_is_called_like_its_file_unless_it_says_otherwise(tmp_path: Path):
    assert read(written(tmp_path, "")).name == "night"
    assert read(written(tmp_path, 'name = "day"')).name == "day"


def test_every_unknown_key_is_told_at_once_with_the_nearest_known(tmp_path: Path):
    with pytest.raises(Invalid) as refused:
        read(written(tmp_path, "[tune]\nrnak = 8\n[tune.spread]\nwrold = 2\n[colect]\n"))
    assert "tune.rnak (did you mean rank?)" in refused.value.message
    assert "tune.spread.wrold" in refused.value.message
    assert "colect (did you mean collect?)" in refused.value.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tune]\nrank = 0\n", "tune.rank"),
        ("[tune]\nrank = 'many'\n", "tune.rank"),
        ("[pretrain]\ncompile = 'perhaps'\n", "pretrain.compile"),
        ("name = '../elsewhere'\n", "name"),
        ("[tune\n", "not TOML"),
        ("tune = 3\n", "tune"),
    ],
)
def test_a_wrong_value_is_told_with_its_place(tmp_path: Path, text: str, told: str):
    with pytest.raises(Invalid) as refused:
        read(written(tmp_path, text))
    assert told in refused.value.message
    assert refused.value.remedy


def test_a_recipe_that_is_not_text_or_not_there_is_refused(tmp_path: Path):
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(Invalid, match="cannot be read"):
        read(str(tmp_path / "binary.toml"))
    with pytest.raises(Invalid, match="no recipe") as refused:
        read("completion-30m")
    assert "completion-29m" in refused.value.remedy


def test_our_own_recipes_are_found_by_name_and_by_path_and_are_sound():
    names = recipe.built_in()
    assert {"smoke", "completion-29m", "completion-tiny"} <= set(names)
    for name in names:
        assert read(name).about
        assert read(f"recipes/{name}.toml") == read(name)
    assert read("smoke").stages == STAGES


def test_single_values_are_changed_as_toml_or_as_text():
    found = changed(
        made({"tune": {}}, "here"), {"tune.rank": "4", "tune.base": "some/folder", "tune.targets": '["q_proj"]'}
    )
    assert found.tune is not None
    assert (found.tune.rank, found.tune.base, found.tune.targets) == (4, "some/folder", ("q_proj",))
    with pytest.raises(Invalid, match="rnak"):
        changed(found, {"tune.rnak": "4"})
    with pytest.raises(Invalid, match="rank"):
        changed(found, {"tune.rank.deep": "4"})


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("pretrain.minutes", "inf"),
        ("pretrain.minutes", "1e400"),
        ("pretrain.batch", "99999999999999999999"),
        ("seed", "1" * 30),
    ],
)
def test_a_number_no_run_can_have_is_told_before_anything_begins(key: str, text: str):
    with pytest.raises(Invalid, match=f"{key} is a number without measure"):
        changed(made({"pretrain": {}}, "test"), {key: text})

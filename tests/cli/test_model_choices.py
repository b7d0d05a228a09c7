"""Comparing, promoting, taking back, quantizing, and the card: on a real store, the embedded engine and a configuration of its own."""

import json
import os
import tomllib
from pathlib import Path

import pytest

from fireside.cli.commands import run_command
from fireside.cli.model_choices import KINDS
from fireside.config.paths import Paths
from fireside.models import quantize, tiny
from fireside.models.modelcard import ModelStory
from fireside.models.store import ModelStore
from support.checkpoints import write_lora
from support.tiny import tiny_gguf


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run one command line in a home with two models, one and two."""
    monkeypatch.setenv("FIRESIDE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    paths = Paths.from_environment(os.environ)
    kept = ModelStore(paths.data / "models")
    kept.add(tiny_gguf(), "one")
    kept.add(tiny_gguf(seed=1), "two")

    class House:
        store = kept
        file = paths.config / "config.toml"

        def run(self, *words: str) -> tuple[int, str, str]:
            code = run_command(["models", *words])
            captured = capsys.readouterr()
            return code, captured.out, captured.err

        def settings(self) -> dict[str, object]:
            return tomllib.loads(self.file.read_text()) if self.file.is_file() else {}

    return House()


def test_a_promotion_and_its_steps_back(house):
    assert house.run("promote", "one")[1].splitlines() == [
        f"complete is now one (in {house.file})",
        "to take it back: fireside models rollback complete",
    ]
    assert house.run("promote", "two")[0] == 0
    assert house.run("promote", "two")[1] == "complete is two already\n"
    assert house.settings()["models"] == {"complete": "two"}
    assert house.run("rollback") == (0, "complete is one again\n", "")
    assert house.run("rollback", "complete")[1] == "complete is the best model there is again\n"
    code, _, err = house.run("rollback")
    assert code == 1
    assert "nothing was ever promoted to complete" in err
    assert "fireside models use complete MODEL" in err


def test_several_steps_at_once_end_where_there_are_no_more(house):
    for name in ("one", "two"):
        house.run("promote", name)
    code, out, err = house.run("rollback", "--steps", "5")
    assert (code, out) == (0, "complete is the best model there is again\n")
    assert "(2 of 5 taken back)" in err


def test_promoting_an_arm_ends_its_experiment(house):
    house.file.parent.mkdir(parents=True, exist_ok=True)
    house.file.write_text(
        '[models]\ncomplete = "one"\n\n[gateway.experiments.trial]\nalias = "complete"\n\n'
        '[gateway.experiments.trial.arms]\nold = { model = "one" }\nnew = { model = "two" }\n'
    )
    assert house.run("promote", "two")[0] == 0
    assert house.settings()["models"] == {"complete": "two"}
    assert not house.settings()["gateway"].get("experiments")
    assert house.run("rollback")[1] == "complete is one again\n"


def test_what_is_not_there_is_not_promoted(house):
    code, _, err = house.run("promote", "three")
    assert code == 1
    assert "three" in err
    assert house.settings() == {}


def test_a_rollback_to_a_model_that_is_gone_says_so(house):
    house.run("promote", "one")
    house.run("promote", "two")
    house.store.remove("one")
    code, out, err = house.run("rollback")
    assert (code, out) == (0, "complete is one again\n")
    assert "there is no model one" in err
    assert "fireside models use complete MODEL" in err


def test_the_kinds_offered_are_those_that_can_be_made():
    assert tuple(quantize.KINDS) == KINDS


def test_a_model_of_the_store_becomes_a_smaller_one_there(house):
    code, out, _ = house.run("quantize", "one", "--to", "q8_0")
    assert (code, out) == (0, "one-Q8_0 is ready; to use it: fireside models use complete one-Q8_0\n")
    assert house.store.find("one-Q8_0").size < house.store.find("one").size
    assert house.store.verify("one-Q8_0").version == 1
    assert [path.name for path in house.store.root.iterdir()] == ["v1"]


def test_a_file_becomes_a_smaller_one_beside_it(house, tmp_path: Path):
    source = tiny.write(tmp_path / "m.gguf")
    code, out, _ = house.run("quantize", str(source), "--to", "Q4_K_M")
    assert code == 0
    assert out.startswith(f"{tmp_path / 'm-Q4_K_M.gguf'} (")
    code, _, err = house.run("quantize", str(source), "--to", "Q4_K_M")
    assert code == 1
    assert "is there already" in err
    code, _, err = house.run("quantize", str(tmp_path / "m-Q4_K_M.gguf"), "--to", "Q8_0")
    assert code == 1
    assert "quantized already" in err


def test_the_card_of_a_model_is_shown_as_a_page_and_as_data(house):
    code, _, err = house.run("card", "one")
    assert code == 1
    assert "one has no card" in err
    house.store.set_story("one", ModelStory(about="Small.", seed=7))
    assert "# one\n\nSmall." in house.run("card", "one")[1]
    assert json.loads(house.run("card", "one", "--json")[1])["about"] == "Small."
    assert "fireside models card one" in house.run("show", "one")[1]
    assert json.loads(house.run("show", "one", "--json")[1])["story"]["seed"] == 7


def test_an_adapter_is_added_over_its_base_which_then_stays(house, tmp_path: Path):
    lora = write_lora(tmp_path / "lora.gguf")
    code, out, _ = house.run("add", str(lora), "--name", "mine", "--base", "one")
    assert code == 0
    assert out.startswith("mine is ready, laid over one")
    code, _, err = house.run("rm", "one")
    assert code == 1
    assert "one is the base of mine" in err
    code, _, err = house.run("quantize", "mine", "--to", "Q8_0")
    assert code == 1
    assert "is an adapter" in err


@pytest.mark.slow
def test_two_models_are_compared_on_the_same_cases(house, tmp_path: Path):
    code_folder = tmp_path / "code"
    code_folder.mkdir()
    lines = "\n".join(f"def number_{n}(value):\n    return value + {n}" for n in range(80))
    (code_folder / "a.py").write_text(lines)
    code, out, _ = house.run("compare", "one", "two", "--from", str(code_folder), "--cases", "2", "--json")
    assert code == 0
    found = json.loads(out)
    assert [(each["suite"], each["first"], each["second"]) for each in found] == [("fim-line", "one", "two")]
    assert {row["n"] for row in found[0]["rows"] if row["name"] == "exact"} == {2}


def test_a_suite_that_does_not_exist_is_refused_before_anything_is_measured(house):
    code, _, err = house.run("compare", "one", "two", "--suite", "nothing")
    assert code == 1
    assert "there is no suite 'nothing'" in err


def test_a_second_model_that_is_not_there_is_told_before_the_first_is_measured(house):
    code, _, err = house.run("compare", "one", "nope", "--cases", "2")
    assert code == 1
    assert "there is no model nope" in err
    assert "one:" not in err

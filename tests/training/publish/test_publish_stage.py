"""A run's model goes into the store with its card, and gets the share it earned."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fireside.app.settings import load_config
from fireside.config.notation import join_key
from fireside.core.errors import Invalid
from fireside.gateway.experiments import Changes
from fireside.models.store import ModelStore
from fireside.training.export.adapter import target_of, write_adapter
from fireside.training.export.model import write_model
from fireside.training.hardware import look
from fireside.training.publish.settings import PublishSettings
from fireside.training.publish.stage import Publish
from fireside.training.rows import Row, write_shard
from fireside.training.stages import Desk, Facts, Manifest, digests, perform
from support.checkpoints import write_adapter_folder, write_model_folder
from support.tiny import tiny_gguf


@dataclass
class House:
    """A home of its own: a store, and settings in a real file."""

    home: Path
    work: Path
    named: dict[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> ModelStore:
        return ModelStore(self.home / "models")

    @property
    def config(self):
        return load_config(None, {"FIRESIDE_HOME": str(self.home)}, {})

    def configure(self, changes: Changes) -> None:
        for path, value in changes.items():
            config = self.config
            config.unset(join_key(path), layer="user") if value is None else config.set(
                join_key(path), value, layer="user"
            )

    def done(self, stage: str, facts: Facts) -> Path:
        """Write the manifest of what lies in the stage's folder."""
        folder = self.work / stage
        folder.mkdir(parents=True, exist_ok=True)
        told = Manifest(
            stage=stage,
            fingerprint=f"f-{stage}",
            facts=facts,
            files=digests(folder),
            seed=7,
            seconds=1.0,
            finished=1.0,
            versions={"fireside": "1"},
        )
        (self.work / f"{stage}.json").write_bytes(msgspec.json.encode(told))
        return folder

    def stage(self, **settings: Any) -> Publish:
        return Publish(
            PublishSettings(**settings), store=self.store, settings=self.config.settings, configure=self.configure
        )

    def publish(self, *, smoke: bool = False, **settings: Any) -> Facts:
        return perform(self.stage(**settings), Desk(self.work, "publish", smoke=smoke))[0].facts


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A run with a model of its own in two sizes, made of two files, one with a licence."""
    found = House(tmp_path / "home", tmp_path / "own")
    shards = found.work / "collect" / "shards"
    shards.mkdir(parents=True)
    rows = [
        Row(kind="lm", text="x = 1\n", repo="r", path=f"{name}.py", language="python", sha256=name, licence=licence)
        for name, licence in (("a", "MIT"), ("b", ""))
    ]
    write_shard(shards / "own-00000.jsonl.zst", rows)
    found.done("collect", {})
    for place, seed in (("own-Q8_0.gguf", 0), ("own-Q4_K_M.gguf", 1)):
        folder = found.work / "quantize"
        folder.mkdir(exist_ok=True)
        (folder / place).write_bytes(tiny_gguf(seed=seed).read_bytes())
    found.done("export", {"gates": "passed", "base": ""})
    found.done("quantize", {"files": {"own-Q8_0.gguf": {}, "own-Q4_K_M.gguf": {}}, "gates": "passed"})
    return found


def test_the_first_file_is_registered_under_the_next_number_with_its_card(house: House):
    facts = house.publish(share=0, about="Mine.", licence="Apache-2.0")
    assert (facts["model"], facts["share"]) == ("own:1", 0.0)
    stored = house.store.find("own:1")
    assert stored.path.read_bytes() == tiny_gguf().read_bytes()
    story = house.store.story("own:1")
    assert story is not None
    assert (story.about, story.licence, story.licences) == ("Mine.", "Apache-2.0", {"MIT": 1, "": 1})
    assert (story.documents, story.bytes, len(story.data)) == (2, 12, 64)
    assert story.manifests["quantize"] == "f-quantize"
    assert "1 of its files have no known licence: for your own use, not to be passed on." in story.notes
    assert "It was not measured." in story.notes
    assert (house.work / "publish" / "card.md").read_text().startswith("---\nlicense: apache-2.0")
    assert house.config.settings.models == {}


def test_another_quantization_is_published_when_it_is_named(house: House):
    house.publish(share=0, quantization="Q4_K_M")
    assert house.store.find("own:1").path.read_bytes() == tiny_gguf(seed=1).read_bytes()
    with pytest.raises(Invalid, match="no file of the kind Q6_K"):
        house.publish(share=0, quantization="Q6_K")


def test_the_next_version_counts_on_and_names_its_parent(house: House):
    house.publish(share=0)
    assert house.publish(share=0, quantization="Q4_K_M")["model"] == "own:2"
    story = house.store.story("own:2")
    assert story is not None
    assert story.parent == "own:1"


def test_a_run_that_was_ended_after_registering_does_not_count_on(house: House):
    house.publish(share=0)
    assert house.publish(share=0, about="again")["model"] == "own:1"
    assert [model.name for model in house.store.list()] == ["own:1"]


def test_a_share_of_the_requests_is_an_experiment_in_the_users_settings(house: House):
    house.configure({("models", "complete"): "old"})
    facts = house.publish(share=0.2)
    assert (facts["alias"], facts["share"]) == ("complete", 0.2)
    experiment = house.config.settings.gateway.experiments["own-1"]
    assert {arm.model: arm.weight for arm in experiment.arms.values()} == {"old": 0.8, "own:1": 0.2}
    assert house.config.settings.models == {"complete": "old"}
    story = house.store.story("own:1")
    assert story is not None
    assert story.parent == "old"


def test_all_of_them_is_the_alias_itself_and_what_it_meant_is_remembered(house: House):
    house.configure({("models", "complete"): "old"})
    house.publish(share=1)
    settings = house.config.settings
    assert settings.models == {"complete": "own:1"}
    assert [(each.alias, each.former) for each in settings.gateway.promoted.values()] == [("complete", "old")]


def test_an_alias_that_is_shared_already_keeps_its_experiment_and_the_model_is_registered(house: House):
    house.configure({("models", "complete"): "old"})
    house.publish(share=0.2)
    facts = house.publish(share=0.2, quantization="Q4_K_M")
    assert (facts["model"], facts["share"]) == ("own:2", 0.0)
    assert "own-1 shares complete already" in facts["note"]
    assert list(house.config.settings.gateway.experiments) == ["own-1"]


def test_a_model_that_lost_against_copying_is_registered_and_nobody_gets_it(house: House):
    house.configure({("models", "complete"): "old"})
    house.done("eval", {"passes_the_gate": False})
    facts = house.publish(share=0.5)
    assert facts["share"] == 0.0
    assert "does not beat copying" in facts["note"]
    assert house.config.settings.gateway.experiments == {}
    story = house.store.story("own:1")
    assert story is not None
    assert any("does not beat completion by copying" in note for note in story.notes)
    assert house.publish(share=0.5, gate="no")["share"] == 0.5


def test_an_adapter_is_registered_over_a_base_of_the_store(house: House, tmp_path: Path):
    folder = write_model_folder(tmp_path / "model")
    write_model(folder, tmp_path / "base.gguf")
    base = house.store.add(tmp_path / "base.gguf", "small")
    write_adapter(
        write_adapter_folder(tmp_path / "adapter"), target_of(base.path), house.work / "export" / "adapter.gguf"
    )
    house.done("export", {"base": str(base.path)})
    (house.work / "quantize.json").unlink()
    facts = house.publish(share=0)
    assert (facts["model"], facts["base"]) == ("own:1", "small")
    stored = house.store.find("own:1")
    assert (stored.base, stored.path) == (base.sha256, base.path)


def test_an_adapter_over_a_base_of_the_run_brings_it_along(house: House, tmp_path: Path):
    folder = write_model_folder(tmp_path / "model")
    exported = house.work / "export"
    write_model(folder, exported / "base.gguf")
    write_adapter(write_adapter_folder(tmp_path / "adapter"), target_of(folder), exported / "adapter.gguf")
    house.done("export", {"base": ""})
    (house.work / "quantize.json").unlink()
    assert house.publish(share=0)["base"] == "own-base:1"
    assert {model.name for model in house.store.list()} == {"own:1", "own-base:1"}


def test_the_plan_says_what_it_will_be_called(house: House):
    plan = house.stage(share=0.25).plan(Desk(house.work, "publish"), look(house.work))
    assert plan.notes == ("becomes own:1", "25 % of the requests for complete go to it")
    fitted = house.stage(share=0, repository="/code").plan(Desk(house.work, "publish"), look(house.work))
    assert fitted.notes[1] == "completes in /code, unless it learnt nothing there"
    refused = house.stage(name="a:b").plan(Desk(house.work, "publish"), look(house.work))
    assert "has a colon" in refused.refusals[0].message

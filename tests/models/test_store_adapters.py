"""Adapters and cards in the store: what stands on what, and what is told of it."""

import hashlib
import json
from pathlib import Path

import pytest

from fireside.core.errors import Invalid, ModelNotFound
from fireside.models import tiny
from fireside.models.modelcard import Figure, ModelStory, as_markdown
from fireside.models.store import ModelStore
from support.checkpoints import write_lora
from support.tiny import tiny_gguf


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    return write_lora(tmp_path / "lora.gguf")


def blobs(store: ModelStore) -> int:
    return len(list(store.root.glob("v1/blobs/sha256-*")))


def test_an_adapter_is_a_model_of_its_own_over_the_file_of_its_base(store: ModelStore, lora: Path):
    base = store.add(tiny_gguf(), "base")
    added = store.add_adapter("mine:1", lora, "base")
    assert (added.path, added.base) == (base.path, base.sha256)
    assert added.adapter is not None
    assert added.adapter.read_bytes() == lora.read_bytes()
    assert added.sha256 == hashlib.sha256(lora.read_bytes()).hexdigest()
    assert (added.linked, added.present) == (False, True)
    assert store.find("mine:1") == added
    assert store.verify("mine:1") == added
    assert store.adapters_of(base.sha256) == (added,)


def test_a_base_may_be_named_by_its_file_in_the_store_or_outside(store: ModelStore, lora: Path, tmp_path: Path):
    base = store.add(tiny_gguf(), "base")
    assert store.add_adapter("inside", lora, base.path).base == base.sha256
    outside = tiny.write(tmp_path / "outside.gguf", seed=3)
    added = store.add_adapter("outside", lora, outside)
    assert (added.path, added.linked) == (outside, False)
    assert added.base == hashlib.sha256(outside.read_bytes()).hexdigest()
    assert not outside.samefile(base.path)


def test_a_base_that_adapters_stand_on_is_not_removed(store: ModelStore, lora: Path):
    store.add(tiny_gguf(), "base")
    store.add_adapter("mine", lora, "base")
    with pytest.raises(Invalid, match="base is the base of mine") as refusal:
        store.remove("base")
    assert refusal.value.remedy == "fireside models rm mine"
    store.copy("base", "second")
    store.remove("base")
    assert store.find("mine").present
    store.remove("mine")
    store.remove("second")
    assert blobs(store) == 0


def test_a_base_whose_name_gets_other_contents_stays_as_long_as_an_adapter_needs_it(
    store: ModelStore, lora: Path, tmp_path: Path
):
    store.add(tiny_gguf(), "base")
    store.add_adapter("mine", lora, "base")
    store.add(tiny.write(tmp_path / "newer.gguf", seed=5), "base")
    assert store.find("mine").present
    store.remove("mine")
    assert blobs(store) == 1


def test_a_second_name_of_an_adapter_is_the_same_adapter(store: ModelStore, lora: Path):
    store.add(tiny_gguf(), "base")
    first = store.add_adapter("mine", lora, "base")
    second = store.copy("mine", "other")
    assert (second.path, second.adapter, second.base) == (first.path, first.adapter, first.base)


@pytest.mark.parametrize(
    ("told", "why"),
    [({"width": 128}, "of another size"), ({"architecture": "llama"}, "is for llama, and its base is qwen2")],
)
def test_an_adapter_for_another_model_is_refused_and_nothing_is_kept(
    store: ModelStore, tmp_path: Path, told: dict[str, object], why: str
):
    store.add(tiny_gguf(), "base")
    with pytest.raises(Invalid, match=why):
        store.add_adapter("mine", write_lora(tmp_path / "other.gguf", **told), "base")
    assert [model.name for model in store.list()] == ["base"]
    assert blobs(store) == 1


def test_what_is_no_adapter_or_no_base_is_refused(store: ModelStore, lora: Path):
    store.add(tiny_gguf(), "base")
    store.add_adapter("mine", lora, "base")
    with pytest.raises(Invalid, match="no LoRA adapter"):
        store.add_adapter("x", tiny_gguf(), "base")
    with pytest.raises(Invalid, match="mine is an adapter itself"):
        store.add_adapter("x", lora, "mine")
    with pytest.raises(ModelNotFound):
        store.add_adapter("x", lora, "nobody")


def test_manifests_of_before_adapters_are_read(store: ModelStore):
    added = store.add(tiny_gguf(), "old")
    place = store.root / "v1" / "models" / "old.json"
    told = json.loads(place.read_text())
    del told["base"]
    place.write_text(json.dumps(told))
    assert store.find("old") == added


STORY = ModelStory(
    about="Completes this repository.",
    licence="Apache-2.0",
    parent="mine:1",
    base="base",
    data="abc",
    documents=12,
    bytes=3456,
    licences={"MIT": 10, "": 2},
    figures=(Figure(suite="fim-line", name="exact", value=31.5, low=27.0, high=36.0, n=300, unit="%"),),
    facts={"pretrain": {"bits_per_byte": 0.81}},
    recipe={"pretrain": {"minutes": 18}},
    seed=7,
    notes=("2 of its files have no known licence.",),
)


def test_a_card_is_kept_beside_the_model_as_data_and_as_a_page(store: ModelStore):
    model = store.add(tiny_gguf(), "mine:2")
    store.set_story("mine:2", STORY)
    told = store.story("mine:2")
    assert told is not None
    assert (told.name, told.sha256, told.figures) == ("mine:2", model.sha256, STORY.figures)
    page = next(store.root.glob("v1/cards/*.md")).read_text()
    assert page == as_markdown(told)
    for line in (
        "license: apache-2.0",
        "# mine:2",
        "| fim-line | this model | exact | 31.5 % | 27 to 36 | 300 |",
        "| unknown | 2 |",
        "- **pretrain**: bits_per_byte 0.81",
        "- 2 of its files have no known licence.",
    ):
        assert line in page.splitlines()


def test_a_card_goes_with_its_model_and_never_speaks_of_other_contents(store: ModelStore, tmp_path: Path):
    store.add(tiny_gguf(), "mine")
    assert store.story("mine") is None
    store.set_story("mine", STORY)
    store.add(tiny.write(tmp_path / "newer.gguf", seed=5), "mine")
    assert store.story("mine") is None
    store.set_story("mine", STORY)
    store.remove("mine")
    assert list(store.root.glob("v1/cards/*")) == []
    with pytest.raises(ModelNotFound):
        store.set_story("mine", STORY)

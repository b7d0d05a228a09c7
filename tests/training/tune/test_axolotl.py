"""A training described for Axolotl becomes a recipe, and what does not fit into one is listed."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fireside.core.errors import Invalid
from fireside.training.recipe import Recipe, made
from fireside.training.tune.axolotl import imported, translated

FULL = """
base_model: /models/qwen2.5-coder
datasets:
  - path: {repository}
    type: completion
adapter: lora
load_in_8bit: false
load_in_4bit: true
lora_r: 8
lora_alpha: 16
lora_dropout: 0.05
lora_target_modules: [q_proj, v_proj]
sequence_len: 512
sample_packing: true
micro_batch_size: 2
gradient_accumulation_steps: 3
num_epochs: 2
max_steps: 100
optimizer: adamw_bnb_8bit
lr_scheduler: cosine
learning_rate: 2e-4
weight_decay: 0.01
warmup_steps: 10
val_set_size: 0.05
output_dir: ./out
bf16: auto
gradient_checkpointing: true
seed: 11
special_tokens:
"""


def recipe(text: str) -> tuple[Recipe, tuple[str, ...]]:
    found = translated(text, "mine", "mine.yaml")
    return made(tomllib.loads(found.recipe), "mine.toml"), found.unsupported


def test_every_key_a_recipe_can_hold_is_in_it_and_nothing_is_listed(tmp_path: Path):
    found, unsupported = recipe(FULL.format(repository=tmp_path))
    assert unsupported == ()
    assert found.tune is not None
    assert found.prepare is not None
    assert found.collect is not None
    tune = found.tune
    assert (tune.base, tune.bits, tune.rank, tune.alpha, tune.dropout) == ("/models/qwen2.5-coder", 4, 8, 16.0, 0.05)
    assert (tune.targets, tune.batch, tune.accumulation) == (("q_proj", "v_proj"), 2, 3)
    assert (tune.epochs, tune.steps, tune.rate, tune.weight_decay) == (2.0, 100, 2e-4, 0.01)
    assert (tune.optimizer, tune.warmup, tune.bf16, tune.gradient_checkpointing) == ("adamw_8bit", 0.1, "auto", True)
    assert (found.prepare.base, found.prepare.context, found.prepare.held_out) == ("/models/qwen2.5-coder", 512, 0.05)
    assert found.collect.repositories == (str(tmp_path),)
    assert (found.seed, found.work) == (11, "./out")


def test_qlora_and_every_linear_module_have_names_of_their_own():
    found, _ = recipe("base_model: m\nadapter: qlora\nlora_target_linear: true\nload_in_4bit: true")
    assert found.tune is not None
    assert (found.tune.bits, found.tune.targets) == (4, ("all-linear",))


def test_keys_and_values_without_a_counterpart_are_listed_each():
    _, unsupported = recipe(
        "base_model: m\ndeepspeed: zero3.json\nrl: dpo\nlr_scheduler: linear\noptimizer: lion_8bit\nval_set_size: 100\n"
        "warmup_steps: 5\nsample_packing: false\nadapter: full\nspecial_tokens: {pad_token: <x>}\nlora_r: many\n"
    )
    assert [line.partition(":")[0] for line in unsupported] == [
        "deepspeed",
        "rl",
        "lr_scheduler",
        "optimizer",
        "val_set_size",
        "warmup_steps",
        "sample_packing",
        "adapter",
        "special_tokens",
        "lora_r",
    ]
    assert "lion_8bit" in unsupported[3]


def test_a_dataset_that_is_no_folder_of_code_here_is_listed(tmp_path: Path):
    found, unsupported = recipe(
        "base_model: m\ndatasets:\n"
        f"  - {{path: tatsu-lab/alpaca, type: alpaca}}\n  - {{path: {tmp_path}, type: chat_template}}\n"
        f"  - {{path: {tmp_path}, split: train}}\n"
    )
    assert [line.partition(":")[0] for line in unsupported] == ["datasets.path", "datasets.type", "datasets.split"]
    assert found.collect is not None
    assert found.collect.repositories == (str(tmp_path),)


def test_a_value_the_settings_do_not_allow_is_listed_and_left_out():
    found, unsupported = recipe("base_model: m\nlora_r: 0\nlora_dropout: 3\nnum_epochs: 0\n")
    assert len(unsupported) == 2
    assert "lora_dropout" in "".join(unsupported)
    assert found.tune is not None
    assert (found.tune.rank, found.tune.dropout, found.tune.epochs) == (16, 0.0, 3.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [("a: [", "is not YAML, line"), ("- a\n- b", "no table"), ("adapter: lora", "no base_model"), ("", "no table")],
)
def test_what_is_no_axolotl_file_is_refused_in_one_sentence(tmp_path: Path, text: str, says: str):
    place = tmp_path / "a.yaml"
    place.write_text(text)
    with pytest.raises(Invalid, match=says):
        imported(place)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path):
    with pytest.raises(Invalid, match="cannot be read"):
        imported(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Invalid, match="cannot be read"):
        imported(tmp_path / "b.yaml")


KEYS = st.sampled_from([line.partition(":")[0] for line in FULL.strip().splitlines() if not line.startswith(" ")])
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5000),
    st.floats(-1, 3),
    st.text(max_size=8),
    st.lists(st.text(max_size=3), max_size=2),
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(KEYS, VALUES), st.text(max_size=12))
def test_whatever_the_values_the_recipe_can_be_read(values: dict[str, object], base: str):
    import yaml

    found = translated(yaml.safe_dump(values | {"base_model": f"m{base}"}), base, "any.yaml")
    made(tomllib.loads(found.recipe), "any.toml")

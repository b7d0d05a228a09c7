"""The model computes what transformers computes from the same files; the optimisers and the schedule do what their papers say."""

import itertools
from pathlib import Path

import pytest

from fireside.core.errors import ToolFailed
from fireside.training.pretrain.decoder import IGNORED, Learner, Shape, begin, logits, loss, orthogonal, pace, shape_of
from fireside.training.pretrain.settings import PretrainSettings

pytestmark = pytest.mark.train
TINY = Shape(vocabulary=97, context=32, width=32, layers=2, heads=4, kv_heads=2, ff=48)


def learner(**settings: float) -> Learner:
    return Learner(TINY, PretrainSettings(**settings), seed=1, device="cpu", bf16=False)  # type: ignore[arg-type]


def lively(shape: Shape) -> dict:
    """Weights none of which is zero, so that every one of them shows in what comes out."""
    import torch

    chance = torch.Generator().manual_seed(3)
    return {
        name: weight + 0.2 * torch.randn(weight.shape, generator=chance) for name, weight in begin(shape, 1).items()
    }


def test_transformers_gives_the_same_logits_for_the_same_weights():
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    weights = lively(TINY)
    theirs = LlamaForCausalLM(LlamaConfig(**TINY.config())).eval()
    missing, unexpected = theirs.load_state_dict(weights, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    theirs.tie_weights()
    tokens = torch.randint(0, 97, (2, 32), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, wanted = logits(weights, TINY, tokens), theirs(tokens).logits
    assert wanted.abs().max() > 1
    assert (found - wanted).abs().max() < 1e-4


def test_the_count_of_parameters_is_what_there_is():
    assert TINY.parameters == sum(weight.numel() for weight in begin(TINY, 1).values())


@pytest.mark.parametrize(("depth", "millions"), [(4, 5.2), (8, 29.4), (16, 210)])
def test_one_dial_gives_sizes_that_k_quants_like(depth: int, millions: float):
    shape = shape_of(PretrainSettings(depth=depth), 8192, 1024)
    assert shape.width % 256 == shape.ff % 256 == 0
    assert shape.parameters / 1e6 == pytest.approx(millions, rel=0.05)


def test_padding_is_not_learnt():
    import torch

    weights = begin(TINY, 1)
    rows = torch.randint(0, 90, (1, 17), generator=torch.Generator().manual_seed(1))
    longer = torch.cat((rows, torch.full((1, 8), 95)), dim=1)
    assert loss(weights, TINY, longer, 95).item() == pytest.approx(loss(weights, TINY, rows, IGNORED).item(), rel=1e-5)


def test_newton_schulz_brings_all_singular_values_near_one():
    import torch

    chance = torch.Generator().manual_seed(1)
    for size in ((3, 40, 16), (3, 16, 40)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(size, generator=chance)))
        assert values.min() > 0.3
        assert values.max() < 1.3


def test_the_rates_rise_stay_and_end_at_nothing_however_the_run_is_measured():
    rates = [pace(step / 1000, 0.01, 0.3) for step in range(1001)]
    assert 0 < rates[0] < 0.1
    assert set(rates[10:701]) == {1.0}
    assert all(after < before for before, after in itertools.pairwise(rates[701:]))
    assert rates[-1] == 0.0


def test_a_model_learns_a_rule_in_forty_steps():
    import torch

    one = learner(rate=0.01)
    chance = torch.Generator().manual_seed(1)
    # Each token follows from the one before it.
    rows = (torch.randint(0, 97, (64, 1), generator=chance) + 5 * torch.arange(33)) % 97
    first, *_, last = [one.step([rows], lambda at=at: [at / 40])[0] for at in range(40)]
    assert first > 4
    assert last < 0.5


def test_a_batch_in_parts_is_learnt_like_the_batch_at_once():
    import torch

    rows = torch.randint(0, 97, (8, 33), generator=torch.Generator().manual_seed(1))
    whole, parts = learner(), learner()
    for _ in range(3):
        at_once = whole.step([rows], lambda: [0.5])
        in_parts = parts.step(list(rows.split(2)), lambda: [0.5])
    assert in_parts[0] == pytest.approx(at_once[0], rel=1e-4)
    assert in_parts[1] == pytest.approx(at_once[1], rel=1e-3)


def test_a_loss_that_is_no_number_changes_no_weight():
    import torch

    one = learner()
    rows = torch.randint(0, 97, (2, 33), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        one.weights["model.norm.weight"][0] = float("inf")
    before = {name: weight.detach().clone() for name, weight in one.weights.items()}
    with pytest.raises(ToolFailed, match="no longer a number"):
        one.step([rows], lambda: [0.5])
    assert all(torch.equal(before[name], weight.detach()) for name, weight in one.weights.items())


def test_the_model_is_read_by_people(tmp_path: Path):
    import fireside.training.pretrain.decoder as decoder

    assert len(Path(decoder.__file__).read_text("utf-8").splitlines()) <= 450

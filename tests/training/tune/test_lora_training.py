"""The training itself, run in this process."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from fireside.core.errors import FiresideError, Invalid, OutOfResources
from fireside.training.tune import weights
from fireside.training.tune.lora import FLOOR, Pace
from fireside.training.tune.settings import TuneSettings

# The libraries warn of what they will change one day.
pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]
Tuned = Callable[..., dict[str, Any]]


def log(work: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (work / "tune" / "log.jsonl").read_bytes().splitlines()]


def test_an_adapter_that_forgets_too_much_is_weakened_until_it_holds(tuned_here: Tuned, work: Path):
    facts = tuned_here(forgetting=0.02, mix=0.0, rate=2e-2)
    choosing = facts["after"]["choosing"]["bits"] / facts["before"]["choosing"]["bits"] - 1
    assert facts["trained"]["choosing"]["bits"] > 1.02 * facts["before"]["choosing"]["bits"], "else nothing is shown"
    assert facts["strength"] < 1
    assert choosing <= 0.02 or facts["strength"] == 0.1
    config = orjson.loads((work / "tune" / "adapter" / "adapter_config.json").read_bytes())
    assert config["lora_alpha"] == pytest.approx(32 * facts["strength"])


@pytest.mark.parametrize("bits", [4, 8])
def test_a_packed_base_is_tuned_on_a_processor_too(tuned_here: Tuned, bits: int):
    facts = tuned_here(bits=bits, steps=6, batch=2, optimizer="adamw_8bit" if bits == 8 else "adamw")
    assert facts["after"]["target"]["bits"] < facts["before"]["target"]["bits"]


def test_the_clock_ends_a_run_annealed(tuned_here: Tuned, work: Path):
    facts = tuned_here(steps=0, minutes=0.05)
    rates = [line["rate"] for line in log(work) if "rate" in line]
    assert facts["steps"] == len(rates) > 2
    assert rates[-1] < 0.5 * max(rates)


def test_a_rate_that_breaks_the_numbers_ends_in_one_sentence(tuned_here: Tuned, work: Path):
    with pytest.raises(Invalid, match="no number any more at step") as raised:
        tuned_here(rate=1e2, alpha=1e38, warmup=0.0)
    assert "tune.rate" in raised.value.remedy
    assert not (work / "tune" / "adapter").exists()


def test_a_row_with_a_token_no_vocabulary_has_is_named(tuned_here: Tuned, work: Path):
    place = work / "prepare" / "train.bin"
    data = bytearray(place.read_bytes())
    data[3 * 65 * 2 : 3 * 65 * 2 + 2] = b"\xff\xff"
    place.write_bytes(data)
    with pytest.raises(Invalid, match="row 3: a token is not in the vocabulary"):
        tuned_here()


def test_rows_of_another_tokenizer_are_refused(tuned_here: Tuned, base: Path, tmp_path: Path):
    other = Path(shutil.copytree(base, tmp_path / "other-base"))
    place = other / "tokenizer.json"
    told = orjson.loads(place.read_bytes())
    vocabulary = told["model"]["vocab"]
    names = list(vocabulary)
    vocabulary[names[-1]], vocabulary[names[-2]] = vocabulary[names[-2]], vocabulary[names[-1]]
    place.write_bytes(orjson.dumps(told))
    with pytest.raises(Invalid, match="not made with the tokenizer of other-base") as raised:
        tuned_here(base=str(other))
    assert "prepare.base" in raised.value.remedy


def test_the_rate_rises_falls_as_a_cosine_and_ends_at_a_tenth():
    pace = Pace(TuneSettings(warmup=0.1), 100)
    rates = [pace.rate(step) for step in range(101)]
    assert rates[:10] == sorted(rates[:10])
    assert max(rates) == rates[10] == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx((1 + FLOOR) / 2)
    assert rates[100] == pytest.approx(FLOOR)


def test_the_clock_moves_the_rate_when_it_is_ahead_of_the_steps():
    pace = Pace(TuneSettings(warmup=0.1, minutes=1.0), 100)
    pace.clock = 0.55
    assert pace.rate(0) == pace.rate(20) == pytest.approx((1 + FLOOR) / 2)
    assert pace.rate(80) < pace.rate(20)


def test_one_step_is_made_at_the_full_rate():
    assert Pace(TuneSettings(), 1).rate(0) == 1


def test_without_other_code_nothing_is_forgotten_and_nothing_weakened(tuned_here: Tuned, work: Path):
    for name in ("other", "other_held"):
        (work / "prepare" / f"{name}.bin").unlink()
    told = orjson.loads((work / "prepare" / "meta.json").read_bytes())
    told["splits"] = {name: split for name, split in told["splits"].items() if not name.startswith("other")}
    (work / "prepare" / "meta.json").write_bytes(orjson.dumps(told))
    facts = tuned_here(forgetting=0.01, steps=4)
    assert (facts["mix"], facts["strength"], facts["other_change"]) == (0, 1, 0)
    assert facts["after"]["other"]["bytes"] == 0


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (MemoryError(), OutOfResources, "memory ran out"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), OutOfResources, "memory ran out"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0"), OutOfResources, "disk became full"),
        (OSError(errno.ENOSPC, "No space left on device"), OutOfResources, "disk became full"),
        (ValueError("something else\nand more"), Invalid, "the training failed: something else"),
    ],
)
def test_every_way_to_fail_is_one_sentence(error: Exception, kind: type[FiresideError], says: str):
    told = weights.fault(error)
    assert isinstance(told, kind)
    assert says in told.message
    assert "\n" not in told.message
    assert told.remedy

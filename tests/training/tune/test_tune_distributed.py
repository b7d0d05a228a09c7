"""One training over several processes: what is written for Accelerate, and that two processes make one adapter."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fireside.core.errors import Invalid, OutOfResources
from fireside.training.tune.distributed import CONFIGURATION, command, configuration, listen, refusal
from fireside.training.tune.jobs import Job
from fireside.training.tune.settings import SpreadSettings, TuneSettings

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]
Tuned = Callable[..., dict[str, Any]]


def spread(**told: Any) -> TuneSettings:
    return TuneSettings(spread=SpreadSettings(**told))


def test_the_configuration_is_one_that_accelerate_reads(tmp_path: Path):
    from accelerate.commands.config.config_args import load_config_from_file

    for told, gpus in (
        (spread(launch="accelerate", processes=2), 0),
        (spread(launch="accelerate", processes=8, hosts=2, rank=1, address="10.0.0.1", port=4000, sharding="fsdp"), 4),
    ):
        place = tmp_path / "config.yaml"
        place.write_text(yaml.safe_dump(configuration(told, gpus=gpus, autocast=True)))
        read = load_config_from_file(str(place))
        assert (read.num_processes, read.num_machines) == (told.spread.processes, told.spread.hosts)
        assert read.mixed_precision == "bf16"


def test_ddp_and_fsdp_and_processors_are_told_apart():
    assert (
        configuration(spread(launch="accelerate", processes=2), gpus=0, autocast=False)["distributed_type"]
        == "MULTI_CPU"
    )
    assert (
        configuration(spread(launch="accelerate", processes=2), gpus=2, autocast=False)["distributed_type"]
        == "MULTI_GPU"
    )
    shared = configuration(spread(launch="accelerate", processes=2, sharding="fsdp"), gpus=2, autocast=False)
    assert shared["distributed_type"] == "FSDP"
    assert shared["fsdp_config"]["fsdp_state_dict_type"] == "FULL_STATE_DICT"
    far = configuration(
        spread(launch="accelerate", processes=4, hosts=2, address="10.0.0.1", port=4000), gpus=2, autocast=False
    )
    assert (far["main_process_ip"], far["main_process_port"], far["machine_rank"]) == ("10.0.0.1", 4000, 0)


@pytest.mark.parametrize(
    ("told", "gpus", "says"),
    [
        ({"processes": 2}, 0, "need a launcher"),
        ({"launch": "accelerate", "processes": 3, "hosts": 2}, 0, "evenly"),
        ({"launch": "accelerate", "processes": 2, "hosts": 2, "rank": 2}, 0, "no machine 2 of 2"),
        ({"launch": "accelerate", "processes": 2, "sharding": "fsdp"}, 0, "FSDP shards over GPUs"),
        ({"launch": "accelerate", "processes": 4}, 2, "want a GPU each"),
    ],
)
def test_processes_that_cannot_be_spread_so_are_refused(told: dict[str, Any], gpus: int, says: str):
    found = refusal(spread(**told), gpus)
    assert found is not None
    assert says in found.message
    assert found.remedy


def test_on_gpus_accelerate_starts_the_processes_and_torchrun_elsewhere(tmp_path: Path):
    told = spread(launch="accelerate", processes=4, hosts=2, rank=1, address="10.0.0.1", port=4000)
    job = Job(base="b", prepared="p", folder=str(tmp_path), seed=7, settings=told)
    assert "accelerate.commands.launch" in command(job, gpus=2)
    line = " ".join(command(job, gpus=0))
    assert "torch.distributed.run --nnodes 2 --node-rank 1 --nproc-per-node 2 --master-addr 10.0.0.1" in line
    for gpus in (0, 2):
        assert command(job, gpus=gpus)[-4:] == [
            "fireside.training.tune.run",
            str(tmp_path / "job.json"),
            "--part",
            "train",
        ]


def test_two_processes_make_one_adapter(tuned_here: Tuned, work: Path):
    facts = tuned_here(steps=6, batch=2, spread={"launch": "accelerate", "processes": 2})
    assert facts["processes"] == 2
    assert facts["tokens"] == 6 * 2 * 2 * 64
    assert facts["target_after"] < facts["target_before"]
    assert (work / "tune" / CONFIGURATION).is_file()
    log = (work / "tune" / "log.jsonl").read_text()
    assert log.count('"loss"') == 6, "one of them writes the log"


def test_what_one_of_several_processes_complains_of_is_told_as_what_it_was(tmp_path: Path):
    job = Job(base="b", prepared="p", folder=str(tmp_path), seed=7, settings=spread(launch="accelerate", processes=2))
    says = "import json, sys; print('a library talks'); print(json.dumps({'error': %r})); sys.exit(1)"
    error = {"kind": "resource", "message": "memory ran out", "remedy": "a smaller batch"}
    with pytest.raises(OutOfResources, match="memory ran out") as raised:
        listen([sys.executable, "-c", says % error], job)
    assert raised.value.remedy == "a smaller batch"
    with pytest.raises(Invalid, match="ended with 3"):
        listen([sys.executable, "-c", "raise SystemExit(3)"], job)


@pytest.mark.ray
def test_ray_train_makes_one_adapter_with_two_workers(tuned_here: Tuned):
    facts = tuned_here(steps=6, batch=2, spread={"launch": "ray", "processes": 2})
    assert facts["processes"] == 2
    assert facts["target_after"] < facts["target_before"]

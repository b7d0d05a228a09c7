"""One training over several processes: on the GPUs of one machine, on several machines, or on processors.

Accelerate starts the processes from a configuration file of its own (DDP or FSDP), torchrun on processors, Ray Train from its cluster.
Each process runs the same command as a single one would. Knows how processes are started; nothing of what they train.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from fireside.core.errors import Invalid
from fireside.training.tune.jobs import JOB, OFFLINE, Job, complained, say
from fireside.training.tune.settings import TuneSettings

CONFIGURATION = "accelerate.yaml"


def configuration(settings: TuneSettings, *, gpus: int, autocast: bool) -> dict[str, Any]:
    """What Accelerate reads, as its own names (accelerate, ``commands/config/config_args.py``)."""
    spread = settings.spread
    told: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": _kind(settings, gpus),
        "num_processes": spread.processes,
        "num_machines": spread.hosts,
        "machine_rank": spread.rank,
        "main_process_ip": spread.address,
        "main_process_port": _port(settings),
        "rdzv_backend": "static",
        "same_network": True,
        "mixed_precision": "bf16" if autocast else "no",
        "use_cpu": not gpus,
        "downcast_bf16": "no",
        "main_training_function": "main",
    }
    if told["distributed_type"] == "FSDP":
        told["fsdp_config"] = {
            "fsdp_version": 2,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_reshard_after_forward": True,
            "fsdp_state_dict_type": "FULL_STATE_DICT",
            "fsdp_cpu_ram_efficient_loading": True,
            "fsdp_offload_params": False,
            "fsdp_activation_checkpointing": settings.gradient_checkpointing,
        }
    return told


def _kind(settings: TuneSettings, gpus: int) -> str:
    if settings.spread.processes == 1:
        return "NO"
    if settings.spread.sharding == "fsdp":
        return "FSDP"
    return "MULTI_GPU" if gpus else "MULTI_CPU"


def _port(settings: TuneSettings) -> int:
    """The port told; on one machine a free one, so that two runs do not meet."""
    if settings.spread.hosts > 1:
        return settings.spread.port
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found: int = free.getsockname()[1]
        return found


def write_configuration(path: Path, told: Mapping[str, Any]) -> Path:
    import yaml

    path.write_text(yaml.safe_dump(dict(told), sort_keys=True), "utf-8")
    return path


def refusal(settings: TuneSettings, gpus: int) -> Invalid | None:
    """Why processes cannot be spread as the settings say."""
    spread = settings.spread
    if spread.launch == "one" and spread.processes > 1:
        return Invalid("several processes need a launcher", remedy="tune.spread.launch = 'accelerate' or 'ray'")
    if spread.rank >= spread.hosts:
        return Invalid(f"there is no machine {spread.rank} of {spread.hosts}", remedy="count tune.spread.rank from 0")
    if spread.processes % spread.hosts:
        return Invalid(
            f"{spread.processes} processes do not spread evenly over {spread.hosts} machines",
            remedy="set tune.spread.processes to those of all machines together",
        )
    if spread.sharding == "fsdp" and not gpus:
        return Invalid("FSDP shards over GPUs, and there is none here", remedy="tune.spread.sharding = 'ddp'")
    if gpus and spread.processes // spread.hosts > gpus:
        return Invalid(
            f"{spread.processes // spread.hosts} processes want a GPU each, and there are {gpus}",
            remedy=f"tune.spread.processes = {gpus * spread.hosts}",
        )
    return None


def command(job: Job, *, gpus: int) -> list[str]:
    """How the processes of this machine are started; the configuration lies beside the job.

    ``accelerate launch`` starts one process only where there is no GPU (accelerate 1.15, ``launch_command``), so there torchrun does it.
    """
    part = ["-m", "fireside.training.tune.run", str(job.place / JOB), "--part", "train"]
    if gpus:
        launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(job.place / CONFIGURATION)]
        return [*launch, *part]
    spread = job.settings.spread
    return [
        *(
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nnodes",
            str(spread.hosts),
            "--node-rank",
            str(spread.rank),
        ),
        *("--nproc-per-node", str(spread.processes // spread.hosts), "--master-addr", spread.address),
        *("--master-port", str(_port(job.settings)), *part),
    ]


def spread_over(job: Job) -> dict[str, Any]:
    """Train in several processes and wait for them. Returns what process 0 counted. Raises what one of them complained of."""
    if job.settings.spread.launch == "ray":
        from fireside.training.tune.ray_train import train

        return train(job)
    from torch import cuda

    gpus = cuda.device_count() if cuda.is_available() else 0
    told = configuration(job.settings, gpus=gpus, autocast=job.autocast)
    write_configuration(job.place / CONFIGURATION, told)
    return listen(command(job, gpus=gpus), job)


def listen(arguments: list[str], job: Job) -> dict[str, Any]:
    """Run a command whose processes speak as ``jobs.say`` does, and hand on what they say."""
    counted: dict[str, Any] = {}
    wrong: Mapping[str, Any] | None = None
    # Each process gets its share of the cores, not all of them.
    threads = str(max(1, (os.cpu_count() or 1) // max(1, job.settings.spread.processes // job.settings.spread.hosts)))
    environment = {**os.environ, **OFFLINE, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        for line in child.stdout:
            told = _read(line)
            counted = told.get("counted", counted)
            wrong = wrong or told.get("error")
            if "done" in told:
                say(**told)
    if wrong is not None:
        raise complained(wrong)
    if child.returncode or not counted:
        raise Invalid(
            f"the processes of the training ended with {child.returncode}",
            remedy="see stderr.log in the stage's folder",
        )
    return counted


def _read(line: bytes) -> dict[str, Any]:
    """A line a process said; whatever else libraries print is no message of ours."""
    try:
        told = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}

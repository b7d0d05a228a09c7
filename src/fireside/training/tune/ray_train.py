"""The same training on a Ray cluster: Ray Train starts the processes, with gloo on processors and NCCL on GPUs.

The job's folder must be seen by every machine (a shared disk), as the trainer's checkpoints lie in it.
"""

import os
from typing import Any

import msgspec
import orjson

from fireside.core.errors import Invalid
from fireside.training.tune.jobs import OFFLINE, Job

COUNTED = ".counted.json"


def train(job: Job) -> dict[str, Any]:
    """Train in ``job.settings.spread.processes`` workers; returns what worker 0 counted. Raises ``Invalid``."""
    try:
        import ray
        import ray.exceptions
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer
    except ImportError as error:
        raise Invalid(
            f"Ray Train is not installed: {error}", remedy="pip install 'fireside[ray]' 'ray[train]'"
        ) from error
    from torch import cuda

    spread = job.settings.spread
    ray.init(
        address=spread.ray_address or None,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": dict(OFFLINE)},
        **({} if spread.ray_address else {"num_cpus": max(spread.processes + 1, os.cpu_count() or 1)}),
    )
    try:
        trainer = TorchTrainer(
            _worker,
            train_loop_config={"job": msgspec.json.encode(job).decode()},
            torch_config=TorchConfig(backend="nccl" if cuda.is_available() else "gloo"),
            scaling_config=ScalingConfig(num_workers=spread.processes, use_gpu=cuda.is_available()),
            run_config=RunConfig(storage_path=str(job.place.absolute() / ".ray"), name="tune"),
        )
        trainer.fit()
    except ray.exceptions.RayError as error:
        raise Invalid(
            f"the training on Ray failed: {str(error).strip().splitlines()[-1]}", remedy="see stderr.log"
        ) from error
    finally:
        ray.shutdown()
    told: dict[str, Any] = orjson.loads((job.place / COUNTED).read_bytes())
    return told


def _worker(told: dict[str, Any]) -> None:
    """One process: Ray has joined it with the others, and the trainer finds that out by itself."""
    from ray.train import get_context

    from fireside.training.tune import lora

    job = msgspec.json.decode(told["job"], type=Job)
    counted = lora.train(job, lora.Stop())
    # Ray keeps what workers report only beside a checkpoint of its own, and the trainer's are enough.
    if get_context().get_world_rank() == 0:
        (job.place / COUNTED).write_bytes(orjson.dumps(counted))

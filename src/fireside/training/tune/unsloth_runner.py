"""Run by the interpreter of Unsloth's own environment, as a plain script: ``python unsloth_runner.py JOB`` or ``--check``.

Imports nothing of Fireside, which is not installed there. Reads ``job.json`` and the packed rows, leaves ``adapter/`` beside them, and says
how far it is on stdout, one JSON object a line, as ``jobs.say`` does.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

NEEDED = ("base", "prepared", "folder", "seed", "settings")
SHAPE = (
    "rank",
    "alpha",
    "dropout",
    "targets",
    "rate",
    "epochs",
    "steps",
    "minutes",
    "batch",
    "accumulation",
    "bits",
    "mix",
)
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class Refused(Exception):
    """The job cannot be done, with the reason as its text."""


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        say(check())
        return 0
    try:
        if len(arguments) != 1:
            raise Refused("usage: unsloth_runner.py JOB")
        job = read(Path(arguments[0]))
        say({"counted": train(job)})
    except Refused as refused:
        say({"error": {"kind": "validation", "message": str(refused), "remedy": "see docs/training.md, Unsloth"}})
        return 1
    return 0


def say(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


def check() -> dict[str, Any]:
    """What this interpreter can: the version of Unsloth, and whether torch sees a GPU."""
    from importlib import metadata

    try:
        found = metadata.version("unsloth")
    except metadata.PackageNotFoundError:
        return {"unsloth": "", "cuda": False}
    try:
        import torch
    except ImportError as error:
        return {"unsloth": found, "cuda": False, "error": str(error)}
    return {"unsloth": found, "cuda": bool(torch.cuda.is_available())}


def read(path: Path) -> dict[str, Any]:
    """The job, checked. Raises ``Refused``."""
    try:
        job: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error
    missing = [name for name in NEEDED if not isinstance(job, dict) or name not in job]
    missing += [f"settings.{name}" for name in SHAPE if not missing and name not in job["settings"]]
    if missing:
        raise Refused(f"{path} lacks {', '.join(missing)}")
    if not Path(job["base"]).is_dir():
        raise Refused(f"Unsloth trains on the folder of a model, and {job['base']} is none")
    if not (Path(job["prepared"]) / "meta.json").is_file():
        raise Refused(f"{job['prepared']} holds no prepared rows")
    return job


def rows(job: dict[str, Any]) -> list[list[int]]:
    """The target's rows, and so much of other code as the mix says."""
    import random

    import numpy

    folder = Path(job["prepared"])
    meta = json.loads((folder / "meta.json").read_text("utf-8"))
    width = meta["context"] + 1

    def split(name: str) -> Any:
        place = folder / f"{name}.bin"
        return numpy.fromfile(place, meta["dtype"]).reshape(-1, width) if place.is_file() else numpy.empty((0, width))

    target, other = split("train"), split("other")
    if not len(target):
        raise Refused(f"{folder} holds no row to train on")
    share = job["settings"]["mix"]
    wanted = min(len(other), round(len(target) * share / (1 - share)))
    chosen = random.Random(job["seed"]).sample(range(len(other)), wanted)
    return [row.astype("int64").tolist() for row in (*target, *(other[number] for number in chosen))]


def train(job: dict[str, Any]) -> dict[str, Any]:
    """Load, train, save. What it needs is imported here: Unsloth must come before transformers."""
    os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "UNSLOTH_DISABLE_STATISTICS": "1"})
    from unsloth import FastLanguageModel  # type: ignore[import-not-found]

    settings = job["settings"]
    found = rows(job)
    model, tokenizer = FastLanguageModel.from_pretrained(
        model_name=job["base"],
        max_seq_length=len(found[0]),
        load_in_4bit=settings["bits"] == 4,
        load_in_8bit=settings["bits"] == 8,
        local_files_only=True,
    )
    targets = settings["targets"]
    model = FastLanguageModel.get_peft_model(
        model,
        r=settings["rank"],
        lora_alpha=settings["alpha"],
        lora_dropout=settings["dropout"],
        target_modules=list(PROJECTIONS) if targets == ["all-linear"] else targets,
        bias="none",
        use_gradient_checkpointing="unsloth" if settings.get("gradient_checkpointing") else False,
        random_state=job["seed"],
    )
    trainer = _trainer(job, model, tokenizer, found)
    trainer.train()
    trainer.save_model(str(Path(job["folder"]) / "adapter"))
    trainable = sum(one.numel() for one in model.parameters() if one.requires_grad)
    return {"steps": trainer.state.global_step, "trainable": trainable, "processes": 1, "backend": "unsloth"}


def _trainer(job: dict[str, Any], model: Any, tokenizer: Any, found: list[list[int]]) -> Any:
    import time

    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    settings = job["settings"]
    limit = settings["minutes"] * 60
    began = time.monotonic()

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            spent = time.monotonic() - began
            if limit and spent >= limit:
                control.should_training_stop = True
            say({"done": state.global_step, "total": state.max_steps, "unit": "steps", "note": "unsloth"})

    return SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"input_ids": found, "labels": found}),
        callbacks=[Watch()],
        args=SFTConfig(
            output_dir=str(Path(job["folder"]) / ".checkpoints"),
            max_steps=settings["steps"] or -1,
            num_train_epochs=settings["epochs"] or 1000,
            per_device_train_batch_size=settings["batch"],
            gradient_accumulation_steps=settings["accumulation"],
            learning_rate=settings["rate"],
            lr_scheduler_type="cosine",
            warmup_ratio=settings.get("warmup", 0.05),
            weight_decay=settings.get("weight_decay", 0.0),
            seed=job["seed"],
            logging_steps=10,
            save_strategy="no",
            report_to=[],
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

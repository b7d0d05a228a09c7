"""A base in memory, and an adapter over it. The only place where a tuning loads weights; nothing is ever fetched.

Knows transformers and PEFT.
"""

import shutil
from pathlib import Path
from typing import Any

from fireside.core.errors import FiresideError, Invalid, OutOfResources
from fireside.models.disk import disk_error
from fireside.training.tune.bases import look
from fireside.training.tune.jobs import UNPACKED, Job
from fireside.training.tune.unpack import unpack

LINEAR = ("all-linear",)
# As torch and safetensors say it: neither raises an error of the system's.
NO_SPACE = ("No space left on device", "os error 28", "failed writing file", "file write failed")


def folder_of(job: Job) -> Path:
    """The base as an HF folder: itself, or what its GGUF was unpacked to."""
    base = look(Path(job.base))
    if base.kind == "hf":
        return base.path
    return unpack(base.path, job.place / UNPACKED, Path(job.prepared) / "tokenizer", half=job.dtype == "bfloat16")


def forget_unpacked(job: Job) -> None:
    shutil.rmtree(job.place / UNPACKED, ignore_errors=True)


def tokenizer_of(job: Job) -> Any:
    """The tokenizer the rows were made with. Raises ``Invalid`` when it is not the base's."""
    from transformers import AutoTokenizer

    rows = AutoTokenizer.from_pretrained(str(Path(job.prepared) / "tokenizer"), local_files_only=True)
    base = look(Path(job.base))
    if base.kind == "hf" and (base.path / "tokenizer.json").is_file():
        own = AutoTokenizer.from_pretrained(str(base.path), local_files_only=True)
        if own.get_vocab() != rows.get_vocab():
            raise _other_tokenizer(base.path)
    if len(rows) > base.vocabulary:
        raise _other_tokenizer(base.path)
    return rows


def _other_tokenizer(path: Path) -> Invalid:
    return Invalid(
        f"the rows were not made with the tokenizer of {path.name}",
        remedy=f'set prepare.base = "{path}" and run the stage prepare again',
    )


def base_model(job: Job, *, packed: bool = True) -> Any:
    """The base alone, in ``job.dtype`` or in so many bits as the settings say; on the GPU where there is one."""
    import torch
    from transformers import AutoModelForCausalLM

    told: dict[str, Any] = {"dtype": getattr(torch, job.dtype), "local_files_only": True}
    if packed and job.settings.bits:
        told["quantization_config"] = _packing(job)
    try:
        model = AutoModelForCausalLM.from_pretrained(str(folder_of(job)), **told)
    except (OSError, ValueError, KeyError) as error:
        raise Invalid(
            f"the base {job.base} cannot be loaded: {_line(error)}", remedy="copy the model again, or name another base"
        ) from error
    if torch.cuda.is_available() and not job.settings.bits:
        model = model.to("cuda")
    return model


def adapted(job: Job, adapter: Path) -> Any:
    """The base with an adapter over it."""
    from peft import PeftModel

    return PeftModel.from_pretrained(base_model(job), str(adapter), local_files_only=True)


def scale(model: Any, share: float) -> None:
    """Lay the adapter over the base with ``share`` of its trained strength."""
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer):
            for name in module.scaling:
                module.set_scale(name, share)


def lora(job: Job) -> Any:
    """The shape of the adapter."""
    from peft import LoraConfig

    settings = job.settings
    targets = settings.targets[0] if settings.targets == LINEAR else list(settings.targets)
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        bias="none",
        task_type="CAUSAL_LM",
    )


def _packing(job: Job) -> Any:
    """nf4 with doubly quantised constants (arXiv 2305.14314), or LLM.int8 (arXiv 2208.07339)."""
    import torch
    from transformers import BitsAndBytesConfig

    if job.settings.bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if job.autocast else torch.float32,
    )


def fault(error: Exception) -> FiresideError:
    """What went wrong while training, in words."""
    if isinstance(error, FiresideError):
        return error
    text = _line(error)
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text.lower():
        return OutOfResources(
            "memory ran out while training",
            remedy="a smaller tune.batch, tune.gradient_checkpointing = true, tune.bits = 4, or a shorter prepare.context",
        )
    if isinstance(error, OSError) and error.errno:
        return disk_error(error, "the training")
    if any(words in str(error) for words in NO_SPACE):
        return OutOfResources(
            "the disk became full while training", remedy="free some space and run it again: it goes on"
        )
    return Invalid(f"the training failed: {text}", remedy="see stderr.log in the stage's folder")


def _line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__

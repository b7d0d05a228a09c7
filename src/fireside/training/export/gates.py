"""Whether a GGUF is the model it was made of: its logits, what it says greedily, how it cuts text, and what quantizing cost.

The limits are those of the figures in docs/training.md. A file that does not hold them is not shipped.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fireside.core.errors import FiresideError, Invalid
from fireside.models.gguf import read_header
from fireside.training.export import forward
from fireside.training.stages import Facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy

# Tabs, digits, what is not ASCII, runs of blanks, line ends of both kinds: where tokenizers differ.
TEXTS = (
    "def main(argv):\n\tfor number in range(1234567):\n\t\tprint(number, 'größer als 3 €', \"naïve\")\n",
    "import os\n\n\nclass Cache:\n    def __init__(self, size: int = 128) -> None:\n        self.size",
    "    return {key: value for key, value in self.items() if value}  # 日本語, emoji 🙂\r\n\r\n",
)
NEW = 40
# Largest difference of a logit, by the type of the weights; BF16 rounds what goes through the model too, so it is only told.
DIFFERENCES: Mapping[str, float] = {"F32": 0.01, "F16": 0.05}
# How much worse the perplexity of a kind may be than its source's.
COSTS: Mapping[str, float] = {"Q8_0": 0.001, "Q6_K": 0.005, "Q5_K_M": 0.01, "Q4_K_M": 0.02}
Choice = Literal["auto", "yes", "no"]


@dataclass(frozen=True, slots=True)
class Parity:
    """``difference``: the largest of a logit. ``equal``: greedy tokens that are the same, of ``new``, for each prompt.

    ``ties``: prompts that went another way where the best two were nearer than twice the limit: chance, no fault.
    """

    difference: float
    equal: tuple[int, ...]
    ties: int
    tokens_equal: bool
    limit: float | None

    def refusal(self, name: str) -> FiresideError | None:
        """Why the file is not what it was made of, or ``None``."""
        remedy = "this is a fault of the export: report it with the model's config.json"
        if not self.tokens_equal:
            return Invalid(f"{name} cuts text otherwise than the model it was made of", remedy=remedy)
        if self.limit is None:
            return None
        if not self.difference < self.limit:
            return Invalid(
                f"{name} answers otherwise than the model it was made of: logits differ by {self.difference:.3g}, {self.limit} is allowed",
                remedy=remedy,
            )
        if sum(count < NEW for count in self.equal) > self.ties:
            return Invalid(f"{name} says other words than the model it was made of", remedy=remedy)
        return None

    def facts(self) -> Facts:
        return {
            "logit_difference": round(self.difference, 6),
            "greedy": " ".join(f"{count}/{NEW}" for count in self.equal) + (f", {self.ties} ties" if self.ties else ""),
            "tokens_equal": self.tokens_equal,
        }


def wanted(choice: Choice) -> str:
    """Empty when the file is to be held against transformers; else why not. Raises ``Invalid`` when it must be and cannot."""
    missing = [name for name in ("torch", "transformers", "tokenizers") if find_spec(name) is None]
    if choice == "no":
        return "switched off"
    if missing and choice == "yes":
        raise Invalid(f"the gates need {', '.join(missing)}", remedy="pip install 'fireside[train]'")
    return f"{', '.join(missing)} not installed" if missing else ""


def parity(folder: Path, file: Path, kind: str, *, adapter: Path | None = None, laid: Path | None = None) -> Parity:
    """Hold ``file`` (with the adapter GGUF ``laid`` over it) against the checkpoint in ``folder`` (with PEFT's ``adapter``)."""
    from tokenizers import Tokenizer

    cutter = Tokenizer.from_file(str(folder / "tokenizer.json"))
    cutter.no_truncation()
    cut = [cutter.encode(text, add_special_tokens=False).ids for text in TEXTS]
    context = read_header(file).number(f"{read_header(file).architecture}.context_length") or forward.BATCH
    prompts = [ids[: max(1, min(context, forward.BATCH) - NEW)] for ids in cut]
    scores, said = _reference(folder, adapter, prompts, NEW)
    ours = forward.logits(file, prompts, adapter=laid)
    limit = DIFFERENCES.get(kind)
    spoken = forward.greedy(file, prompts, NEW, adapter=laid)
    equal = tuple(_same(mine, theirs) for mine, (theirs, _) in zip(spoken, said, strict=True))
    ties = sum(
        count < NEW and _near(margins[count], mine[count], 2 * (limit or 0))
        for count, mine, (_, margins) in zip(equal, spoken, said, strict=True)
    )
    return Parity(
        difference=max(float(abs(mine - theirs).max()) for mine, theirs in zip(ours, scores, strict=True)),
        equal=equal,
        ties=ties,
        tokens_equal=forward.tokens(file, TEXTS) == cut,
        limit=limit,
    )


def laid_refusal(base: Path, adapter: Path) -> FiresideError | None:
    """Why llama.cpp does not lay ``adapter`` over ``base``, or ``None``: what can be said without a checkpoint."""
    ids = forward.tokens(base, TEXTS[:1])
    try:
        forward.logits(base, ids, adapter=adapter)
    except FiresideError as error:
        return error
    return None


def perplexity(file: Path, sequences: Sequence[Sequence[int]], ignored: frozenset[int] = frozenset()) -> float:
    """exp of the mean nats a token costs; ``ignored``: tokens that are not scored (padding, control tokens)."""
    total = count = 0.0
    for sequence, costs in zip(sequences, forward.losses(file, sequences), strict=True):
        scored = [float(cost) for token, cost in zip(sequence[1:], costs, strict=True) if token not in ignored]
        total += sum(scored)
        count += len(scored)
    if not count:
        raise Invalid("there is no text to measure the perplexity on", remedy="collect more, or: quantize.gates = 'no'")
    return math.exp(total / count)


def cost_refusal(kind: str, name: str, before: float, after: float) -> FiresideError | None:
    """Why a quantized file is not good enough, or ``None``."""
    cost = after / before - 1
    if cost <= COSTS[kind]:
        return None
    return Invalid(
        f"{name} has a perplexity {cost:.2%} above its source's; {COSTS[kind]:.1%} is allowed for {kind}",
        remedy=f"leave {kind} out of quantize.kinds, or take it as it is: quantize.gates = 'no'",
    )


def _same(mine: Sequence[int], theirs: Sequence[int]) -> int:
    return next((place for place, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b), len(mine))


def _near(scores: "numpy.ndarray", token: int, margin: float) -> bool:
    return bool(scores.max() - scores[token] < margin)


def _reference(
    folder: Path, adapter: Path | None, prompts: Sequence[Sequence[int]], new: int
) -> "tuple[list[numpy.ndarray], list[tuple[list[int], list[numpy.ndarray]]]]":
    """What transformers says: the logits of each prompt; its greedy tokens, and the scores each was chosen from."""
    import torch

    model = _loaded(folder, adapter)
    scores, said = [], []
    with torch.no_grad(), _one_way():
        for prompt in prompts:
            ids = list(prompt)
            found = model(torch.tensor([ids])).logits[0].float().numpy()
            scores.append(found)
            chosen, margins = [], []
            for _ in range(new):
                margins.append(found[-1])
                chosen.append(int(found[-1].argmax()))
                found = model(torch.tensor([ids + chosen])).logits[0].float().numpy()
            said.append((chosen, margins))
    return scores, said


@contextmanager
def _one_way() -> "Iterator[None]":
    """Plain attention: what CPUs' fused kernels save here is nothing, and they round otherwise."""
    import torch

    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        yield


def _loaded(folder: Path, adapter: Path | None) -> Any:
    """The checkpoint in float32; with an adapter, merged into it."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    # bitsandbytes, which PEFT loads, misses a faster kernel that only a model hub has.
    getLogger("bitsandbytes").setLevel("ERROR")
    try:
        model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32, local_files_only=True)
        if adapter is not None:
            from peft import PeftModel

            # PEFT asks transformers for names that will change; that is no matter of the user's.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                model = PeftModel.from_pretrained(model, str(adapter), local_files_only=True).merge_and_unload()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise Invalid(
            f"transformers cannot load {folder}: {str(error).splitlines()[0]}", remedy="export.gates = 'no'"
        ) from error
    return model.eval()

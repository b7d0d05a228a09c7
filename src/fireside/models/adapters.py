"""LoRA adapters as GGUF: whether a file is one, and whether it fits the model it is to be laid over.

llama.cpp refuses an adapter for another model only when it loads both, and by then somebody waits for an answer. Reads headers.
"""

from collections.abc import Iterator
from pathlib import Path

from fireside.core.errors import Invalid
from fireside.models.header import Header, printable, read_header
from fireside.models.soundness import verify

ENDINGS = (".lora_a", ".lora_b")


def is_adapter(header: Header) -> bool:
    return header.text("general.type") == "adapter" and header.text("adapter.type") == "lora"


def check_adapter(file: Path, base: Path) -> Header:
    """The header of an adapter that fits ``base``. Raises ``Invalid`` saying what is wrong with either."""
    ground = read_header(base)
    verify(ground)
    header = read_header(file)
    if not is_adapter(header):
        raise Invalid(f"{printable(file.name)} is no LoRA adapter", remedy="add a model with: fireside models add FILE")
    if header.architecture != ground.architecture:
        raise Invalid(
            f"{printable(file.name)} is for {printable(header.architecture)}, and its base is {ground.architecture}",
            remedy="name the model it was trained on",
        )
    for problem in problems(header, ground):
        raise Invalid(f"{printable(file.name)} {problem}", remedy="name the model it was trained on")
    return header


def problems(header: Header, ground: Header) -> Iterator[str]:
    """Why the adapter cannot be laid over this model, a line each."""
    shapes = {tensor.name: tensor.shape for tensor in ground.tensors}
    parts = {tensor.name: tensor.shape for tensor in header.tensors}
    alpha = header.metadata.get("adapter.lora.alpha")
    if not isinstance(alpha, int | float) or not alpha > 0:
        yield "does not say its alpha"
    if not parts:
        yield "is empty"
    for name, shape in parts.items():
        stem, ending = name[:-7], name[-7:]
        if ending not in ENDINGS or stem + ENDINGS[1 - ENDINGS.index(ending)] not in parts:
            yield f"has {printable(name)}, which is no half of a pair"
        elif stem not in shapes:
            yield f"changes {printable(stem)}, which the base has not"
        elif len(shape) != 2 or shape[ENDINGS.index(ending)] != shapes[stem][ENDINGS.index(ending)]:
            yield f"changes {printable(stem)} of another size: it was trained on another base"

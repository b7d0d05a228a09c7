"""The stage ``pretrain``: a model from nothing. Knows what it will need; how it is done is ``loop``'s matter."""

from collections.abc import Mapping

from fireside.core.errors import FiresideError, Invalid, OutOfResources
from fireside.core.values import replace
from fireside.models.disk import in_words
from fireside.training.prepare import packed
from fireside.training.pretrain import launch
from fireside.training.pretrain.decoder import Shape, shape_of
from fireside.training.pretrain.loop import Job, train
from fireside.training.pretrain.machine import at_once, chosen, sequence_bytes, speed, weights_bytes
from fireside.training.pretrain.settings import PretrainSettings
from fireside.training.stages import Desk, Facts, Hardware, Plan

# What a process weighs that has loaded torch; with CUDA, what the driver takes.
LOADED = 600 << 20
SMOKE_STEPS = 20
# Until ``prepare`` is done nobody knows them.
VOCABULARY, CONTEXT = 8192, 1024
# Row lengths that llama.cpp's K-quants need.
BLOCK = 256


class Pretrain:
    """``settings``: see there."""

    name = "pretrain"
    needs: tuple[str, ...] = ("prepare",)

    def __init__(self, settings: PretrainSettings) -> None:
        self.settings = settings

    def sources(self) -> Mapping[str, str]:
        return {}

    def plan(self, desk: Desk, hardware: Hardware) -> Plan:
        settings = smallest(self.settings, CONTEXT) if desk.smoke else self.settings
        vocabulary, context, notes = VOCABULARY, CONTEXT, []
        if desk.has("prepare"):
            told = packed.meta(desk.of("prepare"))
            vocabulary, context = told.vocabulary, told.context
        else:
            notes.append(f"estimated for {VOCABULARY} tokens and rows of {CONTEXT}: the stage prepare is not done")
        refusals: list[FiresideError] = list(flaws(settings, vocabulary, context))
        if refusals:
            return Plan(self.name, refusals=tuple(refusals))
        shape = shape_of(settings, vocabulary, context)
        memory = self._memory(shape, settings, hardware)
        room = min(hardware.gpus) if hardware.gpus else hardware.memory
        disk = 12 * shape.parameters * 2 + 4 * shape.parameters
        refusals += _too_large(memory, room, disk, hardware.disk)
        seconds, tokens = _length(settings, shape, hardware)
        notes.append(
            f"{shape.parameters / 1e6:.1f}M parameters, about {tokens / 1e6:,.1f}M tokens, {tokens / shape.parameters:.1f} each"
        )
        if shape.width % BLOCK or shape.ff % BLOCK:
            notes.append("width and ff are no multiples of 256: Q4_K_M, Q5_K_M and Q6_K will fall back to larger types")
        return Plan(self.name, seconds, memory, disk, tuple(notes), tuple(refusals))

    def run(self, desk: Desk) -> Facts:
        prepared = desk.of("prepare")
        told = packed.meta(prepared)
        settings = smallest(self.settings, told.context) if desk.smoke else self.settings
        for flaw in flaws(settings, told.vocabulary, told.context):
            raise flaw
        job = Job(
            settings=settings, prepared=str(prepared), folder=str(desk.folder), seed=desk.seed, resumed=desk.resumed
        )
        return train(job, desk.step) if settings.processes == 1 else launch.spread(job, settings.processes, desk.step)

    def _memory(self, shape: Shape, settings: PretrainSettings, hardware: Hardware) -> int:
        gpu = bool(hardware.gpus)
        bf16 = chosen(settings.bf16, gpu or hardware.bf16)
        room = min(hardware.gpus) if gpu else hardware.memory // settings.processes
        micro = at_once(shape, settings, room, gpu=gpu, bf16=bf16, world=settings.processes)
        each = LOADED + weights_bytes(shape) + micro * sequence_bytes(shape, bf16=bf16)
        return each if gpu else each * settings.processes


def smallest(settings: PretrainSettings, context: int) -> PretrainSettings:
    """The same in small, for ``--smoke``: twenty steps of two layers."""
    small = replace(settings, depth=0, width=256, layers=2, heads=4, kv_heads=2, ff=256, batch=4, micro=0, compile="no")
    return replace(small, minutes=0, tokens=SMOKE_STEPS * small.batch * context, processes=1)


def flaws(settings: PretrainSettings, vocabulary: int, context: int) -> list[Invalid]:
    """What is wrong with the settings, whatever the machine."""
    found = []
    if not settings.minutes and not settings.tokens:
        found.append(Invalid("the training has no end", remedy="set pretrain.minutes or pretrain.tokens"))
    if settings.batch % settings.processes:
        found.append(
            Invalid(
                f"a batch of {settings.batch} cannot be shared evenly by {settings.processes} processes",
                remedy="make pretrain.batch a multiple of pretrain.processes",
            )
        )
    shape = shape_of(settings, vocabulary, context)
    if shape.width % shape.heads or shape.heads % shape.kv_heads or shape.width // shape.heads % 2:
        found.append(
            Invalid(
                f"width {shape.width}, heads {shape.heads} and kv_heads {shape.kv_heads} do not divide each other",
                remedy="width must be an even multiple of heads, heads a multiple of kv_heads; or set pretrain.depth alone",
            )
        )
    return found


def _too_large(memory: int, room: int, disk: int, free: int) -> list[FiresideError]:
    found: list[FiresideError] = []
    if memory > room:
        found.append(
            OutOfResources(
                f"the training needs about {in_words(memory)} of memory, and {in_words(room)} are free",
                remedy="lower pretrain.depth, prepare.context or prepare.vocabulary; pretrain.micro 1 needs least",
            )
        )
    if disk > free:
        found.append(
            OutOfResources(
                f"model and checkpoint need {in_words(disk)} of disk, and {in_words(free)} are free",
                remedy="free some space, or work elsewhere: --work DIR",
            )
        )
    return found


def _length(settings: PretrainSettings, shape: Shape, hardware: Hardware) -> tuple[float, float]:
    """Seconds, and tokens learnt in them."""
    bf16 = chosen(settings.bf16, bool(hardware.gpus) or hardware.bf16)
    pace = speed(shape, cores=hardware.cores, gpus=min(len(hardware.gpus), settings.processes), bf16=bf16)
    seconds = min(settings.minutes * 60 or float("inf"), settings.tokens / pace if settings.tokens else float("inf"))
    return seconds, seconds * pace

"""The stage ``tune``: an adapter for a model that is there. Reads ``prepare``; leaves ``adapter/``, ``base.json`` and ``log.jsonl``.

Starts the process that does the work, draws how far it is, and turns every way it can end into a result or one error.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from fireside.core.errors import FiresideError, Invalid, OutOfResources
from fireside.core.values import replace
from fireside.models.disk import in_words, write_atomically
from fireside.training import hardware as machine
from fireside.training.prepare.packed import META, meta
from fireside.training.stages import Desk, Facts, Hardware, Plan, file_digest
from fireside.training.tune import bases, distributed, estimate, jobs, unsloth
from fireside.training.tune.settings import TuneSettings
from fireside.training.tune.texts import mixed_rows
from fireside.training.tune.weights import NO_SPACE

BASE = "base.json"
ERRORS = "stderr.log"
SMOKE_STEPS = 4
SMOKE_ROWS = 8
STOPPED = 130
# What a run that is done need not keep.
LEFTOVERS = (
    jobs.JOB,
    jobs.CHECKPOINTS,
    jobs.UNPACKED,
    ".before.json",
    ".ray",
    distributed.CONFIGURATION,
    unsloth.JOB_FOR_IT,
    ERRORS,
)


class Tune:
    """``settings.base`` empty: the model that the stage ``pretrain`` of the same run left."""

    name = "tune"
    needs: tuple[str, ...] = ("prepare", "pretrain")

    def __init__(self, settings: TuneSettings) -> None:
        self.settings = settings

    def sources(self) -> Mapping[str, str]:
        if not self.settings.base:
            return {}
        path = Path(self.settings.base).expanduser()
        return {"base": bases.look(path).digest if path.exists() else "missing"}

    def plan(self, desk: Desk, hardware: Hardware) -> Plan:
        settings = chosen(self.settings, smoke=desk.smoke)
        refusals = [
            one
            for one in (
                distributed.refusal(settings, len(hardware.gpus)),
                unsloth.refusal(settings, len(hardware.gpus)) if settings.backend == "unsloth" else None,
                bases.refusal(self._base(desk)) if self._known(desk) else None,
            )
            if one is not None
        ]
        if refusals or not self._known(desk):
            note = "the base is what pretrain will leave" if not self._known(desk) else ""
            return Plan(self.name, notes=(note,) if note else (), refusals=tuple(refusals))
        base = bases.look(self._base(desk))
        context, rows = self._rows(desk, settings)
        found = estimate.need(base, settings, hardware, context=context, rows=rows)
        too_much = estimate.refusal(found, base, settings, hardware) or _too_long(context, base)
        return Plan(
            self.name,
            seconds=found.seconds,
            memory=found.memory,
            disk=found.disk,
            notes=_notes(base, settings, found, hardware),
            refusals=(too_much,) if too_much else (),
        )

    def run(self, desk: Desk) -> Facts:
        settings = chosen(self.settings, smoke=desk.smoke)
        base = bases.look(self._base(desk))
        here = machine.look(desk.work)
        for refusal in self.plan(desk, here).refusals:
            raise refusal
        job = jobs.Job(
            base=str(base.path.absolute()),
            prepared=str(desk.of("prepare").absolute()),
            folder=str(desk.folder.absolute()),
            seed=desk.seed,
            settings=settings,
            dtype=estimate.dtype(base, here),
            autocast=estimate.autocast(settings, here),
            resume=desk.resumed,
        )
        jobs.write(job)
        facts = _worked(job, desk)
        told = _identity(base)
        write_atomically(desk.folder / BASE, orjson.dumps(told, option=orjson.OPT_INDENT_2))
        tidy(desk.folder / jobs.ADAPTER, str(base.path.absolute()))
        for name in LEFTOVERS:
            _remove(desk.folder / name)
        return {"base": told, "backend": settings.backend, "bits": settings.bits, "rank": settings.rank, **facts}

    def _known(self, desk: Desk) -> bool:
        return bool(self.settings.base) or desk.has("pretrain")

    def _base(self, desk: Desk) -> Path:
        if self.settings.base:
            return Path(self.settings.base).expanduser()
        if not desk.has("pretrain"):
            raise Invalid(
                "no base is named, and this run has trained none",
                remedy="set tune.base to the folder or GGUF of a model, or run the stage pretrain first",
            )
        return desk.of("pretrain") / "model"

    def _rows(self, desk: Desk, settings: TuneSettings) -> tuple[int, int]:
        """Context, and rows of an epoch with the mix; what can be said before ``prepare`` has run."""
        if not (desk.has("prepare") and (desk.work / "prepare" / META).is_file()):
            return min(1024, bases.look(self._base(desk)).context), 500
        told = meta(desk.of("prepare"))
        counts = {name: split.rows for name, split in told.splits.items()}
        own = counts.get("train", 0)
        return told.context, own + mixed_rows(own, counts.get("other", 0), settings.mix)


def chosen(settings: TuneSettings, *, smoke: bool) -> TuneSettings:
    """The settings, or the smallest run that does everything they ask for."""
    if not smoke:
        return settings
    return replace(
        settings, steps=SMOKE_STEPS, minutes=0.0, batch=min(2, settings.batch), accumulation=1, measured=SMOKE_ROWS
    )


def _notes(base: bases.Base, settings: TuneSettings, found: estimate.Need, hardware: Hardware) -> tuple[str, ...]:
    how = f"QLoRA, {settings.bits} bits" if settings.bits else "LoRA"
    where = f"{len(hardware.gpus)} GPUs" if hardware.gpus else f"{hardware.cores} cores"
    spread = settings.spread
    lines = [
        f"{how}, rank {settings.rank}, over {base.path.name} ({base.architecture}, {base.parameters / 1e6:.1f}M parameters)",
        f"{found.trainable / 1e6:.2f}M parameters are trained on {where} with {settings.backend}",
        f"memory: weights {in_words(found.weights)}, trained {in_words(found.trained)}, activations {in_words(found.activations)}",
    ]
    if spread.launch != "one":
        lines.append(f"{spread.processes} processes on {spread.hosts} machines by {spread.launch}, {spread.sharding}")
    return tuple(lines)


def _too_long(context: int, base: bases.Base) -> FiresideError | None:
    if context <= base.context:
        return None
    return Invalid(
        f"the rows are {context} tokens long, and {base.path.name} reads {base.context}",
        remedy=f"prepare.context = {base.context}",
    )


def _worked(job: jobs.Job, desk: Desk) -> Facts:
    """Run the child to its end; returns its facts. Ctrl-C is handed on, and waited for: the child writes its state first."""
    command = [sys.executable, "-m", "fireside.training.tune.run", str(job.place / jobs.JOB)]
    facts: Facts | None = None
    wrong: FiresideError | None = None
    with (job.place / ERRORS).open("ab") as errors:
        # A session of its own: Ctrl-C in a terminal reaches every process of the group, and would come twice.
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, **jobs.OFFLINE}, start_new_session=True
        )
        try:
            assert child.stdout is not None
            for line in child.stdout:
                told = _told(line)
                if "done" in told:
                    desk.step(told["done"], told["total"], told.get("unit", ""), told.get("note", ""))
                elif "note" in told:
                    desk.step(0, 0, "", told["note"])
                facts = told.get("facts", facts)
                wrong = jobs.complained(told["error"]) if "error" in told else wrong
            code = child.wait()
        except BaseException:
            _end(child)
            raise
        finally:
            child.stdout and child.stdout.close()
    if code == STOPPED:
        raise KeyboardInterrupt
    if wrong is not None:
        raise wrong
    if facts is None:
        raise _died(code, job.place / ERRORS)
    return facts


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Ask once, wait while it writes its state, and do not wait for ever."""
    _signal(child, signal.SIGINT)
    try:
        child.wait(timeout=60)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        _signal(child, signal.SIGKILL)
        child.wait()


def _signal(child: "subprocess.Popen[bytes]", number: int) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return


def _died(code: int, errors: Path) -> FiresideError:
    if code == -signal.SIGKILL:
        return OutOfResources(
            "the training was killed, most likely because memory ran out",
            remedy="a smaller tune.batch, tune.gradient_checkpointing = true, tune.bits = 4; run it again: it goes on",
        )
    lines = errors.read_text("utf-8", "replace").strip().splitlines() if errors.is_file() else []
    if any(words in line for line in lines[-1:] for words in NO_SPACE):
        return OutOfResources(
            "the disk became full while training", remedy="free some space and run it again: it goes on"
        )
    return Invalid(f"the training ended with {code}: {lines[-1] if lines else 'no word'}", remedy=f"see {errors}")


def _told(line: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}


def _identity(base: bases.Base) -> dict[str, Any]:
    """``blake2b``: of the weights' first file; an adapter belongs to these and no others."""
    file = base.path if base.kind == "gguf" else sorted(base.path.glob("*.safetensors"))[0]
    return {
        "path": str(base.path.absolute()),
        "kind": base.kind,
        "architecture": base.architecture,
        "parameters": base.parameters,
        "digest": base.digest,
        "blake2b": file_digest(file),
    }


def tidy(adapter: Path, base: str) -> None:
    """Leave what an adapter is; take out the trainer's pickled arguments and the text that PEFT writes for a hub."""
    for name in ("training_args.bin", "README.md"):
        _remove(adapter / name)
    place = adapter / "adapter_config.json"
    told = orjson.loads(place.read_bytes()) | {"base_model_name_or_path": base}
    write_atomically(place, orjson.dumps(told, option=orjson.OPT_INDENT_2))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

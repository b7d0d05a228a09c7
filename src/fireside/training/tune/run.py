"""A tuning in a process of its own: ``python -m fireside.training.tune.run JOB [--part train]``.

Measures the base, trains, measures again; every number goes to ``log.jsonl`` and, as it comes, to stdout. With several processes the
training alone is handed on (``distributed``), and comes back here as ``--part train`` in each of them. Ends with 0, with 130 when it was
stopped and can go on, or with 1 and a last line that says why not.
"""

import os
import sys
from pathlib import Path
from typing import Any

import orjson

from fireside.core.errors import FiresideError
from fireside.core.values import replace
from fireside.engines.child import die_with_parent
from fireside.training.tune import jobs, lora, measure, texts, unsloth, weights
from fireside.training.tune.distributed import listen, spread_over
from fireside.training.tune.jobs import ADAPTER, LOG, Job, say

STRENGTHS = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.1)
STOPPED = 130
BATCH = 8


def main(arguments: list[str]) -> int:
    os.environ.update(jobs.OFFLINE)
    try:
        job = jobs.read(Path(arguments[0]))
        if arguments[1:] == ["--part", "train"]:
            _part(job)
        else:
            die_with_parent(os.getppid())
            say(facts=whole(job))
    except KeyboardInterrupt:
        return STOPPED
    except (FiresideError, RuntimeError, MemoryError, ValueError, OSError) as error:
        say(error=jobs.complaint(weights.fault(error)))
        if not isinstance(error, FiresideError):
            import traceback

            traceback.print_exc()
        return 1
    return 0


def whole(job: Job) -> dict[str, Any]:
    """Before, training, after. What a stopped run has measured already is not measured again."""
    tokenizer = weights.tokenizer_of(job)
    found = texts.read(Path(job.prepared), measured=job.settings.measured)
    gauge = Gauge(job, found, measure.byte_lengths(tokenizer, found.vocabulary, found.special))
    before = gauge.kept("before")
    counted = _trained(job)
    after, strength, trained = gauge.after(before)
    weights.forget_unpacked(job)
    return {
        **counted,
        "strength": strength,
        "target_before": before["target"]["bits"],
        "target_after": after["target"]["bits"],
        "other_before": before["other"]["bits"],
        "other_after": after["other"]["bits"],
        "before": before,
        "after": after,
        "trained": trained,
        "target_change": round(measure.change(before["target"]["bits"], after["target"]["bits"]), 5),
        "other_change": round(measure.change(before["other"]["bits"], after["other"]["bits"]), 5),
        "context": found.context,
        "rows": {
            "target": len(found.target),
            "mixed": len(found.mixed),
            "held": len(found.held),
            "other": len(found.other),
        },
    }


class Gauge:
    """Scores of the same rows by a model, before and after; each a column in every report."""

    def __init__(self, job: Job, found: texts.Texts, lengths: Any) -> None:
        self._job, self._found, self._lengths = job, found, lengths

    def kept(self, when: str) -> dict[str, Any]:
        """The scores of the base, from the file a stopped run left or made now."""
        place = self._job.place / f".{when}.json"
        if self._job.resume and place.is_file():
            told: dict[str, Any] = orjson.loads(place.read_bytes())
            return told
        say(note="measuring the base")
        told = self._columns(weights.base_model(self._job))
        place.with_suffix(".part").write_bytes(orjson.dumps(told))
        os.replace(place.with_suffix(".part"), place)
        self._log(when, told)
        return told

    def after(self, before: dict[str, Any]) -> tuple[dict[str, Any], float, dict[str, Any]]:
        """The scores with the adapter at the strength that is kept, that strength, and the scores at full strength."""
        say(note="measuring the adapter")
        model = weights.adapted(self._job, self._job.place / ADAPTER)
        full = self._columns(model)
        strength = self._strength(model, before, full)
        told = full
        if strength < 1:
            told = self._columns(model, strength)
            weaken(self._job.place / ADAPTER, strength)
        self._log("after", {"strength": strength, **told})
        return told, strength, full

    def _strength(self, model: Any, before: dict[str, Any], full: dict[str, Any]) -> float:
        """The greatest strength at which other code gets worse by no more than the settings allow."""
        limit = self._job.settings.forgetting
        for strength in STRENGTHS:
            bits = (
                full["choosing"]["bits"]
                if strength == 1
                else self._columns(model, strength, ("choosing",))["choosing"]["bits"]
            )
            if not limit or measure.change(before["choosing"]["bits"], bits) <= limit:
                return strength
        return STRENGTHS[-1]

    def _columns(
        self, model: Any, strength: float = 1.0, names: tuple[str, ...] = ("target", "choosing", "other")
    ) -> dict[str, Any]:
        rows = {"target": self._found.held, "choosing": self._found.choosing, "other": self._found.other}
        if strength != 1:
            weights.scale(model, strength)
        batch = min(BATCH, max(1, self._job.settings.batch))
        return {
            name: measure.score(model, rows[name], self._lengths, batch=batch, pad=self._found.pad).as_dict()
            for name in names
        }

    def _log(self, when: str, told: dict[str, Any]) -> None:
        with (self._job.place / LOG).open("ab") as file:
            file.write(orjson.dumps({"measured": when, **told}) + b"\n")


def weaken(adapter: Path, strength: float) -> None:
    """Write the strength into the adapter itself, as its alpha: every program that lays it over a base then does so alike."""
    place = adapter / "adapter_config.json"
    told = orjson.loads(place.read_bytes())
    told["lora_alpha"] = told["lora_alpha"] * strength
    part = place.with_suffix(".part")
    part.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
    os.replace(part, place)


def _trained(job: Job) -> dict[str, Any]:
    stop = lora.Stop()
    with stop.listening():
        if job.settings.backend == "unsloth":
            return _unsloth(job)
        if job.settings.spread.launch == "one":
            return lora.train(job, stop)
        return spread_over(job)


def _unsloth(job: Job) -> dict[str, Any]:
    """Its interpreter gets a job of its own, with the base as a folder: it reads no GGUF."""
    folder = str(weights.folder_of(job).absolute())
    return listen(unsloth.command(job, jobs.write(replace(job, base=folder), unsloth.JOB_FOR_IT)), job)


def _part(job: Job) -> None:
    """One process of several."""
    stop = lora.Stop()
    with stop.listening():
        counted = lora.train(job, stop)
    if os.environ.get("RANK", "0") == "0":
        say(counted=counted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

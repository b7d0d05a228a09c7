"""The stage ``quantize``: the exported model in fewer bits, and what that costs on text the training never saw.

Leaves ``NAME-Q8_0.gguf`` and its like, and a ``Modelfile`` for the first of them. An adapter stays as it is; of its run, the base is made
smaller where the run has exported one.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from fireside.core.errors import FiresideError, Invalid, OutOfResources
from fireside.models import quantize
from fireside.models.disk import SPARE, in_words, write_atomically
from fireside.models.gguf import read_header
from fireside.models.native import library_path
from fireside.training.export import gates
from fireside.training.export.forward import BATCH
from fireside.training.export.ollama import how_to_push, modelfile
from fireside.training.export.settings import QuantizeSettings
from fireside.training.export.stage import ADAPTER, BASE, MODEL, MODELFILE
from fireside.training.prepare.packed import META, meta, open_split
from fireside.training.stages import Desk, Facts, Hardware, Plan
from fireside.training.tune.bases import digest

SMOKE_TOKENS = 2048
PACE = 8 << 20


class Quantize:
    name = "quantize"
    needs: tuple[str, ...] = ("export", "prepare")

    def __init__(self, settings: QuantizeSettings) -> None:
        self.settings = settings

    def sources(self) -> Mapping[str, str]:
        place = Path(self.settings.source).expanduser()
        return {"source": digest([place]) if place.is_file() else "missing"} if self.settings.source else {}

    def plan(self, desk: Desk, hardware: Hardware) -> Plan:
        try:
            library_path()
            source = self._source(desk) if self.settings.source or desk.has("export") else None
            sizes = [quantize.estimate(quantize.check(source, kind), kind) for kind in self.settings.kinds if source]
        except FiresideError as error:
            return Plan(self.name, refusals=(error,))
        if source is None:
            return Plan(self.name, notes=(", ".join(self.settings.kinds),))
        size = sum(sizes)
        lines = [f"{kind}: {in_words(one)}" for kind, one in zip(self.settings.kinds, sizes, strict=True)]
        for kind in self.settings.kinds:
            lines += quantize.fallbacks(read_header(source), kind)
        return Plan(
            self.name,
            seconds=len(sizes) * (1 + source.stat().st_size / PACE),
            memory=(200 << 20) + 4 * max(one.elements for one in read_header(source).tensors) * 2,
            disk=size,
            notes=tuple(dict.fromkeys(lines)),
            refusals=(_too_much(size, hardware.disk),) if size + SPARE > hardware.disk else (),
        )

    def run(self, desk: Desk) -> Facts:
        source = self._source(desk)
        if source is None:
            return {"files": {}, "note": "an adapter over a GGUF: nothing to quantize"}
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", str(self._exported(desk).get("name") or source.stem))
        text, ignored, why_not = self._text(desk)
        before = gates.perplexity(source, text, ignored) if text else 0.0
        facts: Facts = {"source_perplexity": round(before, 4)} if text else {}
        files: dict[str, Facts] = {}
        for kind in self.settings.kinds:
            target = desk.folder / f"{stem}-{kind}.gguf"
            files[target.name] = self._one(desk, source, target, kind, (before, text, ignored))
            facts |= {f"{kind}_bytes": files[target.name]["bytes"]}
            facts |= {f"{kind}_cost": files[target.name]["cost"]} if text else {}
        self._modelfile(desk, desk.folder / next(iter(files)))
        outcome = {"gates": f"not checked: {why_not}" if why_not else "passed", "for_ollama": how_to_push(stem)}
        return facts | {"files": files} | outcome

    def _one(
        self,
        desk: Desk,
        source: Path,
        target: Path,
        kind: str,
        measure: tuple[float, list[list[int]], frozenset[int]],
    ) -> Facts:
        """One file, and what it costs."""

        def tell(done: int, total: int) -> None:
            desk.step(done, total, "tensors", target.name)

        made = quantize.quantize(source, target, kind, progress=tell)
        told: Facts = {"kind": kind, "bytes": made.size, "types": dict(made.types), "fallbacks": list(made.fallbacks)}
        before, text, ignored = measure
        if not text:
            return told
        desk.step(0, 0, "", f"perplexity of {target.name}")
        after = gates.perplexity(target, text, ignored)
        refusal = gates.cost_refusal(kind, target.name, before, after)
        if refusal is not None:
            target.unlink(missing_ok=True)
            raise refusal
        return told | {"perplexity": round(after, 4), "cost": round(after / before - 1, 6)}

    def _source(self, desk: Desk) -> Path | None:
        """What is made smaller; ``None`` when the run's adapter lies over a GGUF that somebody else made. Raises ``Invalid``."""
        if self.settings.source:
            place = Path(self.settings.source).expanduser()
            if not place.is_file():
                raise Invalid(f"{place} is not there", remedy="name a GGUF in quantize.source")
            return place
        exported = desk.of("export")
        return next((exported / name for name in (MODEL, BASE) if (exported / name).is_file()), None)

    def _exported(self, desk: Desk) -> Facts:
        return {} if self.settings.source or not desk.has("export") else desk.facts("export")

    def _text(self, desk: Desk) -> tuple[list[list[int]], frozenset[int], str]:
        """Held-out tokens in pieces, tokens that are not scored, and why there are none. Raises ``Invalid`` when there must be some."""
        if self.settings.gates == "no":
            return [], frozenset(), "switched off"
        there = not self.settings.source and desk.has("prepare") and (desk.work / "prepare" / META).is_file()
        pieces = _held_out(desk, SMOKE_TOKENS if desk.smoke else self.settings.tokens) if there else []
        if pieces:
            told = meta(desk.of("prepare"))
            return pieces, frozenset([*told.special, told.pad]), ""
        why_not = "the run has no held-out text"
        if self.settings.gates == "yes":
            raise Invalid(
                f"the gates need text the training never saw: {why_not}", remedy="run the stage prepare first"
            )
        return [], frozenset(), why_not

    def _modelfile(self, desk: Desk, model: Path) -> None:
        adapter = None if self.settings.source else desk.work / "export" / ADAPTER
        laid = adapter if adapter is not None and adapter.is_file() else None
        write_atomically(desk.folder / MODELFILE, modelfile(model, folder=desk.folder, adapter=laid).encode())


def _held_out(desk: Desk, wanted: int) -> list[list[int]]:
    """At least one piece, at most about ``wanted`` tokens of the held-out rows."""
    rows = open_split(desk.of("prepare"), "held")
    pieces: list[list[int]] = []
    count = 0
    for row in rows:
        for start in range(0, len(row) - 1, BATCH):
            piece = [int(token) for token in row[start : start + BATCH]]
            if len(piece) > 1 and count < wanted:
                pieces.append(piece)
                count += len(piece)
    return pieces


def _too_much(size: int, free: int) -> FiresideError:
    return OutOfResources(
        f"the files need {in_words(size)}, and {in_words(free)} are free", remedy="free some space, or name fewer kinds"
    )

"""The stage ``export``: the run's model or adapter as GGUF, with the proof that it answers as the checkpoint does.

Leaves ``model.gguf``; or ``adapter.gguf``, and ``base.gguf`` where the base was a folder; and a ``Modelfile`` for Ollama.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from fireside.core.errors import FiresideError, Invalid, OutOfResources
from fireside.models.disk import SPARE, in_words, write_atomically
from fireside.models.gguf_writer import Value
from fireside.training.export import gates
from fireside.training.export.adapter import CONFIG, target_of, write_adapter
from fireside.training.export.architectures import sizes
from fireside.training.export.checkpoint import Checkpoint, read, read_json
from fireside.training.export.model import write_model
from fireside.training.export.ollama import how_to_push, modelfile
from fireside.training.export.settings import ExportSettings
from fireside.training.stages import Desk, Facts, Hardware, Plan
from fireside.training.tune.bases import digest

MODEL, ADAPTER, BASE, MODELFILE = "model.gguf", "adapter.gguf", "base.gguf", "Modelfile"
# Bytes a second that are read, turned and written, on a slow disk.
PACE = 50 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """What is exported. ``adapter``: a PEFT folder, laid over ``base``; without one, ``base`` is the model itself."""

    base: Path
    adapter: Path | None = None


class Export:
    name = "export"
    needs: tuple[str, ...] = ("pretrain", "tune")

    def __init__(self, settings: ExportSettings) -> None:
        self.settings = settings

    def sources(self) -> Mapping[str, str]:
        named = {"source": self.settings.source, "base": self.settings.base}
        return {key: _digest(Path(place).expanduser()) for key, place in named.items() if place}

    def plan(self, desk: Desk, hardware: Hardware) -> Plan:
        try:
            why_not = gates.wanted(self.settings.gates)
            source = self._source(desk) if self._known(desk) else None
            found = read(source.base) if source is not None and source.base.is_dir() else None
            if found is not None:
                sizes(found)
        except FiresideError as error:
            return Plan(self.name, refusals=(error,))
        note = f"not held against transformers: {why_not}" if why_not else "held against transformers"
        if found is None:
            return Plan(self.name, notes=(note,))
        size = self._size(found)
        too_much = _too_much(size, hardware)
        return Plan(
            self.name,
            seconds=size / PACE + (0 if why_not else 15),
            memory=(512 << 20) if why_not else 4 * _parameters(found) + (1 << 30),
            disk=size,
            notes=(f"{found.folder} as GGUF, {in_words(size)}", note),
            refusals=(too_much,) if too_much else (),
        )

    def run(self, desk: Desk) -> Facts:
        source = self._source(desk)
        why_not = gates.wanted(self.settings.gates)
        name = self.settings.name or desk.work.name
        facts: Facts = {"name": name}
        if source.adapter is None:
            facts |= self._model(desk, source.base, desk.folder / MODEL, name, why_not)
            model, laid = desk.folder / MODEL, None
        else:
            facts |= self._adapter(desk, source.adapter, source.base, name, why_not)
            model, laid = Path(facts["base"] or desk.folder / BASE), desk.folder / ADAPTER
        write_atomically(desk.folder / MODELFILE, modelfile(model, folder=desk.folder, adapter=laid).encode())
        return facts | {"for_ollama": how_to_push(name)}

    def _model(self, desk: Desk, folder: Path, target: Path, name: str, why_not: str) -> Facts:
        def tell(done: int, total: int) -> None:
            desk.step(done, total, "tensors", target.name)

        kind = write_model(folder, target, kind=self.settings.type, told=self._told(name), progress=tell)
        facts: Facts = {"file": target.name, "type": kind, "bytes": target.stat().st_size}
        if why_not:
            return facts | {"gates": f"not checked: {why_not}"}
        desk.step(0, 0, "", "held against transformers")
        found = gates.parity(folder, target, kind)
        _hold(found.refusal(target.name), target)
        return facts | found.facts() | {"gates": "passed"}

    def _adapter(self, desk: Desk, adapter: Path, base: Path, name: str, why_not: str) -> Facts:
        """The adapter, its base where that was a folder, and whether both together answer as PEFT does."""
        own: Facts = {}
        if base.is_dir():
            own = self._model(desk, base, desk.folder / BASE, f"{name}-base", why_not)
        target = desk.folder / ADAPTER
        counted = write_adapter(adapter, target_of(base), target, told=self._told(name))
        facts: Facts = {
            "file": target.name,
            "bytes": target.stat().st_size,
            **counted,
            "base": "" if own else str(base),
        }
        if own:
            facts["base_type"] = own["type"]
        if why_not or not own:
            reason = why_not or "the base is a GGUF, so there is no checkpoint to compare with"
            _hold(gates.laid_refusal(base if not own else desk.folder / BASE, target), target)
            return facts | {"gates": f"not checked against PEFT: {reason}"}
        found = gates.parity(base, desk.folder / BASE, own["type"], adapter=adapter, laid=target)
        _hold(found.refusal(target.name), target)
        return facts | found.facts() | {"gates": "passed"}

    def _told(self, name: str) -> dict[str, Value]:
        told: dict[str, Value] = {"general.name": name}
        told |= {"general.license": self.settings.licence} if self.settings.licence else {}
        told |= {"general.author": self.settings.author} if self.settings.author else {}
        return told

    def _known(self, desk: Desk) -> bool:
        return bool(self.settings.source) or desk.has("tune") or desk.has("pretrain")

    def _source(self, desk: Desk) -> Source:
        """What to export: what the settings name, else the run's adapter, else its model. Raises ``Invalid``."""
        if self.settings.source:
            return self._named(Path(self.settings.source).expanduser())
        if desk.has("tune"):
            told = read_json(desk.of("tune") / "base.json")
            return Source(Path(str(told.get("path", ""))), desk.of("tune") / "adapter")
        if desk.has("pretrain"):
            return Source(desk.of("pretrain") / "model")
        raise Invalid(
            "there is nothing to export: the run has neither a model nor an adapter",
            remedy="run the stage pretrain or tune first, or name a folder in export.source",
        )

    def _named(self, source: Path) -> Source:
        if not (source / CONFIG).is_file():
            return Source(source)
        base = self.settings.base or str(read_json(source / CONFIG).get("base_model_name_or_path") or "")
        if not base or not Path(base).expanduser().exists():
            raise Invalid(
                f"the base of the adapter in {source} is not there: {base or 'nobody says which'}",
                remedy="name the folder or the GGUF it was trained on in export.base",
            )
        return Source(Path(base).expanduser(), source)

    def _size(self, found: Checkpoint) -> int:
        width = {"auto": 0, "F32": 4, "F16": 2, "BF16": 2}[self.settings.type]
        return width * _parameters(found) if width else found.size


def _parameters(found: Checkpoint) -> int:
    return sum(prod(tensor.shape) for tensor in found.tensors.values())


def _too_much(size: int, hardware: Hardware) -> FiresideError | None:
    if size + SPARE > hardware.disk:
        return OutOfResources(
            f"the file needs {in_words(size)}, and {in_words(hardware.disk)} are free",
            remedy="free some space, or: export.type = 'F16'",
        )
    return None


def _digest(path: Path) -> str:
    """Changes when what lies there does."""
    files = sorted([*path.glob("*.safetensors"), *path.glob("*.json")]) if path.is_dir() else [path]
    return digest([file for file in files if file.is_file()])


def _hold(refusal: FiresideError | None, file: Path) -> None:
    """A file that is not what it should be is taken away, lest somebody uses it."""
    if refusal is not None:
        file.unlink(missing_ok=True)
        raise refusal

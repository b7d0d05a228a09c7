"""Read a training described for Axolotl, and write it as a recipe of Fireside's. Every key that has no counterpart is listed.

Axolotl itself is never needed. The keys: https://docs.axolotl.ai/docs/config-reference.html. Knows both vocabularies; runs nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from fireside.core.errors import Invalid
from fireside.training.prepare.settings import PrepareSettings
from fireside.training.tune.settings import TuneSettings

Table = dict[str, Any]
LINEAR = "all-linear"
# Values that say what a run does anyway: nothing is lost when they are left out.
GRANTED: Mapping[str, tuple[object, ...]] = {
    "pad_to_sequence_len": (True, False),
    "train_on_inputs": (True,),
    "strict": (True, False),
    "tf32": (False,),
    "fp16": (False, "auto"),
    "group_by_length": (False,),
    "lr_scheduler": ("cosine",),
    "model_type": ("LlamaForCausalLM", "Qwen2ForCausalLM", "AutoModelForCausalLM"),
    "tokenizer_type": ("AutoTokenizer", "PreTrainedTokenizerFast", "Qwen2Tokenizer"),
    "special_tokens": (None, {}),
    "logging_steps": tuple(range(1, 1001)),
    "saves_per_epoch": tuple(range(101)),
    "evals_per_epoch": tuple(range(101)),
}
OPTIMIZERS = {
    "adamw_torch": "adamw",
    "adamw_torch_fused": "adamw",
    "adamw_hf": "adamw",
    "adamw_bnb_8bit": "adamw_8bit",
    "adamw_8bit": "adamw_8bit",
    "paged_adamw_8bit": "adamw_8bit",
}
COMPLETION = ("completion", "pretrain")
BF16 = {True: "always", "true": "always", "full": "always", False: "never", "false": "never", "auto": "auto"}


@dataclass(frozen=True, slots=True)
class Imported:
    """``recipe``: as TOML; ``unsupported``: a line for every key, or value, that the recipe does not hold."""

    recipe: str
    unsupported: tuple[str, ...]


def imported(path: Path) -> Imported:
    """Raises ``Invalid`` when the file cannot be read, is no YAML, or names no base model."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} cannot be read: {error}", remedy="name an Axolotl YAML file") from error
    return translated(text, path.stem, str(path))


def translated(text: str, name: str, source: str) -> Imported:
    """``name``: of the recipe; ``source``: named in the messages."""
    import yaml

    try:
        told = yaml.safe_load(text)
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f", line {place.line + 1}" if place else ""
        raise Invalid(f"{source} is not YAML{where}", remedy="mend the file") from error
    if not isinstance(told, dict) or not all(isinstance(key, str) for key in told):
        raise Invalid(f"{source} is no table of keys", remedy="name an Axolotl YAML file")
    if not isinstance(told.get("base_model"), str) or not told["base_model"]:
        raise Invalid(f"{source} names no base_model", remedy="add base_model: FOLDER")
    made = _Import(told)
    made.read()
    made.check()
    return Imported(_toml(made.tables(name, source)), tuple(made.unsupported))


@dataclass(slots=True)
class _Import:
    """What is read so far; ``left``: keys nobody has asked for."""

    told: Table
    tune: Table = field(default_factory=dict)
    prepare: Table = field(default_factory=dict)
    collect: Table = field(default_factory=dict)
    top: Table = field(default_factory=dict)
    unsupported: list[str] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)

    def read(self) -> None:
        for key, value in self.told.items():
            reader = READERS.get(key)
            if reader is not None:
                reader(self, value)
            elif not _one_of(value, GRANTED.get(key, ())):
                self.refuse(key, value)

    def refuse(self, key: str, value: object, why: str = "") -> None:
        shown = str(value).replace("\n", " ")
        self.unsupported.append(f"{key}: {shown[:60]}" + (f" ({why})" if why else ""))

    def number(self, key: str, value: object, table: Table, name: str, kind: type[int] | type[float]) -> None:
        """A number under another name; ``1e-4`` without a point is text to YAML 1.1."""
        try:
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                raise ValueError
            found = float(value)
            if kind is int and found != int(found):
                raise ValueError
            table[name] = kind(found)
            self.origins[name] = key
        except (ValueError, OverflowError):
            self.refuse(key, value, "not a number")

    def check(self) -> None:
        """Take out single values that the settings do not allow, and say so."""
        for table, shape, granted in ((self.tune, TuneSettings, {"epochs": 1}), (self.prepare, PrepareSettings, {})):
            for key in list(table):
                try:
                    msgspec.convert({**granted, key: table[key]}, shape)
                except msgspec.ValidationError as error:
                    if key != "epochs" or table[key]:
                        self.refuse(self.origins.get(key, key), table[key], str(error).partition(" - ")[0])
                    del table[key]

    def tables(self, name: str, source: str) -> Mapping[str, Table]:
        plain = (
            "".join(one if (one.isascii() and one.isalnum()) or one in "._-" else "-" for one in name).lstrip("._-")[
                :64
            ]
            or "imported"
        )
        top = {"name": plain, "about": f"Read from {Path(source).name}, made for Axolotl.", **self.top}
        return {"": top, "collect": self.collect, "prepare": self.prepare, "tune": self.tune, "export": {}}


def _one_of(value: object, values: Iterable[object]) -> bool:
    """Compared one by one: what YAML makes need not be hashable, and 1 is not ``True``."""
    return any(type(value) is type(one) and value == one for one in values)


def _number(name: str, kind: type[int] | type[float], table: str = "tune") -> Callable[[_Import, Any], None]:
    def read(made: _Import, value: Any) -> None:
        key = next(key for key, reader in READERS.items() if reader is read)
        if value is not None:
            made.number(key, value, getattr(made, table), name, kind)

    return read


def _base(made: _Import, value: Any) -> None:
    made.tune["base"] = made.prepare["base"] = value


def _datasets(made: _Import, value: Any) -> None:
    """Folders are repositories to collect; whatever must be downloaded, or is a dialogue, has no counterpart."""
    places: list[str] = []
    for one in value if isinstance(value, list) else [value]:
        path = one.get("path") if isinstance(one, dict) else None
        kind = one.get("type", "completion") if isinstance(one, dict) else ""
        if not isinstance(path, str) or not Path(path).expanduser().is_dir():
            made.refuse("datasets.path", path if path else one, "only folders of repositories on this machine")
        elif kind not in COMPLETION:
            made.refuse("datasets.type", kind, "only completion")
        else:
            places.append(path)
        for key in sorted(set(one) - {"path", "type", "field"}) if isinstance(one, dict) else ():
            made.refuse(f"datasets.{key}", one[key])
    if places:
        made.collect["repositories"] = places


def _adapter(made: _Import, value: Any) -> None:
    if value == "qlora":
        made.tune["bits"] = 4
    elif value != "lora":
        made.refuse("adapter", value, "only lora and qlora")


def _bits(bits: int) -> Callable[[_Import, Any], None]:
    def read(made: _Import, value: Any) -> None:
        if value is True:
            made.tune["bits"] = bits

    return read


def _targets(made: _Import, value: Any) -> None:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        made.refuse("lora_target_modules", value)
    elif found:
        made.tune["targets"] = found


def _packing(made: _Import, value: Any) -> None:
    if value is not True:
        made.refuse("sample_packing", value, "rows are always packed")


def _linear(made: _Import, value: Any) -> None:
    if value is True:
        made.tune["targets"] = [LINEAR]


def _optimizer(made: _Import, value: Any) -> None:
    if _one_of(value, OPTIMIZERS):
        made.tune["optimizer"] = OPTIMIZERS[value]
    else:
        made.refuse("optimizer", value, f"only {', '.join(sorted(OPTIMIZERS))}")


def _warmup_steps(made: _Import, value: Any) -> None:
    """Fireside warms up over a share of the run; steps have one only where the run's steps are told."""
    total = made.told.get("max_steps")
    if isinstance(total, int) and total > 0 and isinstance(value, int):
        made.tune["warmup"] = round(min(1.0, value / total), 4)
    elif value:
        made.refuse("warmup_steps", value, "without max_steps; set warmup_ratio")


def _held_out(made: _Import, value: Any) -> None:
    """A share of the files; a number of rows is none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1:
        made.prepare["held_out"] = float(value) or 0.03
    else:
        made.refuse("val_set_size", value, "a share of the files, below 1")


def _bf16(made: _Import, value: Any) -> None:
    if _one_of(value, BF16):
        made.tune["bf16"] = BF16[value]
    else:
        made.refuse("bf16", value)


def _checkpointing(made: _Import, value: Any) -> None:
    if value in (True, "true", "unsloth"):
        made.tune["gradient_checkpointing"] = True
    elif value not in (False, None, "false"):
        made.refuse("gradient_checkpointing", value)


def _seed(made: _Import, value: Any) -> None:
    made.number("seed", value, made.top, "seed", int)


def _output(made: _Import, value: Any) -> None:
    if isinstance(value, str):
        made.top["work"] = value


READERS: dict[str, Callable[[_Import, Any], None]] = {
    "base_model": _base,
    "datasets": _datasets,
    "adapter": _adapter,
    "load_in_4bit": _bits(4),
    "load_in_8bit": _bits(8),
    "lora_r": _number("rank", int),
    "lora_alpha": _number("alpha", float),
    "lora_dropout": _number("dropout", float),
    "lora_target_modules": _targets,
    "lora_target_linear": _linear,
    "sample_packing": _packing,
    "sequence_len": _number("context", int, "prepare"),
    "micro_batch_size": _number("batch", int),
    "gradient_accumulation_steps": _number("accumulation", int),
    "num_epochs": _number("epochs", float),
    "max_steps": _number("steps", int),
    "optimizer": _optimizer,
    "learning_rate": _number("rate", float),
    "weight_decay": _number("weight_decay", float),
    "warmup_ratio": _number("warmup", float),
    "warmup_steps": _warmup_steps,
    "val_set_size": _held_out,
    "output_dir": _output,
    "bf16": _bf16,
    "gradient_checkpointing": _checkpointing,
    "seed": _seed,
}


def _toml(tables: Mapping[str, Table]) -> str:
    """Plain TOML: the recipe's own keys, then a table a stage."""
    lines: list[str] = []
    for name, table in tables.items():
        if name:
            lines += ["", f"[{name}]"]
        lines += [f"{key} = {_value(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, str):
        # A JSON string is a TOML string, but for one sign that JSON leaves as it is.
        return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
    return repr(value)

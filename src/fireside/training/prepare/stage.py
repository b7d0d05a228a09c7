"""The stage ``prepare``: rows become a tokenizer and files of tokens. See ``packed`` for what it leaves."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fireside.core.errors import Invalid
from fireside.core.values import replace
from fireside.training import rows as shards
from fireside.training.prepare import other, packed, tokenizer
from fireside.training.prepare.documents import Document, Documents
from fireside.training.prepare.encoding import Batches, answers
from fireside.training.prepare.packed import Meta, Packer, Split
from fireside.training.prepare.settings import PrepareSettings
from fireside.training.prepare.split import is_held_out, place_of, settled
from fireside.training.prepare.survey import Survey, survey
from fireside.training.rows import Row
from fireside.training.stages import Desk, Facts, Hardware, Plan

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Of each held-out file, and of all of them: the measure of filling in.
CUTS, MOST_CUTS = 4, 512
OTHER_HELD = 0.1
SMOKE_BYTES = 2_000_000
# Measured on one core with batches (docs/training.md); code packs to a quarter under Zstandard.
SPEED, PACKED = 2_000_000, 4


class Prepare:
    """``settings``: see there."""

    name = "prepare"
    needs: tuple[str, ...] = ("collect",)

    def __init__(self, settings: PrepareSettings) -> None:
        self.settings = settings

    def sources(self) -> Mapping[str, str]:
        found = {"other": other.state(self.settings.other)}
        if self.settings.base:
            base = Path(self.settings.base).expanduser()
            place = next(
                (one for one in (base / tokenizer.FILE, base / "tokenizer" / tokenizer.FILE) if one.is_file()), base
            )
            told = place.read_bytes() if place.suffix == ".json" else str(_state(place)).encode()
            found["base"] = hashlib.blake2b(told, digest_size=16).hexdigest()
        return found

    def plan(self, desk: Desk, hardware: Hardware) -> Plan:
        base = Path(self.settings.base).expanduser() if self.settings.base else None
        refusals = []
        if base is not None and not base.exists():
            refusals.append(Invalid(f"{base} is not there", remedy="name a model's folder or a GGUF in prepare.base"))
        size = 0
        if desk.has("collect"):
            size = PACKED * sum(path.stat().st_size for path in (desk.of("collect") / "shards").glob(shards.PATTERN))
        size = min(size, SMOKE_BYTES) if desk.smoke else size
        what = f"the tokenizer of {base}" if base else f"a tokenizer of {self.settings.vocabulary} tokens of our own"
        return Plan(
            self.name,
            seconds=10 + size / (SPEED * hardware.cores),
            memory=(500 << 20) + 2 * self.settings.vocabulary_bytes,
            disk=size + (64 << 20),
            notes=(what, f"rows of {self.settings.context} tokens"),
            refusals=tuple(refusals),
        )

    def run(self, desk: Desk) -> Facts:
        settings = smallest(self.settings) if desk.smoke else self.settings
        return _Run(settings, desk).run()


def smallest(settings: PrepareSettings) -> PrepareSettings:
    """The same in small: for ``--smoke``."""
    return replace(
        settings,
        vocabulary=min(settings.vocabulary, 1024),
        vocabulary_bytes=min(settings.vocabulary_bytes, SMOKE_BYTES),
        context=min(settings.context, 256),
        other_bytes=min(settings.other_bytes, SMOKE_BYTES // 4),
    )


class _Run:
    """One run of the stage, with what its steps share."""

    def __init__(self, settings: PrepareSettings, desk: Desk) -> None:
        self.settings = settings
        self.desk = desk
        self.folder = desk.folder
        self.shards = desk.of("collect") / "shards"

    def run(self) -> Facts:
        found = survey(
            self._rows(), self.settings.held_out, lambda number: self.desk.step(number, 0, "rows", "looking")
        )
        self.tokenizer = self._tokenizer(found)
        self.specials = tokenizer.specials(self.tokenizer, self.folder / "tokenizer")
        self.dtype = "uint16" if self.tokenizer.get_vocab_size() <= 1 << 16 else "uint32"
        splits = {"train": self._train(found), "held": self._plain("held", self._held(found))}
        splits["held_fim"] = self._answers(found)
        splits |= self._other(found)
        told = Meta(
            context=self.settings.context,
            dtype=self.dtype,
            vocabulary=self.tokenizer.get_vocab_size(),
            eot=self.specials.end,
            pad=self.specials.pad,
            special=tokenizer.all_special(self.tokenizer),
            fim_order=self.specials.order,
            splits=splits,
        )
        packed.write_meta(self.folder, told)
        return _facts(found, told)

    def _rows(self) -> Iterator[Row]:
        wanted = frozenset(self.settings.kinds)
        rows = (row for row in shards.read(self.shards) if row.kind in wanted and row.text)
        return _first(rows, SMOKE_BYTES) if self.desk.smoke else rows

    def _tokenizer(self, found: Survey) -> "Tokenizer":
        place = self.folder / "tokenizer"
        if not (self.desk.resumed and (place / tokenizer.FILE).is_file()):
            if self.settings.base:
                tokenizer.adopt(Path(self.settings.base).expanduser(), place)
            else:
                self.desk.step(0, 0, "", "training the tokenizer")
                made = tokenizer.train(self._sample(found), self.settings.vocabulary)
                tokenizer.save(made, place, self.settings.context)
        return tokenizer.load(place)

    def _sample(self, found: Survey) -> Iterator[str]:
        """Files to learn the tokens from: a part of all repositories, chosen as evenly as what is held out."""
        total = found.characters["lm"] or sum(found.characters.values())
        share = self.settings.vocabulary_bytes / max(total, 1)
        for row in self._rows():
            lone = row.kind == "lm" or not found.characters["lm"]
            if lone and found.side(row) == "train" and place_of(row.path, row.repo) < share:
                yield row.text

    def _train(self, found: Survey) -> Split:
        rate, kept = _rates(self.settings, found)
        documents = Documents(self.settings, self.specials, seed=self.desk.seed, rate=rate, kept=kept)
        total = sum(found.characters.values())

        def cut() -> Iterator[Document]:
            done = 0
            for row in self._rows():
                if found.side(row) == "train":
                    yield from documents.of(row)
                    done += len(row.text)
                    self.desk.step(done, total, "characters", "tokenising")

        return self._packed("train", cut())

    def _held(self, found: Survey) -> Iterator[Row]:
        seen: set[str] = set()
        for row in self._rows():
            # A text that lies at two places is measured once.
            if row.kind == "lm" and found.side(row) == "held" and row.sha256 not in seen:
                seen.add(row.sha256)
                yield row

    def _plain(self, name: str, rows: Iterator[Row]) -> Split:
        """Files as they stand, for the measures."""
        documents = Documents(self.settings, self.specials, seed=self.desk.seed)
        return self._packed(name, (documents.plain(row) for row in rows))

    def _answers(self, found: Survey) -> Split:
        if self.specials.order == "none":
            return Split(rows=0, tokens=0, documents=0, bytes=0)
        documents = Documents(self.settings, self.specials, seed=self.desk.seed)
        cuts = (cut for row in self._held(found) for cut in documents.cuts(row, CUTS))
        made = answers(itertools.islice(cuts, MOST_CUTS), self.tokenizer, self.specials, self.settings.context)
        rows, masks, tokens, size = made
        _written(self.folder / "held_fim.bin", [row.astype(self.dtype) for row in rows])
        _written(self.folder / "held_fim.mask", masks)
        return Split(rows=len(rows), tokens=tokens, documents=len(rows), bytes=size)

    def _other(self, found: Survey) -> dict[str, Split]:
        if not self.settings.other:
            return {}
        self.desk.step(0, 0, "", "other people's code")
        fresh = (row for row in other.read(self.settings.other) if row.sha256 not in found.texts)
        rows = list(_first(fresh, self.settings.other_bytes, spread=self.settings.other == other.STDLIB))
        share = settled(((row.repo, row.path) for row in rows), OTHER_HELD)
        held = self._plain("other_held", (row for row in rows if is_held_out(row, share)))
        documents = Documents(self.settings, self.specials, seed=self.desk.seed, rate=self.settings.fim_rate)
        kept = (one for row in rows if not is_held_out(row, share) for one in documents.of(row))
        return {"other": self._packed("other", kept), "other_held": held}

    def _packed(self, name: str, documents: Iterator[Document]) -> Split:
        packer = Packer(
            self.folder / f"{name}.bin", self.settings.context, self.dtype, self.specials.end, self.specials.pad
        )
        batches = Batches(self.tokenizer, packer)
        try:
            for document in documents:
                batches.add(document)
            batches.flush()
            return replace(packer.close(), bytes=batches.bytes)
        finally:
            packer.abandon()


def _rates(settings: PrepareSettings, found: Survey) -> tuple[float, float]:
    """How many windows of files are cut, and how many of the fim rows are used, so that both together are as was asked.

    Where there are too few rows cut on syntax nodes, other cuts take their place.
    """
    wanted = settings.fim_rate * settings.syntax_spans * found.characters["lm"]
    there = found.characters["fim"]
    if not found.characters["lm"]:
        return 0.0, 1.0
    kept = min(wanted / there, 1.0) if there else 0.0
    covered = min(there / wanted, 1.0) if wanted else 0.0
    return settings.fim_rate * (1 - settings.syntax_spans * covered), kept


def _first(rows: Iterator[Row], size: int, *, spread: bool = False) -> Iterator[Row]:
    """Rows of about ``size`` characters in all; ``spread``: from everywhere, and not the first of the alphabet."""
    chosen = sorted(rows, key=lambda row: place_of(row.path, row.repo)) if spread else rows
    for row in chosen:
        if size <= 0:
            return
        size -= len(row.text)
        yield row


def _written(place: Path, arrays: list[Any]) -> None:
    part = place.with_name(place.name + ".part")
    with part.open("wb") as file:
        for array in arrays:
            file.write(array.tobytes())
    part.replace(place)


def _facts(found: Survey, told: Meta) -> Facts:
    if not told.splits["train"].rows:
        raise Invalid("all rows together have no token to train on", remedy="collect more")
    return {
        "held_out": found.held_out,
        "rows": dict(found.rows),
        "copies_left_out": len(found.copies),
        "vocabulary": told.vocabulary,
        "context": told.context,
        "fim_order": told.fim_order,
        "tokens": {name: split.tokens for name, split in told.splits.items()},
        "bytes": {name: split.bytes for name, split in told.splits.items()},
    }


def _state(place: Path) -> tuple[int, int]:
    told = place.stat() if place.exists() else None
    return (told.st_size, told.st_mtime_ns) if told else (0, 0)

"""Make the embedding that comes with Fireside: collect, mine, train, evaluate, quantize, export.

    python -m fireside.training.embedding build --work DIR

Each stage leaves a manifest in ``--work`` and is skipped when it is there already. Only ``collect`` reaches the network. Knows the order of
the stages; what they do is in the files beside this one.
"""

import argparse
import hashlib
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from fireside.core.errors import FiresideError, Invalid
from fireside.index.static import Pieces
from fireside.training import archives, exclusions, sources
from fireside.training.embedding import corpus, mining, vocabulary
from fireside.training.embedding.corpus import Corpus, Shard
from fireside.training.embedding.export import export, quantize
from fireside.training.embedding.fit import FitSettings, Pairs, Table, fit, passage_keys
from fireside.training.embedding.quality import ranks, summary

STAGES = ("collect", "mine", "train", "evaluate", "quantize", "export")
TERMS = 30_000
HELD_OUT = 24
WEIGHTS = "static.npz"
SMOKE = FitSettings(dimensions=32, epochs=10, rate=0.02, batch=128, block=32)
Facts = dict[str, Any]


class Build:
    """One build in one folder. ``archives``: where the packages' archives lie; ``own``: a folder mined instead of packages (smoke)."""

    def __init__(self, work: Path, found: Path | None, development: Path | None, own: Path | None) -> None:
        self.work = work
        self.archives = found or work / "archives"
        self.shards = work / "shards"
        self.development = development
        self.own = own
        self.settings = SMOKE if own is not None else FitSettings()
        self._corpus: Corpus | None = None

    def run(self, only: str | None) -> Facts:
        """All stages, or those up to and with ``only``; returns the manifest of all that is done."""
        done: Facts = {}
        for stage in STAGES:
            place = self.work / f"{stage}.json"
            if place.is_file():
                say(f"{stage}: done before")
            else:
                began = time.perf_counter()
                facts: Facts = getattr(self, f"_{stage}")()
                write(place, facts | {"seconds": round(time.perf_counter() - began, 1)})
                say(f"{stage}: {brief(facts)}")
            done[stage] = orjson.loads(place.read_bytes())
            if stage == only:
                break
        return done

    def _collect(self) -> Facts:
        if self.own is not None:
            return {"packages": 0}
        wanted = sources.listed()
        gone = sources.collect(wanted, self.archives, self.work, lambda line: say(f"collect: {line}"))
        found = {one.name: digests(one.archives(self.archives)) for one in wanted}
        return {"packages": len(wanted) - len(gone), "not_to_be_had": [one.name for one in gone], "blake2": found}

    def _mine(self) -> Facts:
        if self.own is not None:
            return self._mine_own(self.own)
        found = mining.run(
            sources.listed(),
            self.archives,
            self.shards,
            self.development,
            lambda one: say(f"mine: {one.name} {one.pairs}"),
        )
        if not found:
            raise Invalid(f"{self.archives} holds none of the packages", remedy="run the stage collect first")
        return {
            "packages": len(found),
            "files": sum(one.files for one in found),
            "pairs": sum(one.pairs for one in found),
            "left_out": {
                "unlicensed_files": sum(one.unlicensed for one in found),
                "files_of_the_development_set": sum(one.excluded for one in found),
                "names": sorted(exclusions.EXCLUDED),
            },
            "by_package": {one.name: [one.version, one.licence, one.pairs] for one in found},
        }

    def _mine_own(self, root: Path) -> Facts:
        """Every room of a source tree as if it were a package, so that some can be held out."""
        self.shards.mkdir(parents=True, exist_ok=True)
        rooms: dict[str, Shard] = {}
        for one in archives.folder_files(root):
            room = one.path.partition("/")[0]
            rooms.setdefault(room, Shard(room)).add(one)
        pairs = {room: shard.save(self.shards / f"{room}.npz") for room, shard in sorted(rooms.items())}
        return {"packages": len(rooms), "pairs": sum(pairs.values()), "by_package": pairs}

    def _train(self) -> Facts:
        import numpy as np

        loaded = self._loaded()
        terms = vocabulary.choose(self._part(loaded, held=False), TERMS)
        (self.work / "terms.txt").write_text("\n".join(terms), "utf-8")
        pairs = self._pairs(held=False)
        table = fit(
            pairs, len(terms), self.settings, lambda step, steps, loss: say(f"train: {step}/{steps} loss {loss:.3f}")
        )
        with (self.work / "table.npz").open("wb") as file:
            np.savez(
                file, vectors=table.vectors, passage_weights=table.passage_weights, query_weights=table.query_weights
            )
        languages = np.bincount(pairs.languages, minlength=len(loaded.language_names)).tolist()
        return {
            "pairs": len(pairs.packages),
            "terms": len(terms),
            "by_language": dict(zip(loaded.language_names, languages, strict=True)),
            "settings": {name: getattr(self.settings, name) for name in self.settings.__struct_fields__},
            "versions": {name: version(name) for name in ("numpy", "torch", "tree-sitter")}
            | {"python": platform.python_version()},
        }

    def _evaluate(self) -> Facts:
        return self._measured(self._table())

    def _quantize(self) -> Facts:
        return self._measured(quantize(self._table())[1])

    def _export(self) -> Facts:
        place = self.work / WEIGHTS
        name = export(self._table(), self._terms(), place)
        return {"id": name, "bytes": place.stat().st_size, "blake2": digests([place])[0]}

    def _measured(self, table: Table) -> Facts:
        pairs = self._pairs(held=True)
        found = ranks(pairs, table)
        names = self._loaded().language_names
        spoken = {name: summary(found[pairs.languages == number]) for number, name in enumerate(names)}
        return summary(found) | {"by_language": {name: facts for name, facts in spoken.items() if facts["queries"]}}

    def _loaded(self) -> Corpus:
        if self._corpus is None:
            self._corpus = corpus.load(sorted(self.shards.glob("*.npz")))
        return self._corpus

    def _terms(self) -> list[str]:
        return (self.work / "terms.txt").read_text("utf-8").split("\n")

    def _table(self) -> Table:
        import numpy as np

        with np.load(self.work / "table.npz") as arrays:
            return Table(arrays["vectors"], arrays["passage_weights"], arrays["query_weights"])

    def _part(self, whole: Corpus, *, held: bool) -> Corpus:
        """The pairs of the packages that are held out, or of the others."""
        import numpy as np

        each = HELD_OUT if self.own is None else 4
        out = np.array([held_out(name, each) for name in whole.package_names])
        return corpus.chosen(whole, np.flatnonzero(out[whole.packages] == held))

    def _pairs(self, *, held: bool) -> Pairs:
        """Pairs in numbers of the vocabulary; only whole documentation is asked of what is held out."""
        import numpy as np

        part = self._part(self._loaded(), held=held)
        pieces = Pieces(self._terms())
        questions = vocabulary.mapped(part.questions, part.vocabulary, pieces)
        passages = vocabulary.mapped(part.passages, part.vocabulary, pieces)
        usable = (np.diff(questions.starts) > 0) & (np.diff(passages.starts) > 0)
        rows = np.flatnonzero(usable & ((part.kinds == 0) | (not held)))
        same = passage_keys(part.passages)
        return Pairs(
            corpus.rows_of(questions, rows),
            corpus.rows_of(passages, rows),
            part.packages[rows],
            part.languages[rows],
            same[rows],
        )


def held_out(name: str, each: int) -> bool:
    """One package in ``each``, by its name alone, so that it is the same ones on every machine."""
    return hashlib.blake2b(name.encode(), digest_size=2).digest()[0] % each == 0


def digests(paths: Sequence[Path]) -> list[str]:
    return [hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() for path in paths]


def brief(facts: Mapping[str, object]) -> str:
    """Numbers and short texts of a manifest on one line."""
    return "  ".join(f"{name} {value}" for name, value in facts.items() if isinstance(value, int | float | str))


def write(path: Path, facts: Facts) -> None:
    part = path.with_suffix(".json.part")
    part.write_bytes(orjson.dumps(facts, option=orjson.OPT_INDENT_2))
    part.replace(path)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 when a stage cannot do its work."""
    parser = argparse.ArgumentParser(prog="python -m fireside.training.embedding", description=__doc__)
    parser.add_argument("command", choices=["build"])
    parser.add_argument(
        "--work",
        type=Path,
        required=True,
        help="folder for everything that is made; a second run goes on where it ended",
    )
    parser.add_argument(
        "--sources", type=Path, help="folder with the packages' archives; what is not there is fetched into it"
    )
    parser.add_argument(
        "--development",
        type=Path,
        help="checkouts of the development set: no file equal to one of theirs is learnt from",
    )
    parser.add_argument("--stage", choices=STAGES, help="stop after this stage")
    parser.add_argument(
        "--smoke", action="store_true", help="all stages in less than a minute, offline, on Fireside's own sources"
    )
    given = parser.parse_args(arguments)
    given.work.mkdir(parents=True, exist_ok=True)
    own = Path(__file__).resolve().parents[2] if given.smoke else None
    build = Build(given.work, given.sources, given.development, own)
    try:
        write(given.work / "manifest.json", build.run(given.stage))
    except FiresideError as error:
        say(f"{error.message}" + (f"\n{error.remedy}" if error.remedy else ""))
        return 1
    return 0

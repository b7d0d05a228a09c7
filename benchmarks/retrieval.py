"""Search quality beside others, same questions, same run: ``python -m benchmarks.retrieval --set DIR --checkouts DIR``.

DIR of ``--set`` is the development set: ``repos.json``, ``annotations/`` and ``evaluate.py``, which makes the questions, runs a system over
them and reckons its figures; its checkouts are made by ``evaluate.py CHECKOUTS --get``. Each system runs in a process of its own: Fireside
as its command opens a project, BM25 over windows of 40 lines (built into ``evaluate.py``), and semble, when ``--semble`` names a Python
that has it (``python -m venv V && V/bin/pip install semble==0.7.0``; then ``--semble V/bin/python``). semble loads a model even where only
its words count: ``--semble-model`` names a folder of model2vec, and without one an empty model is made and semble's BM25 runs alone.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.table import Figure, show

if TYPE_CHECKING:
    from fireside.context.project import Project

ROOT = Path(__file__).resolve().parent.parent
FILES, TREES, SPANS = "files", "files, whole trees", "spans"
PARTS: Mapping[str, tuple[str, ...]] = {
    FILES: ("--set", "files"),
    TREES: ("--set", "files", "--scope", "repo"),
    SPANS: ("--set", "spans"),
}
US, WINDOWS = "Fireside", "BM25 windows"
Summary = Mapping[str, Any]
Results = Mapping[str, Mapping[str, Summary]]


class Fireside:
    """What ``fireside index`` and ``fireside search`` do, in one process."""

    def __init__(self, root: str, work: str) -> None:
        from fireside.app.knowledge import open_project

        self._project: Project = open_project(Path(root), environ={**os.environ, "FIRESIDE_HOME": work})
        self.n_chunks = self._project.update().chunks

    def search(self, query: str, k: int) -> list[tuple[str, int, int]]:
        hits = self._project.search(query, limit=k).hits
        return [(hit.chunk.path, hit.chunk.start_line, hit.chunk.end_line) for hit in hits]


class Semble:
    """semble with the model that ``SEMBLE_MODEL`` names, or by its words alone."""

    def __init__(self, root: str, work: str) -> None:
        from semble import SembleIndex  # type: ignore[import-not-found]

        model = os.environ.get("SEMBLE_MODEL", "")
        self._alpha = None if model else 0.0
        self._index = SembleIndex.from_path(root, model_path=model or _empty_model(Path(work)))
        self.n_chunks = len(self._index.chunks)

    def search(self, query: str, k: int) -> list[tuple[str, int, int]]:
        hits = (found.chunk for found in self._index.search(query, top_k=k, alpha=self._alpha))
        return [(hit.file_path, hit.start_line, hit.end_line) for hit in hits]


def _empty_model(folder: Path) -> str:
    """A model that knows no word."""
    import numpy as np
    from model2vec import StaticModel  # type: ignore[import-not-found]
    from tokenizers import Tokenizer, models, pre_tokenizers  # type: ignore[import-not-found]

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[PAD]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    place = folder / "empty-model"
    StaticModel(np.ones((2, 4), np.float32), tokenizer).save_pretrained(str(place))
    return str(place)


def main() -> None:
    options = _options()
    systems = {
        US: (sys.executable, "--adapter", "benchmarks.retrieval:Fireside"),
        WINDOWS: (sys.executable, "--builtin", "bm25"),
    }
    if options.semble:
        name = "semble" if options.semble_model else "semble, BM25 only"
        systems[name] = (options.semble, "--adapter", "benchmarks.retrieval:Semble")
    results: dict[str, dict[str, Summary]] = {name: {} for name in systems}
    for part, words in PARTS.items():
        for name, (python, *system) in systems.items():
            print(f"measuring {name} on {part} ...", file=sys.stderr, flush=True)
            results[name][part] = _measured(options, python, (*system, *words))
    print(f"{_asked(results[US])}\n")
    show(_bars(results))
    print()
    _side_by_side(results)
    for part in (FILES, SPANS):
        print(f"\nndcg10 by language, {part}\n")
        _by_language({name: found[part] for name, found in results.items()})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks.retrieval"
    )
    parser.add_argument("--set", required=True, type=Path, metavar="DIR", help="the development set")
    parser.add_argument("--checkouts", required=True, type=Path, metavar="DIR", help="its repositories")
    parser.add_argument("--evaluate", type=Path, help="its script (else: evaluate.py in it)")
    parser.add_argument("--semble", metavar="PYTHON", help="a Python that has semble")
    parser.add_argument("--semble-model", metavar="FOLDER", default="", help="a static model for semble")
    options = parser.parse_args()
    options.evaluate = options.evaluate or options.set / "evaluate.py"
    for place in (options.evaluate, options.checkouts):
        if not place.exists():
            parser.error(f"{place} does not exist")
    return options


def _measured(options: argparse.Namespace, python: str, words: Iterable[str]) -> Summary:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "SEMBLE_MODEL": options.semble_model}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        command = [
            python,
            str(options.evaluate.resolve()),
            str(options.checkouts.resolve()),
            *words,
            "--json",
            str(out),
        ]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        summary: Summary = json.loads(out.read_bytes())["summary"]
        return summary


def _asked(ours: Mapping[str, Summary]) -> str:
    return ", ".join(
        f"{part}: {found['queries']} questions over {found['chunks']} chunks" for part, found in ours.items()
    )


def _bars(results: Results) -> list[Figure]:
    """The figures the project has promised. A time is the worst over the parts."""
    ours = results[US]
    below = [
        f"{language} ({part})"
        for part in (FILES, SPANS)
        for language, found in ours[part]["by_language"].items()
        if found["ndcg10"] < results[WINDOWS][part]["by_language"][language]["ndcg10"]
    ]
    return [
        Figure("files, NDCG@10, library roots", ours[FILES]["ndcg10"], "", 0.88, at_most=False),
        Figure("files, NDCG@10, whole trees", ours[TREES]["ndcg10"], "", 0.80, at_most=False),
        Figure("spans, NDCG@10 (stretch: .44)", ours[SPANS]["span_ndcg10"], "", 0.40, at_most=False),
        Figure("spans, NDCG@10 by file", ours[SPANS]["file_ndcg10"], "", 0.66, at_most=False),
        Figure("spans, lines per answer", ours[SPANS]["lines_per_answer"], "", 230),
        Figure("languages below BM25 windows", len(below), "", 0, note=", ".join(below)),
        Figure("index, cold, per 10k chunks", max(_every(ours, "index_s_per_10k_chunks")), "s", 4),
        Figure("query, median", max(_every(ours, "p50_ms")), "ms", 2),
        Figure("query, 95th percentile", max(_every(ours, "p95_ms")), "ms", 10),
    ]


def _every(ours: Mapping[str, Summary], figure: str) -> list[float]:
    return [float(found[figure]) for found in ours.values()]


def _side_by_side(results: Results) -> None:
    print(
        "| system | files | hit@5 | MRR | whole trees | spans | hit@5 | by file | lines per answer | index s per 10k chunks"
        " | p50 / p95 ms | peak MB |"
    )
    print("|---|" + "---|" * 11)
    for name, found in results.items():
        files, trees, spans = found[FILES], found[TREES], found[SPANS]
        cells = (
            *(_short(files[figure]) for figure in ("ndcg10", "hit5", "mrr10")),
            _short(trees["ndcg10"]),
            *(_short(spans[figure]) for figure in ("span_ndcg10", "hit5", "file_ndcg10")),
            f"{spans['lines_per_answer']:.0f}",
            " / ".join(f"{part['index_s_per_10k_chunks']:.1f}" for part in found.values()),
            f"{files['p50_ms']:.2f} / {files['p95_ms']:.1f}",
            str(max(part["peak_rss_mb"] for part in found.values())),
        )
        print(f"| {name} | {' | '.join(cells)} |")


def _by_language(summaries: Mapping[str, Summary]) -> None:
    languages = list(summaries[US]["by_language"])
    print(f"| system | {' | '.join(languages)} |\n|---|{'---|' * len(languages)}")
    for name, summary in summaries.items():
        print(f"| {name} | {' | '.join(_short(summary['by_language'][one]['ndcg10']) for one in languages)} |")


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


if __name__ == "__main__":
    main()

"""A small trained base, and a run whose rows are prepared for it: what every test of a tuning stands on.

Some tests run a job in this process: a process of its own takes seconds to begin. Those of ``test_tune_stage`` go the whole way.
"""

import hashlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fireside.training import rows
from fireside.training.rows import Row
from fireside.training.stages import Desk, Manifest, perform

CONTEXT = 64


def source(style: str, number: int) -> str:
    """A file of made-up code. Two styles that share a language and little else."""
    drawn = random.Random(f"{style}{number}")
    words = {"plain": ("value", "count", "total", "index"), "own": ("lantern", "harbour", "granite", "meadow")}[style]
    lines = []
    for part in range(12):
        one, two = drawn.choice(words), drawn.choice(words)
        if style == "plain":
            lines += [f"def {one}_{part}({two}):", f"    return {two} + {drawn.randint(0, 9)}", ""]
        else:
            lines += [
                f"async def keep_{one}(self, *, {two}: Lamp) -> Lamp:",
                f"    await self.{one}.light({two}=Lamp.{two})",
                "",
            ]
    return "\n".join(lines)


def collected(work: Path, style: str, files: int = 24) -> Path:
    """A run with the stage ``collect`` done."""
    shards = work / "collect" / "shards"
    shards.mkdir(parents=True)
    found = [
        Row(
            kind="lm",
            text=(text := source(style, number)),
            repo=style,
            path=f"{style}_{number}.py",
            language="python",
            sha256=hashlib.sha256(text.encode()).hexdigest(),
        )
        for number in range(files)
    ]
    rows.write_shard(shards / "rows-00000.jsonl.zst", found)
    manifest = Manifest(
        stage="collect", fingerprint="made", facts={}, files={}, seed=7, seconds=0, finished=0, versions={}
    )
    (work / "collect.json").write_bytes(msgspec.json.encode(manifest))
    return shards


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 100,000 parameters that has learnt the plain style: an HF folder."""
    import numpy
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from fireside.training.prepare.packed import meta, open_split
    from fireside.training.prepare.settings import PrepareSettings
    from fireside.training.prepare.stage import Prepare

    work = tmp_path_factory.mktemp("base-run")
    collected(work, "plain")
    settings = PrepareSettings(vocabulary=400, context=CONTEXT, other="", fim_rate=0.0, held_out=0.1)
    perform(Prepare(settings), Desk(work, "prepare"))
    prepared = work / "prepare"
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=meta(prepared).vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
    )
    model = LlamaForCausalLM(shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    tokens = open_split(prepared, "train")
    drawn = numpy.random.default_rng(0)
    for _ in range(120):
        batch = torch.from_numpy(tokens[drawn.integers(0, len(tokens), 8)].astype("int64"))
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("base") / "model"
    model.save_pretrained(folder)
    for file in (prepared / "tokenizer").iterdir():
        shutil.copyfile(file, folder / file.name)
    return folder


@pytest.fixture(scope="session")
def prepared_run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in its own style, prepared for the base, with code in the plain style for the mix."""
    from fireside.training.prepare.settings import PrepareSettings
    from fireside.training.prepare.stage import Prepare

    other = collected(tmp_path_factory.mktemp("other-run"), "plain", 20)
    work = tmp_path_factory.mktemp("run")
    collected(work, "own")
    settings = PrepareSettings(base=str(base), context=CONTEXT, other=str(other), held_out=0.15, fim_rate=0.3)
    perform(Prepare(settings), Desk(work, "prepare"))
    return work


@pytest.fixture
def work(prepared_run: Path, tmp_path: Path) -> Path:
    """A copy of the run, for a test to do with as it likes."""
    return Path(shutil.copytree(prepared_run, tmp_path / "run"))


Tuned = Callable[..., dict[str, Any]]


@pytest.fixture
def tuned_here(base: Path, work: Path) -> Tuned:
    """Run a job in this process: settings of a tuning as keywords, the facts back. The adapter lies in ``work/tune``."""
    from fireside.training.tune import jobs, run
    from fireside.training.tune.jobs import Job
    from fireside.training.tune.settings import TuneSettings

    def tuned(**changes: Any) -> dict[str, Any]:
        told = {"steps": 24, "epochs": 0, "rate": 5e-3, "rank": 8, "forgetting": 0.0} | changes
        folder = work / "tune"
        folder.mkdir(exist_ok=True)
        settings = msgspec.convert(told, TuneSettings)
        path = changes.get("base", str(base))
        job = Job(base=path, prepared=str(work / "prepare"), folder=str(folder), seed=7, settings=settings)
        jobs.write(job)
        return run.whole(job)

    return tuned

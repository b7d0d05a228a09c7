import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fireside.core.errors import FiresideError, Invalid, ModelNotFound
from fireside.core.values import replace
from fireside.engines.spec import ChildSpec
from fireside.engines.supervisor import Supervisor
from fireside.models.card import ModelCard
from support.answers import GUARD, check_error, failure, read
from support.corrupt import corruptions
from support.llama import Bench, ask
from support.tiny import tiny_gguf


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    await bench.aclose()


async def test_a_folder_is_listed_without_what_cannot_be_loaded_which_says_why_when_asked(
    bench: Bench, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(tiny_gguf(), folder / "good.gguf")
    (folder / "bad.gguf").write_bytes(b"<!doctype html>")
    shutil.copy(tiny_gguf(), folder / "big-00002-of-00003.gguf")
    engine = bench.engine(models=(str(folder),))
    (card,) = await engine.models()
    assert (card.name, card.context_window) == ("good", 2048)
    _, error = await failure(engine.chat(ask(), replace(card, name="bad")))
    assert isinstance(error, Invalid)
    check_error(error)
    _, error = await failure(engine.chat(ask(), replace(card, name="goood")))
    assert isinstance(error, ModelNotFound)
    assert "good" in error.remedy


async def test_without_a_model_the_engine_is_down_and_says_how_to_get_one(bench: Bench, tmp_path: Path) -> None:
    health = await bench.engine(models=()).health()
    assert (health.state, "fireside models" in health.remedy) == ("down", True)
    health = await bench.engine(models=(str(tmp_path / "nowhere.gguf"),)).health()
    assert "nowhere.gguf" in health.detail


@pytest.mark.slow
async def test_two_hundred_damaged_files_run_or_say_what_is_wrong(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "damaged.gguf"
    refused, asked = 0, 0
    for damaged in corruptions(tiny_gguf().read_bytes(), 200):
        path.write_bytes(damaged)
        engine = bench.engine(models=(str(path),), context=256)
        cards = await engine.models()
        refused += not cards
        asked += bool(cards)
        try:
            await read(
                engine.chat(
                    ask(), cards[0] if cards else ModelCard("damaged", "embedded", capabilities=frozenset({"chat"}))
                )
            )
        except FiresideError as error:
            check_error(error)
        await engine.aclose()
    assert refused > 150, "the header is judged before a child is started for it"
    assert asked > 0


@pytest.mark.slow
async def test_of_damaged_files_only_the_child_may_die(tmp_path: Path) -> None:
    """Without the look at the header: the child may refuse, crash or run; this process goes on and knows which."""
    path = tmp_path / "damaged.gguf"
    ends = set()
    for damaged in corruptions(tiny_gguf().read_bytes(), 64, seed=3):
        path.write_bytes(damaged)
        supervisor = Supervisor(tmp_path / "runtime", start_seconds=GUARD)
        try:
            await supervisor.acquire(ChildSpec(str(path), context=256))
            ends.add("runs")
        except FiresideError as error:
            check_error(error)
            ends.add(type(error).__name__)
        await supervisor.aclose()
    assert {"Invalid"} <= ends <= {"Invalid", "ConnectionFailed", "runs"}

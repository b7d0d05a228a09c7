"""The models commands, on a real store, a real server and the embedded engine; nothing else answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fireside.cli import model_tables, models
from fireside.cli.commands import run_command
from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, ModelNotFound
from fireside.engines.engine import EngineHealth, PullProgress
from fireside.models import tiny
from fireside.models.card import ModelCard
from fireside.models.download import Progress
from fireside.models.store import ModelStore
from support.file_server import FileServer, serving


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
def fireside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run one command line in an empty project; returns its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")

    def run(*words: str) -> tuple[int, str, str]:
        code = run_command(["models", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_file_is_added_listed_shown_chosen_and_removed(fireside, gguf: Path):
    code, out, _ = fireside("add", str(gguf), "--name", "small")
    assert code == 0
    assert "small is ready (2.5 MB" in out
    assert "fireside models use chat small" in out

    code, out, err = fireside("list")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()] == [["NAME", "ENGINE"], ["small", "embedded"]]
    assert "ollama:" in err

    assert fireside("use", "chat", "small@embedded")[0] == 0
    assert "small (chat)" in fireside("list")[1]
    code, out, _ = fireside("show", "chat")
    assert code == 0
    assert f"source        {gguf}" in out
    assert "8,192 tokens" in out

    assert fireside("rm", "small") == (0, "removed small (2.5 MB)\n", "")
    assert "no models yet" in fireside("list")[2]


def test_the_list_is_json_when_asked(fireside, gguf: Path):
    fireside("add", str(gguf), "--name", "small")
    code, out, err = fireside("list", "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert told["models"][0]["name"] == "small"
    assert told["models"][0]["capabilities"] == ["chat", "fim", "json_schema", "tools"]
    assert "ollama" in told["down"]
    assert json.loads(fireside("show", "small", "--json")[1])["stored"]["source"] == str(gguf)


def test_a_url_is_pulled_into_the_store(fireside, gguf: Path):
    with serving(FileServer(gguf.read_bytes(), cuts=[100_000])) as server:
        code, out, err = fireside("pull", server.url, "--name", "far")
    assert code == 0, err
    assert "far is ready" in out
    assert "waiting to go on" in err
    assert "success 2.5 MB of 2.5 MB" in err
    assert server.requests[1]["range"].startswith("bytes=")
    assert "origin" not in server.requests[0]


def test_a_linked_file_stays_where_it_is(fireside, tmp_path: Path):
    mine = tiny.write(tmp_path / "mine.gguf")
    assert fireside("add", str(mine), "--link")[0] == 0
    assert str(mine) in fireside("list")[1]
    assert "is kept" in fireside("rm", "mine")[1]
    assert mine.exists()


def test_a_file_that_went_bad_is_named_in_the_list(fireside, tmp_path: Path):
    mine = tiny.write(tmp_path / "mine.gguf")
    fireside("add", str(mine), "--link")
    mine.write_bytes(mine.read_bytes()[:-1000])
    code, _, err = fireside("list")
    assert code == 0
    assert "mine: mine.gguf is truncated" in err
    assert "fireside models rm mine" in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("add", "nothing.gguf"), 1, "does not exist"),
        (("add", "page.gguf"), 1, "web page"),
        (("rm", "nothing"), 1, "there is no model nothing in the store"),
        (("use", "chat", "smal"), 1, "there is no model smal"),
        (("use", "a.b", "small"), 1, "cannot be an alias"),
        (("show", "smal"), 1, "did you mean small"),
        (("pull", "http://127.0.0.1:9/x.gguf"), 1, "nothing listens"),
        (("pull", "x", "--name", "y"), 2, "belong to a URL"),
        (("add", "http://127.0.0.1:9/x.gguf", "--link"), 2, "belongs to a file"),
        (("add", "tiny.gguf", "--sha256", "00"), 2, "belongs to a URL"),
        (("rm",), 2, "NAME"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_remedy(
    fireside, gguf: Path, tmp_path: Path, words, code: int, message: str
):
    (tmp_path / "page.gguf").write_text("<!doctype html>")
    fireside("add", str(gguf), "--name", "small")
    got, _, err = fireside(*words)
    assert got == code
    assert message in err
    assert "try:" in err
    assert "Traceback" not in err


@dataclass
class FakeModels:
    """A gateway as these commands see one."""

    cards: list[ModelCard] = field(default_factory=list)
    error: FiresideError | None = None

    async def models(self) -> list[ModelCard]:
        return self.cards

    async def health(self) -> dict[str, EngineHealth]:
        return {"ollama": EngineHealth("down", "nobody there"), "embedded": EngineHealth("idle")}

    async def card_for(self, model: str, *, needs=()) -> ModelCard | None:
        if self.error:
            raise self.error
        return next((card for card in self.cards if card.name == model), None)

    async def pull(self, name: str, engine: str | None = None) -> AsyncIterator[PullProgress]:
        yield PullProgress("pulling manifest")
        yield PullProgress("success", 10, 10)


async def test_engines_that_are_down_and_files_nobody_lists_are_told_apart(tmp_path: Path, gguf: Path):
    store = ModelStore(tmp_path)
    listed, alone = store.add(gguf, "listed"), store.add(tiny.write(tmp_path / "b.gguf", seed=3), "alone")
    shelf = await models.look(FakeModels([ModelCard("listed", "embedded", path=str(listed.path))]), store)
    assert list(shelf.down) == ["ollama"]
    assert list(shelf.unused) == [alone]
    assert "no engine offers it" in models.trouble(alone)


async def test_removing_a_model_of_another_engine_names_its_command(tmp_path: Path):
    gateway = FakeModels([ModelCard("qwen:7b", "ollama")])
    with pytest.raises(Invalid) as caught:
        await models.remove(gateway, ModelStore(tmp_path), "qwen:7b")
    assert caught.value.remedy == "ollama rm qwen:7b"
    with pytest.raises(ModelNotFound):
        await models.remove(gateway, ModelStore(tmp_path), "other")


async def test_a_choice_that_cannot_be_checked_now_is_taken_with_a_note():
    note = await models.check_choice(FakeModels(error=ConnectionFailed("nobody there", cause="refused")), "chat", "x")
    assert note == "not checked: nobody there"
    with pytest.raises(ModelNotFound):
        await models.check_choice(FakeModels(), "chat", "x")


async def test_a_name_is_pulled_by_an_engine(tmp_path: Path):
    steps = models.pulled("qwen:7b", None, None, gateway=FakeModels(), store=ModelStore(tmp_path), transport=None)  # type: ignore[arg-type]
    assert [step.status async for step in steps] == ["pulling manifest", "success"]


async def test_into_a_pipe_progress_is_a_line_at_each_tenth(capsys: pytest.CaptureFixture[str]):
    async def steps() -> AsyncIterator[Progress]:
        for done in range(0, 1001, 5):
            yield Progress("pulling", done * 1000, 1_000_000)
            await asyncio.sleep(0)

    import sys

    await model_tables.follow(steps(), sys.stderr)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[5] == "pulling 500.0 kB of 1.0 MB"

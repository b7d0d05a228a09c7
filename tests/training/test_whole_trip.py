"""A repository becomes training data, an adapter, a GGUF, and the model that completes in it: the whole trip, through the command."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import orjson
import pytest

import fireside
from fireside.app.fireside import Fireside
from fireside.cli.commands import run_command
from fireside.core.requests import CompletionRequest, Sampling
from fireside.core.streams import closing
from fireside.training.stages import manifest_of

pytestmark = pytest.mark.train

BASE = """
[collect]
packages = ["prompt_toolkit", "pygments"]
package_bytes = 800_000
kinds = ["lm", "fim"]

[prepare]
vocabulary = 2048
context = 256
other = ""

[pretrain]
depth = 0
width = 256
layers = 3
heads = 4
kv_heads = 2
ff = 512
tokens = 80_000
batch = 8
compile = "no"

[export]
gates = "no"

[publish]
name = "base"
share = 1
gate = "no"
"""
SOURCES = Path(fireside.__file__).parent
PLACES = (
    "class Limiter:\n    def __init__(self, ",
    "from fireside.core.errors import ",
    "    async def stream(self, request: ",
)


def state(folder: Path) -> dict[str, str]:
    """Every file below, .git and all, with what is in it and when it was written."""
    return {
        path.relative_to(
            folder
        ).as_posix(): f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def repository(folder: Path) -> Path:
    """Some rooms of Fireside as a repository of somebody's."""
    for room in ("gateway", "wire", "records"):
        shutil.copytree(SOURCES / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "First"]):
        subprocess.run([*git, *words], check=True)
    return folder


async def written(house: Fireside, model: str, prefix: str) -> str:
    request = CompletionRequest(prefix, model=model, max_tokens=16, sampling=Sampling(temperature=0.0))
    async with closing(house.gateway.complete(request)) as deltas:
        return "".join([delta.text async for delta in deltas])


async def test_from_a_repository_to_the_model_that_completes_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "base.toml").write_text(BASE)
    mine = repository(tmp_path / "mine")
    before = state(mine)

    assert run_command(["train", "run", str(tmp_path / "base.toml"), "--work", str(tmp_path / "base")]) == 0
    capsys.readouterr()
    work = tmp_path / "work"
    adapt = ["train", "adapt", str(mine), "--work", str(work), "--set", "tune.epochs=1.5", "--json"]
    assert run_command(adapt) == 0

    assert state(mine) == before, "nothing of the repository has changed"
    stages = {one["stage"]: one for one in orjson.loads(capsys.readouterr().out)["stages"]}
    assert list(stages) == ["collect", "prepare", "tune", "export", "publish"]
    tuned = stages["tune"]["facts"]
    assert tuned["target_change"] <= -0.05, (
        "held-out files of the repository are easier to tell, by 5 % of a bit per byte"
    )
    assert tuned["other_change"] <= 0.03
    assert manifest_of(work, "publish") is not None

    async with await Fireside.open(mine) as house:
        assert house.config.settings.assist.models == {str(mine.resolve()): "mine:1"}
        with_it = [await written(house, "mine:1", place) for place in PLACES]
        without = [await written(house, "base:1", place) for place in PLACES]
        assert with_it != without
        text = "class Limiter:\n    def __init__(self, settings) -> None:\n        self._se"
        completed = await house.assist.complete("gateway/new.py", 3, text=text)
        assert completed.source in ("model", "copying")

    assert run_command(adapt) == 0
    assert not any(one["fresh"] for one in orjson.loads(capsys.readouterr().out)["stages"])

"""The doctor's round as a whole, and how its findings are drawn."""

import asyncio
import re
import time
from pathlib import Path

import click
import pytest

from fireside import app
from fireside.app.doctor.diagnose import CHECKS, diagnose
from fireside.app.doctor.diagnosis import Diagnosis
from fireside.cli.doctor import lines_of
from fireside.core.errors import Invalid
from fireside.core.values import replace
from fireside.engines.scripted import ScriptedEngine
from support.doctor import codes, house, house_with_ollama
from support.fake_ollama import FakeOllama

RAISED = re.compile(
    r"\.(?:note|warning|error|failed)\(\s*\"([a-z0-9-]+)\"|: \"(ollama-[a-z-]+)\"|, \"(ollama-failing)\""
)


def test_every_diagnosis_is_produced_by_a_test():
    rooms = Path(app.__file__).parent.glob("doctor/*.py")
    known = {code for room in rooms for found in RAISED.findall(room.read_text()) for code in found if code}
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_doctor*.py"))
    assert len(known) >= 50
    assert sorted(code for code in known if f'"{code}"' not in tests) == []


async def test_a_healthy_house_is_well_within_three_seconds(tmp_path):
    async with FakeOllama() as fake, house_with_ollama(tmp_path, fake.url, indexed=True) as inputs:
        began = time.perf_counter()
        found = [diagnosis async for diagnosis in diagnose(inputs)]
        assert time.perf_counter() - began < 3
    assert [code for code in codes(found) if code not in ("keyring-unavailable", "disk-low")] == []
    assert len(found) >= len(CHECKS) - 3


async def test_findings_come_in_the_same_order_whatever_takes_longest(tmp_path):
    inputs = house(tmp_path, problem=Invalid("wrong", remedy="mend it"), in_environment=False)
    found = [diagnosis.subject async for diagnosis in diagnose(inputs)]
    order = [name for name, _ in CHECKS]
    placed = [order.index(subject) for subject in found if subject in order]
    assert placed == sorted(placed)


async def test_a_check_that_hangs_is_a_finding_and_holds_nobody_up(tmp_path):
    class Hanging(ScriptedEngine):
        async def health(self):
            await asyncio.Event().wait()

    inputs = house(tmp_path, engines=(Hanging(name="hanging"),))
    found = [diagnosis async for diagnosis in diagnose(inputs, seconds=0.3)]
    assert "check-too-slow" in codes(found)
    assert any(diagnosis.subject == "models" for diagnosis in found)


@pytest.mark.parametrize("error", [Invalid("odd", remedy="mend it"), RuntimeError("odd")])
async def test_a_check_that_breaks_is_a_finding(tmp_path, error):
    class Broken(ScriptedEngine):
        async def health(self):
            raise error

    found = [diagnosis async for diagnosis in diagnose(house(tmp_path, engines=(Broken(name="broken"),)))]
    assert "check-failed" in codes(found)


async def test_a_deep_round_also_runs_the_self_test(tmp_path):
    async def works() -> str:
        return "900 tokens/s"

    inputs = house(tmp_path, self_test=works)
    shallow = [diagnosis.message async for diagnosis in diagnose(inputs)]
    deep = [diagnosis.message async for diagnosis in diagnose(inputs, deep=True)]
    assert set(deep) - set(shallow) == {"900 tokens/s", "the audit log is whole: 0 entries"}


async def test_leaving_a_round_early_leaves_nothing_running(tmp_path):
    found = diagnose(house(tmp_path))
    await anext(found)
    await found.aclose()
    assert len(asyncio.all_tasks()) == 1


# --- drawing

FINDING = Diagnosis(
    "ollama-refused",
    "error",
    "ollama",
    "no Ollama listens at http://127.0.0.1:11434, and these are enough words to need a second line",
    "start it: ollama serve\nfireside config set engines.ollama.url http://HOST:11434",
)


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_a_finding_fits_the_terminal_and_keeps_commands_whole(width):
    lines = [click.unstyle(line) for line in lines_of(FINDING, width)]
    longest = max(len(word) for word in f"{FINDING.message} {FINDING.remedy}".split())
    assert max(map(len, lines)) <= max(width, longest + 8)
    assert "http://127.0.0.1:11434," in " ".join(lines)
    assert lines[0].startswith("ERROR ollama")
    assert sum(line.strip().startswith("→") for line in lines) == 2


def test_what_is_well_takes_one_line_and_columns_line_up():
    (first,) = lines_of(Diagnosis("ok", "ok", "disk", "50 GiB free"), 80)
    (second,) = lines_of(replace(FINDING, level="ok", message="fine"), 80)
    assert click.unstyle(first).index("50 GiB") == click.unstyle(second).index("fine")

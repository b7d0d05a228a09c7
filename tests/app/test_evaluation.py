"""Measuring with the whole house: a real model in the embedded engine, a server at a URL, and what is wrong with either."""

import hashlib
import os
from pathlib import Path

import pytest

from fireside.app.evaluation import Wanted, copying, measure_suites, opened
from fireside.core.errors import ConnectionFailed, FiresideError, Invalid
from fireside.evals.fill import Hole
from fireside.evals.report import read, write
from fireside.evals.subjects import Nobody
from fireside.evals.suite import CaseSettings
from support.fake_ollama import FakeOllama
from support.fake_openai import FakeOpenAI
from support.tiny import tiny_gguf


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A file of a hundred short lines: the tiny model's tokens are single letters."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "lines.py").write_text("".join(f"n{number} = f({number})\n" for number in range(110)))
    return folder


@pytest.mark.slow
async def test_a_model_file_is_measured_in_the_embedded_engine_beside_fireside_itself(
    code: Path, tmp_path: Path
) -> None:
    settings = CaseSettings(sources=(str(code),), cases=2)
    async with opened(Wanted(file=tiny_gguf()), root=code, environ=os.environ) as bench:
        (result,) = await measure_suites(bench, ["fim-line"], settings, parallel=2, report=lambda step: None)
    assert not any(outcome.failed for outcome in result.outcomes), [outcome.detail for outcome in result.outcomes]
    assert set(result.rivals) == {"copy", "fireside copying", "fireside"}
    exact = next(score for score in result.scores if score.name == "exact")
    assert (exact.n, exact.unit) == (2, "%")
    assert result.card["sha256"] == hashlib.sha256(tiny_gguf().read_bytes()).hexdigest()
    assert any("confidence" in outcome.scores for outcome in result.outcomes if outcome.scores["offered"])
    write([result], tmp_path / "out")
    assert read(tmp_path / "out") == (result,)


async def test_without_any_model_copying_is_measured_and_suites_that_need_one_are_left_out(code: Path) -> None:
    flags = {"engines.ollama.url": "http://127.0.0.1:9"}
    settings = CaseSettings(sources=(str(code),), cases=5)
    async with opened(Wanted(), root=code, flags=flags, environ=os.environ) as bench:
        assert isinstance(await bench.subject("fim-line"), Nobody)
        results = await measure_suites(
            bench, ["fim-line", "latency"], settings, parallel=1, report=lambda step: None, named=False
        )
    assert [result.suite for result in results] == ["fim-line"]
    assert results[0].scores == ()
    assert set(results[0].rivals) == {"copy", "fireside copying"}


async def test_a_suite_that_was_named_and_has_no_model_is_an_error(code: Path) -> None:
    flags = {"engines.ollama.url": "http://127.0.0.1:9"}
    async with opened(Wanted(), root=code, flags=flags, environ=os.environ) as bench:
        with pytest.raises(FiresideError):
            await measure_suites(bench, ["latency"], CaseSettings(cases=3), parallel=1, report=lambda step: None)


async def test_every_answer_is_computed_and_comes_from_the_model_that_is_measured(code: Path) -> None:
    flags = {"engines.actor.kind": "scripted", "engines.actor.says": "f(7)", "gateway.cache_bytes": 1 << 20}
    async with opened(Wanted(model="script@actor"), root=code, flags=flags, environ=os.environ) as bench:
        subject = await bench.subject("calculator")
        for _ in range(2):
            await measure_suites(bench, ["calculator"], CaseSettings(cases=1), parallel=1, report=lambda step: None)
        assert subject.model == "script@actor"
        assert len(bench.fireside.gateway.cache) == 0
        assert not bench.fireside.config.settings.gateway.fallback


async def test_a_file_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no model file"):
        async with opened(Wanted(file=tmp_path / "none.gguf"), environ=os.environ):
            raise AssertionError("it must not open")


async def test_a_url_where_nobody_answers_is_told_so(code: Path) -> None:
    with pytest.raises(ConnectionFailed):
        async with opened(Wanted(url="http://127.0.0.1:9"), root=code, environ=os.environ):
            raise AssertionError("it must not open")


@pytest.mark.parametrize("suffix", ["", "/v1"])
async def test_what_answers_at_a_url_is_measured_for_this_run_only(code: Path, suffix: str) -> None:
    settings = CaseSettings(sources=(str(code),), cases=3)
    async with (
        FakeOpenAI("f(7)", models={"qwen2.5-coder:7b": 8192}) as fake,
        opened(Wanted(url=fake.url + suffix), root=code, environ=os.environ) as bench,
    ):
        (result,) = await measure_suites(bench, ["fim-line"], settings, parallel=1, report=lambda step: None)
    assert result.model == "qwen2.5-coder:7b@measured"
    assert [outcome.scores["offered"] for outcome in result.outcomes] == [1.0] * 3


async def test_ollama_is_known_at_its_url(code: Path) -> None:
    async with FakeOllama(["Hello."]) as fake, opened(Wanted(url=fake.url), root=code, environ=os.environ) as bench:
        results = await measure_suites(bench, ["latency"], CaseSettings(cases=3), parallel=1, report=lambda step: None)
        assert bench.fireside.config.settings.engines["measured"].__class__.__name__ == "OllamaSettings"
    assert not any(outcome.failed for outcome in results[0].outcomes)


async def test_firesides_own_copying_tells_how_sure_it_is() -> None:
    text = "first = compute(alpha, beta)\nsecond = other\nfirst = compute("
    found = await copying(Hole("h", text=text, start=len(text), end=len(text), language="python"))
    assert found.text.startswith("alpha")
    assert found.confidence is not None
    assert 0 < found.confidence <= 1

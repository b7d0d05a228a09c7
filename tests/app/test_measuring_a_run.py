"""The stage ``eval`` of a run: a model file in the embedded engine, measured as it would be shipped."""

import signal
from pathlib import Path

import pytest

from fireside.app.training import build_pipeline
from fireside.core.errors import Invalid
from fireside.training.recipe import made
from fireside.training.stages import Hardware, Manifest, Step, manifest_of
from support.tiny import tiny_gguf

ROOT = Path(__file__).parents[2]


def test_a_measurement_broken_off_with_ctrl_c_is_not_done_and_nothing_after_it_begins(tmp_path: Path) -> None:
    work, home = tmp_path / "work", tmp_path / "home"
    (work / "export").mkdir(parents=True)
    (work / "export" / "model.gguf").write_bytes(tiny_gguf().read_bytes())
    _done(work, "export")
    tables = {
        "name": "broken-off",
        "eval": {"suites": ["fim-line"], "sources": [str(ROOT / "src" / "fireside" / "core")], "cases": 3},
        "publish": {"share": 1.0},
    }
    pipeline = build_pipeline(made(tables, "a test"), work=work, environ={"FIRESIDE_HOME": str(home)}, flags={})
    seen: list[str] = []

    def ctrl_c(step: Step) -> None:
        seen.append(step.stage)
        if len(seen) == 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        list(pipeline.run(ctrl_c))

    assert seen
    assert set(seen) == {"eval"}
    assert manifest_of(work, "eval") is None
    assert manifest_of(work, "publish") is None


def _done(work: Path, stage: str) -> None:
    import msgspec

    told = Manifest(
        stage=stage, fingerprint="x", facts={}, files={}, seed=7, seconds=0, finished=0, versions={}, settings={}
    )
    (work / f"{stage}.json").write_bytes(msgspec.json.encode(told))


@pytest.mark.parametrize(
    ("table", "told"), [({"suites": ["fim-lien"]}, "fim-lien"), ({"sources": ["/not/here"]}, "/not/here is no folder")]
)
def test_what_cannot_be_measured_is_refused_before_the_first_stage(
    tmp_path: Path, table: dict[str, list[str]], told: str
) -> None:
    tables = {"name": "refused", "collect": {"repositories": [str(ROOT)]}, "eval": table}
    hardware = Hardware(cores=1, memory=8 << 30, disk=8 << 30)
    with pytest.raises(Invalid, match=told):
        build_pipeline(
            made(tables, "a test"),
            work=tmp_path / "work",
            environ={"FIRESIDE_HOME": str(tmp_path / "home")},
            flags={},
        ).check(hardware)
    assert not (tmp_path / "work").exists()

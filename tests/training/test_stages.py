"""A stage is done or it is not: what a rerun skips, does again and goes on with."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from fireside.core.errors import FiresideError, Invalid, OutOfResources
from fireside.training.pipeline import Pipeline
from fireside.training.stages import UNFINISHED, Desk, Facts, Hardware, Plan, claimed, manifest_of, perform

HERE = Hardware(cores=2, memory=1 << 30, disk=1 << 30)


class Counting(msgspec.Struct, frozen=True):
    upto: int = 3


class Count:
    """Writes one file for each number, and goes on with those that are there."""

    def __init__(
        self, name: str = "count", settings: Counting = Counting(), *, needs: tuple[str, ...] = (), fails_at: int = -1
    ):
        self.name, self.settings, self.needs, self.fails_at = name, settings, needs, fails_at
        self.read: Mapping[str, str] = {}
        self.wrote: list[int] = []
        self.refusals: tuple[FiresideError, ...] = ()
        self.disk = 0

    def sources(self) -> Mapping[str, str]:
        return self.read

    def plan(self, desk: Desk, hardware: Hardware) -> Plan:
        return Plan(self.name, disk=self.disk, refusals=self.refusals)

    def run(self, desk: Desk) -> Facts:
        for number in range(self.settings.upto):
            if number == self.fails_at:
                raise KeyboardInterrupt
            place = desk.folder / f"{number}.txt"
            if not (desk.resumed and place.exists()):
                place.write_text(str(number))
                self.wrote.append(number)
            desk.step(number + 1, self.settings.upto, "numbers")
        return {"count": self.settings.upto}


def ran(stage: Count, work: Path, **desk: object) -> bool:
    return perform(stage, Desk(work, stage.name, **desk))[1]


def test_what_is_done_is_not_done_again(tmp_path: Path):
    stage = Count()
    assert ran(stage, tmp_path)
    assert not ran(stage, tmp_path)
    assert stage.wrote == [0, 1, 2]


def test_other_settings_another_seed_or_another_source_are_another_result(tmp_path: Path):
    assert ran(Count(), tmp_path)
    assert ran(Count(settings=Counting(upto=2)), tmp_path)
    assert not (tmp_path / "count" / "2.txt").exists(), "what belonged to the former settings is gone"
    assert ran(Count(settings=Counting(upto=2)), tmp_path, seed=8)
    changed = Count(settings=Counting(upto=2))
    changed.read = {"repository": "another commit"}
    assert ran(changed, tmp_path, seed=8)
    assert not ran(changed, tmp_path, seed=8)


def test_a_stage_runs_again_when_one_before_it_did_with_other_settings(tmp_path: Path):
    later = Count("later", needs=("count",))
    ran(Count(), tmp_path)
    assert ran(later, tmp_path)
    assert not ran(later, tmp_path)
    ran(Count(settings=Counting(upto=9)), tmp_path)
    assert ran(later, tmp_path)


def test_a_stage_that_was_stopped_goes_on_and_has_no_manifest_before_it_is_done(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        ran(Count(fails_at=2), tmp_path)
    assert manifest_of(tmp_path, "count") is None
    stage = Count()
    assert ran(stage, tmp_path)
    assert stage.wrote == [2]
    assert not (tmp_path / "count" / UNFINISHED).exists()


def test_half_a_stage_with_other_settings_is_cleared_away(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        ran(Count(fails_at=2), tmp_path)
    stage = Count(settings=Counting(upto=1))
    assert ran(stage, tmp_path)
    assert sorted(path.name for path in (tmp_path / "count").iterdir()) == ["0.txt"]


def test_a_file_that_was_deleted_makes_its_stage_run_again(tmp_path: Path):
    ran(Count(), tmp_path)
    (tmp_path / "count" / "1.txt").unlink()
    assert ran(Count(), tmp_path)


def test_the_manifest_says_what_was_made_with_what(tmp_path: Path):
    ran(Count(), tmp_path, seed=11)
    manifest = manifest_of(tmp_path, "count")
    assert manifest is not None
    assert (manifest.seed, manifest.facts, manifest.settings) == (11, {"count": 3}, {"upto": 3})
    assert sorted(manifest.files) == ["0.txt", "1.txt", "2.txt"]
    assert len(set(manifest.files.values())) == 3
    assert "fireside" in manifest.versions


def test_a_manifest_nobody_can_read_says_which(tmp_path: Path):
    ran(Count(), tmp_path)
    (tmp_path / "count.json").write_text("{")
    with pytest.raises(Invalid, match=r"count\.json"):
        ran(Count(), tmp_path)


def test_two_runs_do_not_share_a_folder(tmp_path: Path):
    with claimed(tmp_path), pytest.raises(Invalid, match="another run"), claimed(tmp_path):
        pass


def test_a_pipeline_runs_in_order_and_says_what_was_fresh(tmp_path: Path):
    steps: list[str] = []
    stages = [Count(), Count("later", needs=("count",))]
    done = list(Pipeline(stages, tmp_path).run(lambda step: steps.append(step.stage)))
    assert [(one.manifest.stage, one.fresh) for one in done] == [("count", True), ("later", True)]
    assert steps == ["count"] * 3 + ["later"] * 3
    assert [one.fresh for one in Pipeline(stages, tmp_path).run()] == [False, False]


def test_a_stage_without_what_it_reads_is_refused_with_the_command_that_makes_it(tmp_path: Path):
    with pytest.raises(Invalid, match="later") as refused:
        list(Pipeline([Count("later", needs=("count",))], tmp_path).run())
    assert "fireside train count" in refused.value.remedy


def test_nothing_begins_that_cannot_fit(tmp_path: Path):
    big = Count()
    big.disk = 2 << 30
    with pytest.raises(OutOfResources, match=r"2\.1 GB of disk"):
        Pipeline([big], tmp_path / "work").check(HERE)
    never = Count()
    never.refusals = (Invalid("no GPU"),)
    with pytest.raises(Invalid, match="no GPU"):
        Pipeline([never], tmp_path / "work").check(HERE)
    assert not (tmp_path / "work").exists()


def test_a_file_is_no_place_for_a_run(tmp_path: Path):
    (tmp_path / "night").write_text("mine")
    with pytest.raises(Invalid, match="night is a file, no folder"), claimed(tmp_path / "night"):
        pass
    assert (tmp_path / "night").read_text() == "mine"

"""An index over many repositories in a folder of its own, through the real command."""

import json
import os
import shutil
from pathlib import Path

import pytest

from fireside.app.cluster import reached
from fireside.app.shared_index import gather, look_into
from fireside.core.errors import ConnectionFailed, Invalid, NotPermitted
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.ledger import Ledger
from support.project import fireside, write_project


@pytest.fixture
def team(tmp_path: Path) -> Path:
    return tmp_path / "team"


@pytest.fixture
def repositories(tmp_path: Path) -> list[Path]:
    second = tmp_path / "depot"
    second.mkdir()
    (second / "tracks.py").write_text("def choose_track(length):\n    return length\n")
    return [write_project(tmp_path / "port"), second]


def test_many_projects_are_indexed_and_searched_together(tmp_path, team, repositories):
    made = fireside("index", "--into", "team", "port", "depot", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["sources"] == {"port": str(repositories[0]), "depot": str(repositories[1])}
    found = fireside("search", "--in", "team", "choose_track", "--json", cwd=tmp_path)
    assert json.loads(found.stdout)["results"][0]["path"] == "depot/tracks.py"
    assert "port, depot, as of" in found.stderr


def test_a_shared_index_can_be_searched_where_its_projects_are_not(team, repositories):
    shared = gather(team, repositories)
    shared.update()
    shared.close()
    for root in repositories:
        shutil.rmtree(root)
    shared = look_into(team)
    assert shared.project.search("allocate_berth").hits[0].chunk.path == "port/harbour/berths.py"
    shared.close()


def test_projects_are_added_and_a_line_taken_out_is_obeyed(team, repositories):
    for one in repositories:
        shared = gather(team, [one])
        report = shared.update()
        shared.close()
    assert (list(shared.sources), report.files) == (["port", "depot"], 5)
    (team / "sources.json").write_text('{"sources": {"depot": "../depot"}}')
    shared = gather(team)
    report = shared.update()
    shared.close()
    assert (report.files, report.removed) == (1, 4)


def test_a_folder_with_something_else_in_it_is_left_alone(repositories):
    before = sorted(repositories[0].rglob("*"))
    for attempt in (lambda: gather(repositories[0], repositories[1:]), lambda: look_into(repositories[0])):
        with pytest.raises(Invalid, match="something else"):
            attempt()
    assert sorted(repositories[0].rglob("*")) == before


@pytest.mark.parametrize(
    "text", ["", "{", '{"sources": []}', '{"sources": {"a/b": "/tmp"}}', '{"sources": {"": "/tmp"}}', "\udcff"]
)
def test_a_list_of_sources_that_makes_no_sense_is_said(team, text):
    team.mkdir()
    (team / "sources.json").write_bytes(os.fsencode(text))
    with pytest.raises(Invalid, match=r"sources\.json"):
        look_into(team)


def test_an_index_of_another_version_is_not_thrown_away_by_whoever_searches(team, repositories):
    shared = gather(team, repositories)
    shared.update()
    shared.close()
    database = team / "index.db"
    database.write_bytes(b"from the future")
    with pytest.raises(Invalid, match="cannot be used"):
        look_into(team)
    assert database.read_bytes() == b"from the future"


def test_an_index_that_was_never_finished_is_said(team, repositories):
    gather(team, repositories).close()
    with pytest.raises(Invalid, match="never finished"):
        look_into(team)


def test_walks_over_the_folder_leave_the_index_out(repositories):
    inside = repositories[0] / "team"
    shared = gather(inside, repositories)
    assert shared.update().added == 5
    assert shared.update().added == 0
    shared.close()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("port", "depot"), "--into"),
        (("port", "--ray", "local"), "--into"),
        (("--into", "team", "port", "--watch"), "--watch"),
        (("--into", "team"), "about nothing"),
        (("--into", "team", "nowhere"), "nowhere does not exist"),
    ],
)
def test_what_does_not_go_together_is_said_in_a_line(tmp_path, repositories, words, says):
    done = fireside("index", *words, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "team").exists()


def guard(tmp_path: Path) -> Egress:
    return Egress(EgressSettings(), Ledger(tmp_path / "egress.jsonl"))


async def test_a_cluster_outside_the_network_is_refused_before_anything_is_sent(tmp_path):
    with pytest.raises(NotPermitted, match=r"8\.8\.8\.8"):
        await reached("8.8.8.8:6379", guard(tmp_path))


async def test_an_address_where_nothing_listens_is_said_at_once(tmp_path):
    with pytest.raises(ConnectionFailed, match=r"no Ray cluster at 127\.0\.0\.1:9"):
        await reached("127.0.0.1:9", guard(tmp_path))

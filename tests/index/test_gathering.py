"""Several roots as one workspace, and an index over them."""

from pathlib import Path

import pytest

from fireside.core.errors import Invalid, NotPermitted
from fireside.index.embed import Embedding
from fireside.index.gathering import Gathering, named
from fireside.index.index import Index
from fireside.index.prepare import here
from fireside.index.static import load
from fireside.workspace.files import SourceText


def write(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.fixture
def ships(tmp_path: Path) -> Path:
    return write(
        tmp_path / "ships",
        {"berth.py": "def allocate_berth(length):\n    return length\n", ".gitignore": "log/\n", "log/x.py": ""},
    )


@pytest.fixture
def trains(tmp_path: Path) -> Path:
    return write(tmp_path / "trains", {"lib/track.py": "def choose_track(length):\n    return length\n"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shared"
    made.mkdir()
    return made


def test_paths_begin_with_the_name_of_their_root(folder, ships, trains):
    gathering = Gathering(folder, named([trains, ships], {}))
    assert [entry.path for entry in gathering.scan().files] == [
        "ships/.gitignore",
        "ships/berth.py",
        "trains/lib/track.py",
    ]
    source = gathering.look("trains/lib/track.py")
    assert isinstance(source, SourceText)
    assert source.path == "trains/lib/track.py"
    assert source.text.startswith("def choose_track")
    assert gathering.resolve("trains/lib/track.py") == trains / "lib/track.py"
    assert gathering.relative(trains / "lib/track.py") == gathering.relative("trains/lib/../lib/track.py")
    assert gathering.relative("ships/berth.py") == "ships/berth.py"


@pytest.mark.parametrize("path", ["berth.py", "other/berth.py", "ships/../trains/lib/track.py", "/etc/passwd"])
def test_nothing_outside_the_roots_is_read(folder, ships, path):
    with pytest.raises(NotPermitted):
        Gathering(folder, {"ships": ships}).look(path)


def test_a_root_that_is_away_is_said_and_its_files_are_not_taken_for_deleted(folder, ships, trains):
    index = Index.open(Gathering(folder, named([ships, trains], {})), folder)
    assert index.update().files == 3
    moved = trains.rename(trains.with_name("elsewhere"))
    with pytest.raises(Invalid, match="trains is not at"):
        index.update()
    assert index.search("choose_track").hits[0].chunk.path == "trains/lib/track.py"
    moved.rename(trains)
    assert index.update().removed == 0
    index.close()


def test_a_root_that_comes_and_one_that_goes_change_the_index(folder, ships, trains):
    for roots, added, removed in (
        ({"ships": ships}, 2, 0),
        ({"ships": ships, "t": trains}, 1, 0),
        ({"t": trains}, 0, 2),
    ):
        index = Index.open(Gathering(folder, roots), folder)
        report = index.update()
        assert (report.added, report.removed) == (added, removed)
        index.close()


def test_folders_called_alike_get_names_of_their_own_and_keep_them(tmp_path):
    folders = [write(tmp_path / place, {"a.py": ""}) for place in ("x/app", "y/app", "z/y/app", "web")]
    roots = named(folders[:1], {})
    assert roots == {"app": folders[0]}
    roots = named(folders, roots)
    assert roots == {"app": folders[0], "y-app": folders[1], "z-y-app": folders[2], "web": folders[3]}
    assert named(reversed(folders), roots) == roots


def test_a_folder_inside_another_one_is_refused_either_way(ships):
    inner = ships / "log"
    for folders in ([ships, inner], [inner, ships]):
        with pytest.raises(Invalid, match="read twice"):
            named(folders, {})


def test_a_whole_disk_is_refused():
    with pytest.raises(Invalid, match="whole disk"):
        named([Path("/")], {})


def test_only_files_that_changed_are_handed_to_the_preparer_and_its_vectors_are_kept(folder, ships, trains):
    embedder, seen = load(), []

    def preparer(tasks):
        from dataclasses import replace

        for made in here(tasks):
            seen.append(made.entry.path)
            yield replace(made, vectors=embedder.from_counts(made.counts)) if made.chunks else made

    index = Index.open(Gathering(folder, named([ships, trains], {})), folder, Embedding(embedder))
    index.update(preparer=preparer)
    assert len(seen) == 3
    seen.clear()
    (trains / "lib/track.py").write_text("def choose_platform(length):\n    return length\n")
    index.update(preparer=preparer)
    assert seen == ["trains/lib/track.py"]
    assert index.search("choose_platform").hits[0].chunk.path == "trains/lib/track.py"
    index.close()

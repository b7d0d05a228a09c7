"""What comes of a git repository, and that it stays as it is."""

import hashlib
import os
from pathlib import Path

import pytest

from fireside.core.errors import Invalid
from fireside.training.collect.listing import listing
from fireside.training.collect.settings import CollectSettings

pytestmark = pytest.mark.train
TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0hL3nR6"


def everything(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file of a tree, ``.git`` too: its digest and when it was last written."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_all_four_kinds_of_rows_come_of_a_repository_with_where_they_are_from(repository, collected, git):
    manifest, rows = collected(repositories=(str(repository),))
    assert {row.kind for row in rows} == {"lm", "fim", "doc", "edit"}
    assert {row.repo for row in rows} == {"ships"}
    assert {row.licence for row in rows} == {"Apache-2.0"}
    assert {row.commit for row in rows if row.kind == "lm"} == {git(repository, "rev-parse", "HEAD")}
    assert manifest.facts["rows"]["lm"] == 3
    assert all(row.sha256 == hashlib.sha256(row.text.encode()).hexdigest() for row in rows)


def test_nothing_in_the_repository_changes(repository, collected):
    os.utime(repository / "src/boats.py", (1, 1))  # git would like to refresh its index now
    before = everything(repository)
    collected(repositories=(str(repository),))
    assert everything(repository) == before


def test_a_span_is_what_stood_between_its_prefix_and_its_suffix(repository, collected):
    _, rows = collected(repositories=(str(repository),), span_every=100)
    files = {row.path: row.text for row in rows if row.kind == "lm"}
    spans = [row for row in rows if row.kind == "fim"]
    assert len(spans) > 6
    assert all(row.prefix + row.text + row.suffix in files[row.path] for row in spans)
    assert len({row.node for row in spans}) > 3


def test_documented_code_comes_without_its_documentation(repository, collected):
    _, rows = collected(repositories=(str(repository),), kinds=("doc",))
    asked = {row.instruction: row.text for row in rows}
    code = asked["Add up the values of boats, beginning at start."]
    assert code.startswith("def total_boats(values, start=0):\n    result = start or 0\n")
    assert "Add up" not in code


def test_a_commit_becomes_an_edit_with_its_message_and_without_its_trailers(repository, collected, git):
    _, rows = collected(repositories=(str(repository),), kinds=("edit",))
    told = {row.instruction: row for row in rows}
    assert set(told) == {"Count from nothing when no start is given", "Round the total to cents"}
    edit = told["Round the total to cents"]
    assert "    return result\n" in edit.before
    assert "    return round(result, 2)\n" in edit.text
    assert edit.commit == git(repository, "rev-parse", "HEAD")


def test_renames_white_space_and_long_changes_are_no_edits(repository, collected, git, commit):
    git(repository, "mv", "src/apples.py", "src/pears.py")
    commit(repository, "Rename the module of apples")
    clouds = repository / "src/clouds.py"
    clouds.write_text(clouds.read_text().replace("    ", "  "))
    commit(repository, "Indent by two columns only")
    clouds.write_text(clouds.read_text() + "".join(f"LIMIT_{number} = {number}\n" for number in range(40)))
    commit(repository, "Add forty limits at once")
    manifest, rows = collected(repositories=(str(repository),), kinds=("edit",))
    assert {row.path for row in rows} == {"src/boats.py"}
    assert manifest.facts["left_out"]["an edit of white space"] >= 1
    assert manifest.facts["left_out"]["an edit of too many lines"] == 1


def test_ignored_files_are_read_neither_as_they_are_nor_as_they_were(repository, collected):
    (repository / ".firesideignore").write_text("boats.py\n")
    (repository / "built").mkdir()
    (repository / "built/made.py").write_text("def made_by_a_machine():\n    return 1\n" * 10)
    _, rows = collected(repositories=(str(repository),))
    assert {row.path for row in rows} == {"src/apples.py", "src/clouds.py"}


def test_secrets_are_taken_out_of_files_and_old_commits_and_told_by_rule_only(repository, collected, tmp_path, commit):
    place = repository / "src/clouds.py"
    place.write_text(place.read_text() + f'\n\nTOKEN = "{TOKEN}"\n')
    commit(repository, "Talk to the cloud with a token")
    (repository / ".env.py.key").write_text(TOKEN)
    place.write_text(place.read_text().replace("TOKEN", "CLOUD_TOKEN"))
    commit(repository, "Name the token of the cloud")
    manifest, rows = collected(repositories=(str(repository),))
    assert not [row for row in rows if TOKEN in repr(row)]
    assert {row.kind for row in rows if "github-pat" in row.scrubbed} >= {"lm", "edit"}
    assert manifest.facts["secrets"]["github-pat"] >= 2
    told = (tmp_path / "work/collect/report.json").read_text()
    assert TOKEN not in told
    assert "ships/src/clouds.py" in told


def test_what_cannot_be_learnt_from_is_left_out_and_counted_by_reason(repository, collected):
    source = repository / "src"
    (source / "empty.py").write_bytes(b"")
    (source / "latin.py").write_bytes("# Größe und Länge und Breite\n".encode("latin-1") * 20)
    (source / "long.py").write_text("VALUES = [" + "1, " * 2_000 + "]\n")
    (source / "made.py").write_text("# Code generated by a tool. DO NOT EDIT.\n" + "VALUE = 1\n" * 30)
    (source / "large.py").write_text("VALUE = 1\n" * 30_000)
    (source / "loop.py").symlink_to("loop.py")
    (source / "around").symlink_to("..")
    (source / "data.json").write_text("{}" * 100)
    manifest, rows = collected(repositories=(str(repository),), kinds=("lm",))
    assert {row.path for row in rows} == {"src/apples.py", "src/boats.py", "src/clouds.py"}
    counted = manifest.facts["left_out"]
    for reason in ("too short", "not UTF-8", "minified, or a line too long", "generated", "too large"):
        assert counted[reason] >= 1, reason
    assert counted["another language"] >= 1


def test_a_repository_without_commits_gives_its_files_and_no_edits(tmp_path, collected, git):
    folder = tmp_path / "fresh"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "one.py").write_text("def one(value):\n    return value + 1\n" * 5)
    found = listing(CollectSettings(repositories=(str(folder),)))
    assert found.origins[0].note == "no commit yet, so no edits"
    _, rows = collected(repositories=(str(folder),))
    assert {(row.kind, row.commit) for row in rows} == {("lm", ""), ("fim", "")}


def test_what_is_no_repository_with_files_is_refused(tmp_path, repository, git):
    bare, plain = tmp_path / "bare.git", tmp_path / "plain"
    git(tmp_path, "init", "-q", "--bare", str(bare))
    plain.mkdir()
    for folder, told in ((bare, "bare repository"), (plain, "not in a git repository"), (tmp_path / "no", "not exist")):
        with pytest.raises(Invalid, match=told):
            listing(CollectSettings(repositories=(str(folder),)))


def test_a_repository_named_twice_is_read_once_and_namesakes_are_told_apart(repository, tmp_path, git):
    git(tmp_path, "clone", "-q", str(repository), "other/ships")
    found = listing(CollectSettings(repositories=(str(repository), f"{repository}/", str(tmp_path / "other/ships"))))
    assert [one.origin.name for one in found.origins] == ["ships", "ships-2"]
    assert "named twice" in found.notes[0]


def test_a_repository_that_must_not_be_trained_on_gives_nothing(tmp_path, repository, git):
    git(repository, "remote", "add", "origin", "https://example.org/encode/httpx.git")
    found = listing(CollectSettings(repositories=(str(repository),)))
    assert not found.files
    assert not found.commits
    assert set(found.left_out) == {"on the list of what nothing is trained on"}


def test_a_shared_model_learns_from_a_repository_with_a_permissive_licence_only(repository):
    settings = CollectSettings(repositories=(str(repository),), shared=True)
    assert listing(settings).files == 3
    (repository / "LICENSE").unlink()
    assert listing(settings).left_out["no permissive licence"] > 0
    assert not listing(settings).files
    assert listing(CollectSettings(repositories=(str(repository),))).files == 3


def test_the_listing_tells_what_would_be_read_before_anything_is(repository):
    found = listing(CollectSettings(repositories=(str(repository),)))
    assert (found.files, found.commits) == (3, 3)
    assert next(iter(found.lines())).startswith("repository ships: 3 files, 0.0 MB, 3 commits (python); Apache-2.0")


def test_a_limit_takes_files_from_all_over_and_always_the_same(repository):
    for number in range(30):
        (repository / f"src/more_{number}.py").write_text(f"def more_{number}(value):\n    return value\n" * 10)
    settings = CollectSettings(repositories=(str(repository),), repository_bytes=4_000)
    first, second = listing(settings), listing(settings)
    names = [entry.path for entry in first.origins[0].files]
    assert names == [entry.path for entry in second.origins[0].files] == sorted(names)
    assert first.bytes <= 4_000
    assert names[-1] > "src/more_2"

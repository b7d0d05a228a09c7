"""What is kept from training: by file, for ever the same, and never nothing."""

from fireside.training.prepare.split import is_held_out, place_of, settled
from fireside.training.prepare.survey import survey
from support.corpora import row

FILES = [("mine", f"src/{number}.py") for number in range(400)]


def test_everything_cut_from_one_file_is_on_one_side():
    for repo, path in FILES[:40]:
        sides = {is_held_out(row(kind, path, repo=repo, kind=kind), 0.5) for kind in ("lm", "fim", "doc", "edit")}
        assert len(sides) == 1


def test_about_the_asked_share_of_files_is_held_out():
    held = sum(place_of(*file) < 0.1 for file in FILES)
    assert 20 <= held <= 60


def test_at_least_one_file_is_held_out_and_at_least_one_is_not():
    for share in (0.001, 0.03, 0.999):
        found = settled(FILES[:3], share)
        held = [file for file in FILES[:3] if place_of(*file) < found]
        assert 1 <= len(held) <= 2


def test_one_file_alone_cannot_be_split():
    assert settled(FILES[:1], 0.5) == 0.0


def test_a_copy_of_a_held_out_file_is_trained_on_under_no_other_name():
    rows = [row(f"text {number}", path, repo=repo) for number, (repo, path) in enumerate(FILES)]
    held = next(one for one in rows if place_of(one.repo, one.path) < 0.1)
    path = next(f"copy{number}.py" for number in range(99) if place_of("mine", f"copy{number}.py") > 0.1)
    copy, part = row(held.text, path), row("a part of it", path, kind="fim")
    found = survey([*rows, copy, part], 0.1, lambda number: None)
    assert found.side(held) == "held"
    assert found.side(copy) == ""
    assert found.side(part) == ""

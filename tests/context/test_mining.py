"""Documentation becomes questions, and leaves the copy that is searched."""

import ast
from pathlib import Path

import pytest

from fireside.context.mining import Mined, mine
from fireside.index.chunks import Progress
from fireside.workspace.workspace import Workspace

SAILS = '''\
"""Sails and what holds them."""


class Mast:
    """What the sails of a ship hang on."""

    def reef(self, wind: float) -> float:
        """Take in as much sail as a storm makes necessary.

        Raises nothing.
        """
        area = self.area / wind
        return area


# Pull a rope until it holds by itself.
@loud
def belay(rope):
    knot = rope.tie()
    return knot


def only_documented():
    """Nothing but words stands in this body."""


def furl(sail):
    """What furl does is named by its own documentation."""
    sail.roll()
    return sail


def short(sail):
    """Too short."""
    sail.roll()
    return sail
'''
HULL = """\
package hull

// Caulk presses tarred fibre into every seam below the waterline.
// It may be called twice.
func Caulk(seams []Seam) int {
\tcount := 0
\treturn count
}
"""
RUDDER = """\
/**
 * Turns the ship slowly towards a {@link Heading heading} given in `degrees`.
 * @param to the heading
 */
export function steer(to) {
  const turn = to - now;
  return turn;
}
"""


def written(root: Path, files: dict[str, str]) -> Workspace:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return Workspace(root)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    return folder


def asked(mined: Mined) -> dict[str, tuple[str, int | None, int | None]]:
    return {
        one.text: (one.targets[0].path, one.targets[0].start_line, one.targets[0].end_line) for one in mined.questions
    }


def test_first_paragraphs_become_questions_and_definitions_their_answers(tmp_path, copy):
    mined = mine(written(tmp_path / "ship", {"sails.py": SAILS, "hull.go": HULL, "rudder.js": RUDDER}), copy)
    assert asked(mined) == {
        "What the sails of a ship hang on.": ("sails.py", 4, 13),
        "Take in as much sail as a storm makes necessary.": ("sails.py", 7, 13),
        "Pull a rope until it holds by itself.": ("sails.py", 17, 20),
        "presses tarred fibre into every seam below the waterline. It may be called twice.": ("hull.go", 5, 8),
        "Turns the ship slowly towards a heading given in degrees.": ("rudder.js", 5, 8),
    }
    assert {one.language for one in mined.questions} == {"python", "go", "javascript"}


def test_the_copy_says_none_of_it_and_keeps_every_line_where_it_was(tmp_path, copy):
    mined = mine(written(tmp_path / "ship", {"sails.py": SAILS, "hull.go": HULL, "rudder.js": RUDDER}), copy)
    for name, before in (("sails.py", SAILS), ("hull.go", HULL), ("rudder.js", RUDDER)):
        after = (copy / name).read_text()
        assert len(after.split("\n")) == len(before.split("\n"))
        assert not any(one.text.split(".")[0] in after for one in mined.questions)
        assert "@loud" in after or name != "sails.py"
    ast.parse((copy / "sails.py").read_text())
    assert (copy / "sails.py").read_text().split("\n")[12] == "        return area"


def test_what_is_said_twice_or_also_elsewhere_is_not_asked(tmp_path, copy):
    body = "    row = 1\n    return row\n"
    files = {
        "a.py": f'def one():\n    """The very same words stand here."""\n{body}',
        "b.py": f'def two():\n    """The very same words stand here."""\n{body}',
        "c.py": f'def three():\n    """These words the manual repeats in full."""\n{body}',
        "manual.md": "# Manual\n\nthree: These words the\nmanual repeats in full.\n",
    }
    mined = mine(written(tmp_path / "ship", files), copy)
    assert (mined.questions, mined.usable) == ((), 1)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Deprecated: row with the other oars instead.", ""),
        ("Four words are few.", ""),
        ("Five words are just enough.", "Five words are just enough."),
        (f"Row ashore before the tide turns. {'And then rest a while. ' * 10}", "Row ashore before the tide turns."),
        ("x" * 200, ""),
        (
            "Call :func:`~boat.land` when [the shore](http://a) is *near* now.",
            "Call boat.land when the shore is near now.",
        ),
        ("The oar dips into the water.", "dips into the water."),
        ("Grip the OAR and pull it hard.", ""),
    ],
)
def test_a_question_reads_as_one_would_ask(tmp_path, copy, text, question):
    source = f'def oar():\n    """{text}"""\n    dip = 1\n    pull = 2\n    return dip + pull\n'
    mined = mine(written(tmp_path / "ship", {"a.py": source}), copy)
    assert [one.text for one in mined.questions] == ([question] if question and len(question.split()) > 4 else [])


def test_tests_and_vendored_code_answer_nothing_but_are_searched(tmp_path, copy):
    mined = mine(written(tmp_path / "ship", {"tests/test_a.py": SAILS, "vendor/b.py": SAILS}), copy)
    assert mined.questions == ()
    assert (copy / "tests/test_a.py").is_file()
    assert (copy / "vendor/b.py").is_file()


def test_at_most_sixty_are_drawn_and_always_the_same(tmp_path, copy):
    body = "    row = 1\n    return row\n"
    text = "".join(
        f'def f{number}():\n    """Pull oar number {number} through the water."""\n{body}\n' for number in range(80)
    )
    workspace = written(tmp_path / "ship", {"a.py": text})
    first = mine(workspace, copy)
    assert (len(first.questions), first.usable) == (60, 80)
    assert mine(workspace, copy) == first
    assert [one.targets[0].start_line for one in first.questions] != sorted(
        one.targets[0].start_line or 0 for one in first.questions
    )


def test_a_comment_too_long_to_read_whole_is_no_question_and_still_blank(tmp_path, copy):
    comment = "".join(f"// line {number} of a very long story about oars\n" for number in range(90))
    mine(
        written(tmp_path / "ship", {"a.go": f"package a\n\n{comment}func Row() int {{\n\tx := 1\n\treturn x\n}}\n"}),
        copy,
    )
    assert "story" not in (copy / "a.go").read_text()


def test_odd_files_are_copied_or_left_out_and_never_stop_it(tmp_path, copy):
    workspace = written(
        tmp_path / "ship", {"broken.py": 'def (:\n  """never closed\n', "empty.py": "", "x.lua": "-- a\n"}
    )
    (workspace.root / "blob.py").write_bytes(b"\0\1\2")
    (workspace.root / "old.py").write_bytes("# Straße\n".encode("latin-1"))
    seen: list[Progress] = []
    assert mine(workspace, copy, seen.append).questions == ()
    assert sorted(path.name for path in copy.iterdir()) == ["broken.py", "empty.py", "old.py", "x.lua"]
    assert (copy / "old.py").read_text() == "# Straße\n"
    assert seen[-1].done == seen[-1].total == 5

"""The project in a page."""

from pathlib import Path

import pytest

from fireside.context.budget import estimate
from fireside.context.project import Project
from fireside.context.repomap import MIN_TOKENS, build
from fireside.core.errors import Invalid
from fireside.index.index import Index
from fireside.workspace.workspace import Workspace

CARGO = '''"""What ships carry. Weighed here."""


class CargoHold:
    def weigh_cargo(self, load: int) -> int:
        return load

    def _hidden_part(self):
        return 1


CARGO_LIMIT = 3
'''
FILES = {
    "port/core/cargo.py": CARGO,
    "port/ships.py": "from port.core.cargo import CargoHold\n\n\ndef load_ship(ship):\n    return CargoHold().weigh_cargo(ship)\n",
    "port/trains.py": "from port.core.cargo import CargoHold\n\n\ndef load_train(it):\n    return CargoHold().weigh_cargo(it)\n",
    "port/main.py": "from port.ships import load_ship\nfrom port.trains import load_train\n\n\ndef run_port():\n"
    "    load_ship(1)\n    load_train(2)\n",
    "port/lonely.py": "def nobody_calls_me():\n    return 1\n",
    "web/CargoHold.ts": "export class CargoHold { weigh(): number { return 1 } }\n",
    "tests/test_cargo.py": "".join(
        f"def test_cargo_{n}():\n    assert CargoHold().weigh_cargo({n})\n\n\n" for n in range(30)
    ),
    "vendor/lib/weights.py": "def weigh_cargo(x):\n    return x\n",
    "README.md": "# Port\n\n## Ships\n\nCargoHold everywhere: CargoHold, CargoHold.\n",
}


@pytest.fixture
def port(tmp_path: Path):
    for path, text in FILES.items():
        (tmp_path / "port" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "port" / path).write_text(text)
    workspace = Workspace(tmp_path / "port")
    project = Project(workspace, Index.open(workspace, tmp_path / "index"))
    project.update()
    yield project
    project.close()


def test_what_much_hangs_on_comes_first_and_what_nobody_reads_last(port):
    order = build(port).files
    assert order[0] == "port/core/cargo.py"
    source = [path for path in order if path.startswith(("port/", "web/"))]
    assert list(order[: len(source)]) == source
    assert order.index("port/ships.py") < order.index("port/lonely.py")
    assert order.index("tests/test_cargo.py") > order.index("port/lonely.py")


def test_a_file_says_what_it_is_and_what_it_defines(port):
    lines = build(port).text.split("\n")
    at = lines.index("port/core/cargo.py  What ships carry")
    assert lines[at + 1 : at + 3] == ["  class CargoHold", "    def weigh_cargo(load: int) -> int"]
    assert lines[0] == "port: 9 files (python 7, markdown 1, typescript 1)"


def test_a_method_stands_below_its_class_even_when_it_is_the_one_that_counts(port):
    text = build(port, tokens=120).text
    assert text.index("class CargoHold") < text.index("def weigh_cargo")


@pytest.mark.parametrize("tokens", [MIN_TOKENS, 100, 150, 200, 300, 1_000])
def test_the_page_never_takes_more_tokens_than_it_may(port, tokens):
    drawn = build(port, tokens=tokens)
    assert drawn.tokens == estimate(drawn.text) <= tokens
    assert len(drawn.files) + drawn.left_out == 9


def test_more_room_shows_more_and_keeps_what_was_there(port):
    small, large = build(port, tokens=120), build(port, tokens=400)
    assert small.files == large.files[: len(small.files)]
    assert len(small.files) < len(large.files)


def test_what_is_left_out_is_counted_by_folder(port):
    drawn = build(port, tokens=150)
    assert drawn.text.split("\n")[-1].startswith(f"{drawn.left_out} more files: ")
    assert "tests 1" in drawn.text


def test_the_same_generation_gives_the_same_bytes(port):
    one = build(port)
    assert build(port) == one
    again = Project(port.workspace, Index.open(port.workspace, port.index.folder))
    assert build(again) == one
    again.close()
    (port.root / "port/new.py").write_text("from port.core.cargo import CargoHold\n\n\nclass NewThing:\n    pass\n")
    port.update()
    assert build(port).generation == one.generation + 1
    assert "NewThing" in build(port).text


@pytest.mark.parametrize("focus", ["port/lonely.py", "lonely.py", "port/lonely*"])
def test_a_focus_comes_first(port, focus):
    assert build(port, focus=(focus,)).files[0] == "port/lonely.py"


def test_a_folder_as_focus_brings_what_it_uses_along(port):
    order = build(port, focus=("port/trains.py",)).files
    assert order[0] == "port/trains.py"
    assert order.index("port/core/cargo.py") < order.index("port/lonely.py")


@pytest.mark.parametrize("focus", [".", ""])
def test_the_whole_project_is_no_focus(port, focus):
    assert build(port, focus=(focus,)) == build(port)


def test_a_focus_that_is_nowhere_is_said(port):
    with pytest.raises(Invalid, match="port/nowhere"):
        build(port, focus=("port/nowhere",))


def test_too_little_room_is_said(port):
    with pytest.raises(Invalid, match="64 tokens"):
        build(port, tokens=10)


def test_a_project_without_code_or_without_anything_has_a_map_too(tmp_path):
    for number, text in enumerate(("", "# Only prose\n\n## Chapter\n\ntext\n", "just text\n")):
        root = tmp_path / f"root{number}"
        root.mkdir()
        if text:
            (root / "a.md").write_text(text)
        project = Project(Workspace(root), Index.open(Workspace(root), tmp_path / f"index{number}"))
        project.update()
        drawn = build(project)
        assert drawn.files == (("a.md",) if "Chapter" in text else ())
        assert drawn.text.startswith(f"root{number}: ")
        project.close()

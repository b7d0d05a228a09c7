"""One project as the other rooms see it."""

from pathlib import Path

import pytest

from fireside.context.project import Project, imported_stems
from fireside.core.errors import Invalid, NotPermitted
from fireside.index.index import Index
from fireside.workspace.grep import Query
from fireside.workspace.workspace import Workspace

FILES = {
    "app/main.py": "from lib.deep.engine import start\n\nstart()\n",
    "app/view.py": "view = 1\n",
    "app/view.css": "a {}\n",
    "lib/deep/engine.py": "def start(): ...\n",
    "lib/other.py": "other = 1\n",
    "web/page.ts": "import { help } from './widgets/menu';\n",
    "web/widgets/menu.ts": "export const help = 1;\n",
    "web/zebra.ts": "export const zebra = 1;\n",
}


@pytest.fixture
def project(tmp_path: Path):
    for path, text in FILES.items():
        (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / path).write_text(text)
    workspace = Workspace(tmp_path / "root")
    made = Project(workspace, Index.open(workspace, tmp_path / "index"))
    made.update()
    yield made
    made.close()


def test_neighbours_are_what_a_file_imports_then_what_lies_beside_it_then_its_language(project):
    assert [one.path for one in project.neighbours("app/main.py")] == [
        "lib/deep/engine.py",
        "app/view.py",
        "lib/other.py",
    ]
    assert [one.path for one in project.neighbours("web/page.ts")] == ["web/widgets/menu.ts", "web/zebra.ts"]
    assert project.neighbours("app/main.py", limit=1)[0].text == FILES["lib/deep/engine.py"]


def test_a_file_that_does_not_exist_yet_has_neighbours(project):
    assert project.neighbours("lib/new.py", limit=1)[0].path == "lib/other.py"


def test_neighbours_of_a_file_outside_are_refused(project):
    with pytest.raises(NotPermitted):
        project.neighbours("../elsewhere.py")


def test_a_neighbour_deleted_since_is_left_out(project):
    (project.root / "lib/deep/engine.py").unlink()
    assert project.neighbours("app/main.py", limit=1)[0].path == "app/view.py"


def test_definitions_come_before_prose_and_source_before_tests(project):
    (project.root / "tests").mkdir()
    (project.root / "tests/test_start.py").write_text("def start(): ...\n\n\ndef Start(): ...\n")
    (project.root / "START.md").write_text("# start\n")
    project.update()
    assert [one.path for one in project.symbols("start")] == [
        "lib/deep/engine.py",
        "tests/test_start.py",
        "START.md",
        "tests/test_start.py",
    ]


def test_the_body_of_a_definition_is_read_from_disk(project):
    (symbol,) = project.symbols("start")
    assert project.body(symbol) == "def start(): ..."
    (project.root / "lib/deep/engine.py").unlink()
    assert project.body(symbol) is None


def test_the_body_behind_a_link_that_leads_out_is_not_read(project, tmp_path):
    (symbol,) = project.symbols("start")
    (tmp_path / "outside.py").write_text("def start(): ...\n")
    (project.root / "lib/deep/engine.py").unlink()
    (project.root / "lib/deep/engine.py").symlink_to(tmp_path / "outside.py")
    assert project.body(symbol) is None


def test_hits_whose_file_has_gone_since_are_not_related(project):
    for name in ("one", "two", "three"):
        (project.root / f"lib/{name}.py").write_text("ballast_keel = rudder_stock\n")
    project.update()
    (project.root / "lib/two.py").unlink()
    chunk, hits = project.related("lib/one.py", 1)
    assert chunk.path == "lib/one.py"
    assert [hit.chunk.path for hit in hits] == ["lib/three.py"]


def test_grep_knows_languages_also_of_files_without_an_extension(project):
    (project.root / "run").write_text("#!/bin/bash\nhelp=1\n")
    assert [one.path for one in project.grep(Query("help"), language="shell").matches] == ["run"]
    assert [one.path for one in project.grep(Query("help"), language="ts", path="widgets").matches] == [
        "web/widgets/menu.ts"
    ]


def test_a_home_folder_is_not_searched_through(project):
    wide = Project(project.workspace, project.index, too_wide=True)
    with pytest.raises(Invalid, match="not a project"):
        wide.grep(Query("x"))


def test_languages_are_counted(project):
    assert project.languages() == {"python": 4, "typescript": 3, "css": 1}


def test_closing_twice_is_fine(project):
    project.close()
    project.close()


@pytest.mark.parametrize(
    ("line", "stems"),
    [
        ("from a.b import c, d", {"b", "c", "d"}),
        ("import os.path", {"path"}),
        ("const x = require('./lib/x.js')", {"x"}),
        ("import type { T } from '@scope/types'", {"types", "T"}),
        ("use crate::store::Index;", {"store", "Index"}),
        ('#include "net/http.h"', {"http"}),
        ('import "github.com/a/b"', {"b"}),
        ("require_relative 'parser'", {"parser"}),
    ],
)
def test_import_lines_name_files(line, stems):
    assert stems <= set(imported_stems(line))


def test_other_lines_name_nothing():
    assert not imported_stems("total = price + tax\n")

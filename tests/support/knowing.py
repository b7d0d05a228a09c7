"""A project with an index, for tests that need no models."""

from collections.abc import Mapping
from pathlib import Path

from fireside.context.project import Project
from fireside.index.index import Index
from fireside.workspace.workspace import Workspace


def open_project(folder: Path, files: Mapping[str, str]) -> Project:
    """``files`` written under ``folder``/root and read. The caller closes it."""
    for path, text in files.items():
        place = folder / "root" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    workspace = Workspace(folder / "root")
    project = Project(workspace, Index.open(workspace, folder / "index"))
    project.update()
    return project

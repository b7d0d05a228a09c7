"""Build the knowledge wing alone: for doors that ask no model. Loads no engine."""

import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from fireside.config.paths import Paths
from fireside.context.project import Project
from fireside.index.index import Index
from fireside.workspace.workspace import Workspace, find_root


def open_project(root: Path | None, *, environ: Mapping[str, str] = os.environ) -> Project:
    """The project at or above ``root`` (else: the current folder). Raises ``Invalid`` for a folder that does not exist."""
    return build_project(find_root(root), Paths.from_environment(environ))


def build_project(root: Path, paths: Paths) -> Project:
    workspace = Workspace(root)
    return Project(workspace, Index.open(workspace, index_folder(root, paths)))


def index_folder(root: Path, paths: Paths) -> Path:
    """One folder per checkout: two clones of one repository never share an index."""
    return paths.cache / "index" / blake2b(str(root.resolve()).encode(), digest_size=10).hexdigest()

"""Build the knowledge wing alone: for doors that ask no model. Loads no engine."""

import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from fireside.config.paths import Paths
from fireside.context.project import Project
from fireside.core.errors import Invalid
from fireside.index.index import Index
from fireside.workspace.workspace import Workspace, find_root


def open_project(root: Path | None, *, environ: Mapping[str, str] = os.environ) -> Project:
    """The project in ``root``, taken literally (else: at or above the current folder). Raises ``Invalid`` for what is no folder."""
    return build_project(project_root(root), Paths.from_environment(environ), named=root is not None)


def project_root(root: Path | None) -> Path:
    """``root`` itself, or the project at or above the current folder. Raises ``Invalid`` for what is no folder."""
    if root is None:
        return find_root()
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise Invalid(f"{root} {what}", remedy="name the project's folder")
    return root


def build_project(root: Path, paths: Paths, *, named: bool) -> Project:
    """``named``: the user said this folder; else a home folder is not taken for a project, nor is the whole disk."""
    workspace = Workspace(root)
    refused = not named and workspace.root in (Path.home(), Path(workspace.root.anchor))
    return Project(workspace, Index.open(workspace, index_folder(root, paths)), too_wide=refused)


def index_folder(root: Path, paths: Paths) -> Path:
    """One folder per checkout: two clones of one repository never share an index."""
    return paths.cache / "index" / blake2b(os.fsencode(root.resolve()), digest_size=10).hexdigest()

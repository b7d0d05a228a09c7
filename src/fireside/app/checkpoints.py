"""Open the checkpoints of a project: for doors that change files. Loads no engine and no index."""

import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from fireside.app.knowledge import project_root
from fireside.config.paths import Paths
from fireside.core.errors import Invalid
from fireside.workspace.checkpoints import Checkpoints
from fireside.workspace.workspace import Workspace


def open_checkpoints(root: Path | None, *, environ: Mapping[str, str] = os.environ) -> Checkpoints:
    """The checkpoints of the project in ``root``, taken literally (else: at or above the current folder); close them again.

    Raises ``Invalid`` for what is no folder, and for a home folder or a whole disk that nobody named.
    """
    paths = Paths.from_environment(environ)
    workspace = Workspace(project_root(root))
    if root is None and workspace.root in (Path.home(), Path(workspace.root.anchor)):
        raise Invalid(
            f"{workspace.root} is not a project; keeping states of all of it would take long",
            remedy="go to a project's folder\nor name one: fireside --root DIR ...",
        )
    return Checkpoints(
        workspace,
        checkpoints_folder(workspace.root, paths),
        apart=(paths.config, paths.data, paths.cache, paths.runtime),
    )


def checkpoints_folder(root: Path, paths: Paths) -> Path:
    """One folder per checkout: two clones of one repository never share their states."""
    return paths.data / "checkpoints" / blake2b(os.fsencode(root.resolve()), digest_size=10).hexdigest()

"""One index over many repositories, in a folder of its own that says which they are. Builds it the way a project's is built."""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fireside.app.cluster import open_cluster
from fireside.app.inference import build_egress
from fireside.app.knowledge import build_embedding
from fireside.app.settings import load_config
from fireside.config.paths import Paths
from fireside.context.project import Project
from fireside.core.errors import Invalid, NotPermitted
from fireside.index.chunks import IndexReport, Progress
from fireside.index.embed import Embedding
from fireside.index.gathering import Gathering, named
from fireside.index.index import Index
from fireside.index.prepare import Preparer, here
from fireside.index.ray_preparer import RayPreparer
from fireside.index.store import Store

SOURCES = "sources.json"
LOCK = "sources.lock"
# Whoever walks over the folder leaves it out: https://bford.info/cachedir/
TAG = "CACHEDIR.TAG"
TAG_TEXT = "Signature: 8a477f597d28d172789f06886806bc55\n# A search index of Fireside; it can be made again.\n"


class Sources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``sources.json`` says: the name of each repository and where it is (relative: to the index's folder)."""

    sources: dict[str, str]


@dataclass(frozen=True, slots=True)
class SharedIndex:
    """``project``: to be searched. ``sources``: what is in it, by name. ``updated``: when it was brought up to date before it was opened,
    seconds since 1970; 0 where nobody asked. ``preparer``: where its files are parsed.
    """

    project: Project
    sources: Mapping[str, Path]
    updated: float = 0.0
    preparer: Preparer = here

    def update(self, progress: Callable[[Progress], None] | None = None, *, rebuild: bool = False) -> IndexReport:
        """Read what has changed in all sources. Raises ``Invalid`` when one of them is away: nothing is done then."""
        return self.project.index.update(progress, rebuild=rebuild, most_vectors=None, preparer=self.preparer)

    def close(self) -> None:
        """Safe to call twice."""
        self.project.close()


def gather(
    folder: Path,
    roots: Sequence[Path] = (),
    *,
    ray: str | None = None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, object] | None = None,
) -> SharedIndex:
    """The index in ``folder``, made when there is none, with ``roots`` added to what it is about. Nothing is read from them yet.

    ``ray``: the address of a cluster that does the work (see ``RayCluster``). Raises ``Invalid`` for a folder that holds something else,
    for roots that cannot be added, when there are none at all, and when Ray is not installed.
    """
    settings = load_config(None, environ, flags).settings
    cluster = open_cluster(ray, build_egress(settings, Paths.from_environment(environ)), environ) if ray else None
    sources = _added(folder, roots)
    embedding = build_embedding(settings, environ, folder)
    if cluster is None:
        return SharedIndex(_project(folder, sources, embedding), sources)
    # Any other embedder is asked through the gateway, which is on this machine.
    embedder_id = embedding.embedder.id if embedding is not None and embedding.embedder.cheap else None
    preparer = RayPreparer(cluster, embedder_id=embedder_id)
    return SharedIndex(_project(folder, sources, embedding), sources, preparer=preparer)


def look_into(
    folder: Path, *, environ: Mapping[str, str] = os.environ, flags: Mapping[str, object] | None = None
) -> SharedIndex:
    """The index in ``folder`` as it is, for searching: what it is about need not be on this machine.

    Raises ``Invalid`` when there is none, or one that this version cannot read: it is not for the reader to make it anew.
    """
    sources = _known(folder)
    if not sources:
        raise Invalid(f"there is no shared index in {folder}", remedy=f"fireside index --into {folder} REPOSITORY ...")
    found = Store.open(folder)
    if isinstance(found, str):
        raise _unusable(folder, found)
    updated = float(found.meta("updated", "0"))
    found.close()
    if not updated:
        raise _unusable(folder, "")
    embedding = build_embedding(load_config(None, environ, flags).settings, environ, folder)
    return SharedIndex(_project(folder, sources, embedding), sources, updated)


def _unusable(folder: Path, reason: str) -> Invalid:
    return Invalid(
        f"the index in {folder} cannot be used: {reason or 'it was never finished'}",
        remedy=f"fireside index --into {folder}",
    )


def _project(folder: Path, sources: Mapping[str, Path], embedding: Embedding | None) -> Project:
    workspace = Gathering(folder, sources)
    return Project(workspace, Index.open(workspace, workspace.root, embedding))


def _added(folder: Path, roots: Sequence[Path]) -> dict[str, Path]:
    """What the index is about from now on."""
    from filelock import FileLock

    known = _known(folder)
    sources = named(roots, known)
    if not sources:
        raise Invalid(f"{folder} is about nothing yet", remedy=f"fireside index --into {folder} REPOSITORY ...")
    if sources == known:
        return known
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / TAG, TAG_TEXT.encode())
        # Others may be adding theirs.
        with FileLock(folder / LOCK):
            sources = named(roots, _read(folder / SOURCES))
            text = msgspec.json.encode(Sources({name: str(root) for name, root in sources.items()}))
            _replace(folder / SOURCES, msgspec.json.format(text) + b"\n")
    except OSError as error:
        raise NotPermitted(f"{folder} cannot be written: {error.strerror}", remedy=f"check: ls -ld {folder}") from error
    return sources


def _known(folder: Path) -> dict[str, Path]:
    """What the index in ``folder`` is about; {} where nothing is yet. Raises ``Invalid`` for a folder that holds anything else."""
    if folder.exists() and not folder.is_dir():
        raise Invalid(f"{folder} is not a folder", remedy="name a new folder: --into FOLDER")
    try:
        if not (folder / SOURCES).exists() and folder.exists() and any(folder.iterdir()):
            raise Invalid(
                f"{folder} holds something else than a shared index", remedy="name a new folder: --into FOLDER"
            )
        return _read(folder / SOURCES)
    except OSError as error:
        raise NotPermitted(f"{folder} cannot be read: {error.strerror}", remedy=f"check: ls -ld {folder}") from error


def _read(path: Path) -> dict[str, Path]:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Sources).sources
    except FileNotFoundError:
        return {}
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        remedy = 'write it like {"sources": {"NAME": "/its/folder"}}'
        raise Invalid(f"{path} is damaged: {error}", remedy=remedy) from error
    for name in found:
        if not name or "/" in name or name in (".", ".."):
            raise Invalid(f"{name!r} in {path} is not a name", remedy="a name has no slash; change it there")
    return {name: path.parent.resolve() / place for name, place in found.items()}


def _replace(path: Path, data: bytes) -> None:
    """All of it or nothing, whoever reads meanwhile."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    try:
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    except OSError:
        os.unlink(file.name)
        raise

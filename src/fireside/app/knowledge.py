"""Build the knowledge wing alone: for doors that ask no model. Asks no engine unless the settings name a model for embeddings."""

import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from fireside.config.paths import Paths
from fireside.context.project import Project
from fireside.core.errors import Invalid
from fireside.index.embed import Elsewhere, Embedding
from fireside.index.index import Index
from fireside.workspace.workspace import Workspace, find_root

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from fireside.app.settings import Settings
    from fireside.engines.egress import Egress
    from fireside.gateway.gateway import Gateway


def open_project(
    root: Path | None, *, environ: Mapping[str, str] = os.environ, flags: Mapping[str, object] | None = None
) -> Project:
    """The project in ``root``, taken literally (else: at or above the current folder). Raises ``Invalid`` for what is no folder, and for
    wrong settings."""
    from fireside.app.settings import load_config

    place = project_root(root)
    settings = load_config(place, environ, flags).settings
    return build_project(place, settings, environ, named=root is not None)


def project_root(root: Path | None) -> Path:
    """``root`` itself, or the project at or above the current folder. Raises ``Invalid`` for what is no folder."""
    if root is None:
        return find_root()
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise Invalid(f"{root} {what}", remedy="name the project's folder")
    return root


def build_project(root: Path, settings: "Settings", environ: Mapping[str, str], *, named: bool) -> Project:
    """``named``: the user said this folder; else a home folder is not taken for a project, nor is the whole disk."""
    workspace, paths = Workspace(root), Paths.from_environment(environ)
    refused = not named and workspace.root in (Path.home(), Path(workspace.root.anchor))
    folder = index_folder(root, paths)
    embedding = build_embedding(settings, environ, folder)
    # Not opened yet: who only looks at files must not fail where no index can be kept.
    return Project(workspace, Index(workspace, folder, embedding), too_wide=refused)


def build_embedding(settings: "Settings", environ: Mapping[str, str], folder: Path) -> Embedding | None:
    """What the index in ``folder`` finds by meaning with; ``None``: it searches by words alone. Asks no model yet."""
    from fireside.app.embedding import choose_embedder
    from fireside.app.inference import build_egress
    from fireside.app.vector_places import VectorPlaces
    from fireside.index.static import Shipped
    from fireside.index.store import Store

    chosen, paths = settings.index, Paths.from_environment(environ)
    egress = build_egress(settings, paths)
    embedder = choose_embedder(
        chosen,
        built_in=Shipped,
        opened=lambda: _gateway(settings, environ, paths, egress),
        cache=paths.cache / "vectors",
    )
    if embedder is None:
        return None
    elsewhere: Elsewhere = VectorPlaces(chosen, embedder, folder, identity=Store.identity, egress=egress)
    place = f"{chosen.store} {chosen.chroma_url} {chosen.chroma_collection}" if chosen.store == "chroma" else "usearch"
    return Embedding(embedder, elsewhere, place=place)


def usual_embedding(environ: Mapping[str, str] = os.environ) -> Embedding | None:
    """What the user's settings say, for indexes that are no project's."""
    from fireside.app.settings import load_config

    settings = load_config(None, environ, {}).settings
    return build_embedding(settings, environ, Paths.from_environment(environ).cache / "index")


def _gateway(
    settings: "Settings", environ: Mapping[str, str], paths: Paths, egress: "Egress"
) -> "AbstractAsyncContextManager[Gateway]":
    """A gateway for the embedder alone, with connections of its own."""
    from fireside.app.embedding import own_gateway
    from fireside.app.inference import build_context, build_gateway
    from fireside.app.settings import SECRETS
    from fireside.config.secrets import Secrets
    from fireside.core.events import EventBus
    from fireside.models.store import ModelStore

    store, secrets = ModelStore(paths.data / "models"), Secrets(environ, SECRETS)
    context = build_context(paths, store=store, secrets=secrets, events=EventBus(), egress=egress)
    return own_gateway(context, lambda own: build_gateway(settings, own))


def index_folder(root: Path, paths: Paths) -> Path:
    """One folder per checkout: two clones of one repository never share an index."""
    return paths.cache / "index" / blake2b(os.fsencode(root.resolve()), digest_size=10).hexdigest()

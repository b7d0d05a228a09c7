"""Model files on disk: which there are, where each came from, and that each is what its digest says.

Layout, version 1, under the store's root::

    v1/models/NAME.json      one manifest per model: name, version, sha256, size, source, added, parent, path, base
    v1/blobs/sha256-HEX      contents, shared by all names that have them
    v1/cards/NAME.json, .md  the model's story (see ``modelcard``), where somebody told it
    v1/downloads/            what is being pulled, or was interrupted (see ``download``)

A LoRA adapter is a model of its own: its contents are the adapter's, and ``base`` is the digest of the model it is laid over. A manifest is
written last and atomically, so a model is there whole or not at all. Names are compared without regard to case, as some file systems do.
Knows files and digests; ``download`` knows servers.
"""

import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import msgspec

from fireside.core.errors import FiresideError, Invalid, ModelNotFound
from fireside.core.retry import Backoff
from fireside.core.streams import closing
from fireside.models.adapters import check_adapter
from fireside.models.disk import check_space, disk_errors, replace_file, sync_folder, write_atomically
from fireside.models.download import Download, Fetch, Progress, default_name
from fireside.models.gguf import Header, read_header, verify
from fireside.models.header import printable
from fireside.models.modelcard import ModelStory, as_markdown

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+-]{0,199}")
PIECE = 4 << 20
LATEST = ":latest"
LIST_FIRST = "fireside models list"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What one file under ``models/`` says. ``added``: seconds since 1970. ``path``: set when the file stays where the user has it.

    ``base``: set for an adapter, the digest of the model it is laid over; ``path`` is that model's file then, unless it is the store's.
    """

    name: str
    version: int
    sha256: str
    size: int
    source: str
    added: float
    parent: str = ""
    path: str = ""
    base: str = ""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One model of the store. ``version`` counts how often its name was given new contents; ``parent``: the digest it had before.

    ``source``: the path or address it came from. ``linked``: the file is the user's own, outside the store.

    ``adapter``: of a LoRA its own file, whose digest and size these are; ``path`` is then the file it is laid over, and ``base`` that
    file's digest.
    """

    name: str
    version: int
    sha256: str
    size: int
    source: str
    added: float
    parent: str
    path: Path
    linked: bool = False
    adapter: Path | None = None
    base: str = ""

    @property
    def own(self) -> Path:
        """The file whose digest this is."""
        return self.adapter or self.path

    @property
    def present(self) -> bool:
        """Whether its files are still there (a linked one may have been moved away)."""
        return self.path.is_file() and self.own.is_file()


class ModelStore:
    """``root``: made when first needed. ``retry``: the waits between attempts when a download breaks off."""

    def __init__(self, root: Path, *, retry: Backoff | None = None) -> None:
        self.root = root
        self._folder = root / "v1"
        self._blobs = self._folder / "blobs"
        self._models = self._folder / "models"
        self._cards = self._folder / "cards"
        self._downloads = self._folder / "downloads"
        self._retry = retry or Backoff(first=0.5, limit=10.0, attempts=6)

    def list(self) -> list[StoredModel]:
        """All models by name. A manifest nobody can read is passed over; ``find`` says what is wrong with it."""
        found = []
        for place in sorted(self._models.glob("*.json")) if self._models.is_dir() else ():
            try:
                found.append(self._read(place))
            except FiresideError:
                continue
        return sorted(found, key=lambda model: model.name.casefold())

    def find(self, name: str) -> StoredModel:
        """The model of that name (``name`` and ``name:latest`` are one). Raises ``ModelNotFound`` with the closest names."""
        for candidate in (name, name.removesuffix(LATEST), name + LATEST):
            place = self._manifest(candidate)
            if NAME.fullmatch(candidate) and place.is_file():
                return self._read(place)
        known = [model.name for model in self.list()]
        close = get_close_matches(name, known, n=3, cutoff=0.5)
        remedy = f"did you mean {' or '.join(close)}?" if close else "add one: fireside models add FILE.gguf"
        raise ModelNotFound(f"there is no model {printable(name)} in the store", remedy=remedy)

    def add(
        self,
        path: str | Path,
        name: str | None = None,
        *,
        copy: bool = True,
        progress: Callable[[Progress], None] | None = None,
    ) -> StoredModel:
        """Take a GGUF in, under ``name`` or its file's name. Without ``copy`` the file stays where it is and is only registered.

        Raises ``Invalid`` when it is no sound GGUF, ``OutOfResources`` when the disk is too small. Reads the whole file once: not for
        the event loop.
        """
        path = Path(path).expanduser().absolute()
        chosen = checked_name(name or default_name(path.name))
        check_model(path)
        size = path.stat().st_size
        tell = progress or (lambda step: None)
        if not copy:
            digest = _hash(path, lambda done: tell(Progress("reading", done, size)))
            return self._register(chosen, digest, size, source=str(path), path=str(path))
        with disk_errors(f"adding {printable(path.name)}"):
            self._make_folders()
            check_space(self._blobs, size)
            contents, digest = self._copy_in(path, lambda done: tell(Progress("copying", done, size)))
        try:
            return self._register(chosen, digest, size, source=str(path), contents=contents)
        finally:
            contents.unlink(missing_ok=True)

    def add_adapter(self, name: str, file: str | Path, base: str | Path) -> StoredModel:
        """Take a LoRA adapter in as a model of its own. ``base``: the name of a stored model, or the path of a GGUF.

        Raises ``Invalid`` for a file that is no adapter or belongs to another base, ``ModelNotFound`` when the base is not there,
        ``OutOfResources`` when the disk is too small. Reads a base outside the store whole: not for the event loop.
        """
        path, chosen = Path(file).expanduser().absolute(), checked_name(name)
        ground, digest, outside = self._ground(base)
        check_adapter(path, ground)
        with disk_errors(f"adding {printable(path.name)}"):
            self._make_folders()
            check_space(self._blobs, path.stat().st_size)
            contents, own = self._copy_in(path, lambda done: None)
        try:
            size = contents.stat().st_size
            return self._register(
                chosen, own, size, source=str(path), path=str(ground) if outside else "", contents=contents, base=digest
            )
        finally:
            contents.unlink(missing_ok=True)

    def adapters_of(self, sha256: str) -> tuple[StoredModel, ...]:
        """The adapters that are laid over the model with this digest."""
        return tuple(model for model in self.list() if model.base == sha256)

    def copy(self, name: str, new: str) -> StoredModel:
        """Give a model a second name; its contents are kept once. Raises ``ModelNotFound`` and, for a name that is none, ``Invalid``."""
        model, chosen = self.find(name), checked_name(new)
        path = "" if model.path.parent == self._blobs else str(model.path)
        return self._register(chosen, model.sha256, model.size, source=model.source, path=path, base=model.base)

    def adopt(self, contents: Path, name: str, *, sha256: str) -> StoredModel:
        """Take in a file of the store's own disk whose digest is known, by moving it. Raises ``Invalid`` when it is no sound GGUF."""
        chosen = checked_name(name)
        check_model(contents)
        return self._register(chosen, sha256, contents.stat().st_size, source=f"sha256:{sha256}", contents=contents)

    def contents(self, sha256: str) -> Path | None:
        """The file with this digest, if a model of the store has it."""
        place = self._blob(sha256)
        return place if place.is_file() else None

    def remove(self, name: str) -> StoredModel:
        """Forget a model, and delete its contents unless another name has them or they are the user's own file.

        Raises ``Invalid`` with their names when adapters stand on it.
        """
        model = self.find(name)
        with self._locked():
            others = [each for each in self.list() if each.sha256 == model.sha256 and each.name != model.name]
            standing = [] if others or model.base else [each.name for each in self.adapters_of(model.sha256)]
            if standing:
                raise Invalid(
                    f"{model.name} is the base of {', '.join(standing)}",
                    remedy=f"fireside models rm {' '.join(standing)}",
                )
            self._manifest(model.name).unlink(missing_ok=True)
            self._forget_story(model.name)
            self._collect(model.sha256, model.base)
        return model

    def set_story(self, name: str, story: ModelStory) -> None:
        """Keep a model's card, as data and to be read. Raises ``ModelNotFound``."""
        model = self.find(name)
        told = msgspec.structs.replace(story, name=model.name, sha256=model.sha256)
        with disk_errors(f"keeping the card of {model.name}"), self._locked():
            self._cards.mkdir(parents=True, exist_ok=True)
            place = self._card(model.name)
            write_atomically(place.with_suffix(".md"), as_markdown(told).encode())
            write_atomically(place, msgspec.json.format(msgspec.json.encode(told)))

    def story(self, name: str) -> ModelStory | None:
        """A model's card; ``None`` where nobody told one, or where it is of contents the name had before. Raises ``ModelNotFound``."""
        model = self.find(name)
        try:
            told = msgspec.json.decode(self._card(model.name).read_bytes(), type=ModelStory)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise Invalid(
                f"the card of {model.name} cannot be read: {error}", remedy=f"delete {self._card(model.name)}"
            ) from error
        return told if told.sha256 == model.sha256 else None

    def verify(self, name: str, *, progress: Callable[[Progress], None] | None = None) -> StoredModel:
        """Read a model whole and compare it with its digest. Raises ``Invalid`` when it changed."""
        model = self.find(name)
        check_model(model.path)
        if model.adapter is not None:
            check_adapter(model.adapter, model.path)
        tell = progress or (lambda step: None)
        digest = _hash(model.own, lambda done: tell(Progress("verifying", done, model.size)))
        if digest != model.sha256:
            raise Invalid(
                f"{model.name} has changed on disk: its digest is {digest[:12]}, it was {model.sha256[:12]}",
                remedy=f"fireside models rm {model.name}, then add or pull it again",
            )
        return model

    async def pull(
        self, url: str, name: str | None = None, *, sha256: str | None = None, fetch: Fetch
    ) -> AsyncIterator[Progress]:
        """Download a GGUF and register it; ends with the status "success". A pull that broke off goes on where it was.

        ``sha256``: what the file must hash to, 64 hex digits. Raises ``Invalid`` (not a GGUF, wrong digest), ``ModelNotFound`` (no such
        file there), ``NotPermitted``, ``ConnectionFailed`` and ``OutOfResources`` (disk; another pull of the same address).
        """
        chosen = checked_name(name or default_name(url))
        wanted = checked_digest(sha256)
        with disk_errors("the download"):
            self._make_folders()
        download = Download(self._downloads, url, sha256=wanted, fetch=fetch, retry=self._retry)
        with download.claimed():
            async with closing(download.run()) as steps:
                async for step in steps:
                    yield step
            yield Progress("verifying GGUF", download.size, download.size)
            download.judge(check_model)
            self._register(chosen, download.digest, download.size, source=url, contents=download.part)
            download.forget()
        yield Progress("success", download.size, download.size)

    # Manifests and blobs

    def _register(
        self,
        name: str,
        digest: str,
        size: int,
        *,
        source: str,
        path: str = "",
        contents: Path | None = None,
        base: str = "",
    ) -> StoredModel:
        """Write the manifest, after moving ``contents`` among the blobs; both under one lock, lest another process collects them."""
        with disk_errors(f"registering {name}"), self._locked():
            if contents is not None:
                replace_file(contents, self._blob(digest))
            before = self._read_if_there(name)
            same = before is not None and before.sha256 == digest
            manifest = Manifest(
                name=name,
                version=1 if before is None else before.version + (not same),
                sha256=digest,
                size=size,
                source=source,
                added=time.time(),
                parent="" if before is None else before.parent if same else before.sha256,
                path=path,
                base=base,
            )
            write_atomically(self._manifest(name), msgspec.json.format(msgspec.json.encode(manifest)))
            if before is not None:
                self._collect(before.sha256, before.base)
        return self._read(self._manifest(name))

    def _read_if_there(self, name: str) -> StoredModel | None:
        try:
            return self._read(self._manifest(name))
        except FiresideError:
            return None

    def _read(self, place: Path) -> StoredModel:
        try:
            told = msgspec.json.decode(place.read_bytes(), type=Manifest)
        except (OSError, msgspec.MsgspecError) as error:
            raise Invalid(
                f"the manifest {place.name} cannot be read: {error}", remedy=f"delete {place}, then add the model again"
            ) from error
        return StoredModel(
            name=told.name,
            version=told.version,
            sha256=told.sha256,
            size=told.size,
            source=told.source,
            added=told.added,
            parent=told.parent,
            path=Path(told.path) if told.path else self._blob(told.base or told.sha256),
            linked=bool(told.path) and not told.base,
            adapter=self._blob(told.sha256) if told.base else None,
            base=told.base,
        )

    def _ground(self, base: str | Path) -> tuple[Path, str, bool]:
        """The file an adapter is to stand on, its digest, and whether it is outside the store."""
        path = Path(base).expanduser().absolute()
        known = next((model for model in self.list() if model.path == path and not model.base), None)
        if known is None and not path.is_file():
            known = self.find(str(base))
            if known.base:
                raise Invalid(f"{known.name} is an adapter itself", remedy="name the model it is laid over")
        if known is not None:
            return known.path, known.sha256, known.linked
        check_model(path)
        return path, _hash(path, lambda done: None), True

    def _collect(self, *digests: str) -> None:
        """Delete contents that no model has, or stands on, any more. The caller holds the lock."""
        kept = {each for model in self.list() for each in (model.base, "" if model.linked else model.sha256)}
        for digest in set(digests) - kept - {""}:
            self._blob(digest).unlink(missing_ok=True)

    def _card(self, name: str) -> Path:
        return self._cards / f"{quote(name.casefold(), safe='')}.json"

    def _forget_story(self, name: str) -> None:
        for place in (self._card(name), self._card(name).with_suffix(".md")):
            place.unlink(missing_ok=True)

    def _copy_in(self, source: Path, progress: Callable[[int], None]) -> tuple[Path, str]:
        """Copy a file among the blobs under a passing name, hashing on the way; returns where it is and its digest."""
        handle, name = tempfile.mkstemp(dir=self._blobs, prefix=".adding-")
        temporary = Path(name)
        try:
            with source.open("rb") as reading, os.fdopen(handle, "wb") as writing:
                digest = _copy(reading, writing, progress)
                writing.flush()
                os.fsync(writing.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return temporary, digest

    def _manifest(self, name: str) -> Path:
        return self._models / f"{quote(name.casefold(), safe='')}.json"

    def _blob(self, digest: str) -> Path:
        return self._blobs / f"sha256-{digest}"

    def _make_folders(self) -> None:
        for folder in (self._blobs, self._models, self._downloads):
            folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Only one process at a time changes manifests and deletes blobs."""
        from filelock import FileLock

        self._make_folders()
        with FileLock(self._folder / ".lock"):
            yield
        sync_folder(self._models)


def check_model(path: Path) -> Header:
    """Read and verify a GGUF's header. Raises ``Invalid``; parts of a split model too, for llama.cpp finds them by their names."""
    header = read_header(path)
    parts = header.number("split.count") or 0
    if parts > 1:
        raise Invalid(
            f"{printable(path.name)} is one of {parts} parts of a model",
            remedy="join them first: llama-gguf-split --merge FIRST-PART.gguf WHOLE.gguf",
        )
    verify(header)
    return header


def checked_name(name: str) -> str:
    if not NAME.fullmatch(name) or ".." in name:
        raise Invalid(
            f"{printable(name)!r} cannot be a model's name",
            remedy="use letters, digits and . _ : / + -, beginning with a letter or digit: --name NAME",
        )
    return name


def checked_digest(digest: str | None) -> str | None:
    if digest is None:
        return None
    plain = digest.strip().lower().removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{64}", plain):
        raise Invalid(f"{printable(digest)} is not a sha256 digest", remedy="give its 64 hexadecimal digits")
    return plain


def _copy(reading: BinaryIO, writing: BinaryIO, progress: Callable[[int], None]) -> str:
    digest, done = new_sha256(), 0
    while piece := reading.read(PIECE):
        writing.write(piece)
        digest.update(piece)
        done += len(piece)
        progress(done)
    return digest.hexdigest()


def _hash(path: Path, progress: Callable[[int], None]) -> str:
    try:
        with path.open("rb") as reading, open(os.devnull, "wb") as nowhere:
            return _copy(reading, nowhere, progress)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}", remedy=LIST_FIRST) from error

"""Files somebody sends to make a model of: received piece by piece, kept under their digest until a model is made of them.

They lie on the store's disk, so that becoming a model is a move. What breaks off or is not what its digest says leaves nothing behind.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import BinaryIO

from fireside.core.errors import Invalid
from fireside.models.disk import disk_errors
from fireside.models.store import ModelStore, checked_digest

GATHER = 4 << 20


class Uploads:
    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._folder = store.root / "v1" / "uploads"

    def find(self, digest: str) -> Path | None:
        """The contents of this digest: sent, or a model's. Raises ``Invalid`` for what is no digest."""
        plain = plain_digest(digest)
        place = self._folder / f"sha256-{plain}"
        return place if place.is_file() else self._store.contents(plain)

    async def receive(self, digest: str, pieces: AsyncIterator[bytes]) -> None:
        """Raises ``Invalid`` when the contents are not those of ``digest``, ``OutOfResources`` when the disk is too small."""
        plain = plain_digest(digest)
        with disk_errors("receiving a file"):
            await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
            with _passing(self._folder) as (file, place):
                found = await _write(file, pieces)
                if found != plain:
                    raise Invalid(
                        f"digest mismatch, expected sha256:{plain}, got sha256:{found}", remedy="send the file again"
                    )
                file.flush()
                os.replace(place, self._folder / f"sha256-{plain}")


@contextmanager
def _passing(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A file under a passing name; gone afterwards unless it was moved away."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".receiving-")
    place = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file, place
    finally:
        place.unlink(missing_ok=True)


async def _write(file: BinaryIO, pieces: AsyncIterator[bytes]) -> str:
    """Write all pieces, in few large steps that hold no other request up; returns their digest."""
    digest, gathered, size = new_sha256(), [], 0

    def put(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    async for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= GATHER:
            await asyncio.to_thread(put, b"".join(gathered))
            gathered, size = [], 0
    await asyncio.to_thread(put, b"".join(gathered))
    return digest.hexdigest()


def plain_digest(digest: str) -> str:
    plain = checked_digest(digest)
    assert plain is not None
    return plain

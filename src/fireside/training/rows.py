"""One row of training data, and the files rows are kept in. Every stage between ``collect`` and a trainer speaks of these.

Rows lie in shards, ``NAME-00000.jsonl.zst``: one JSON object a line, compressed with Zstandard. A shard appears whole or not at all.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Literal

import msgspec

from fireside.core.errors import Invalid

Kind = Literal["lm", "fim", "doc", "edit"]
KINDS: tuple[Kind, ...] = ("lm", "fim", "doc", "edit")
PATTERN = "*.jsonl.zst"
LEVEL = 9


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``kind`` says what ``text`` is, and which of the other fields are filled:

    - ``lm``: a whole file.
    - ``fim``: what stood between ``prefix`` and ``suffix``; ``node``: the kind of syntax node it was, as tree-sitter names it.
    - ``doc``: the code that ``instruction``, its documentation, describes.
    - ``edit``: the lines after a commit; ``before``: the same lines before it; ``instruction``: the commit's message.

    ``repo``, ``path``, ``commit``: where it is from (``commit`` empty for what is in no repository). ``licence``: an SPDX expression,
    empty when nobody knows it. ``sha256``: of ``text``. ``scrubbed``: the rules by which something was taken out.
    """

    kind: Kind
    text: str
    repo: str
    path: str
    language: str
    sha256: str
    commit: str = ""
    licence: str = ""
    prefix: str = ""
    suffix: str = ""
    node: str = ""
    instruction: str = ""
    before: str = ""
    scrubbed: tuple[str, ...] = ()


def read_shard(path: Path) -> Iterator[Row]:
    """The rows of one shard. Raises ``Invalid`` that names the shard and the line."""
    import zstandard

    number = 0
    try:
        with path.open("rb") as file:
            decoder = msgspec.json.Decoder(Row)
            for number, line in enumerate(_lines(file), 1):  # noqa: B007  told in the errors below
                yield decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f"{path}, line {number}: {error}", remedy=f"delete {path.name} and collect again") from error
    except zstandard.ZstdError as error:
        raise Invalid(
            f"{path} is damaged after line {number}: {error}", remedy=f"delete {path.name} and collect again"
        ) from error
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}", remedy="run the stage collect first") from error


def read(folder: Path) -> Iterator[Row]:
    """The rows of all shards of a folder, in the order of the shards' names. Raises ``Invalid`` where there are none."""
    shards = sorted(folder.glob(PATTERN))
    if not shards:
        raise Invalid(f"{folder} holds no training data (*.jsonl.zst)", remedy="run the stage collect first")
    for shard in shards:
        yield from read_shard(shard)


def write_shard(path: Path, rows: Iterable[Row]) -> int:
    """Write a shard, whole or not at all; returns how many rows it has."""
    import zstandard

    part = path.with_name(path.name + ".part")
    count = 0
    try:
        with (
            part.open("wb") as file,
            zstandard.ZstdCompressor(level=LEVEL).stream_writer(file, closefd=False) as packed,
        ):
            for row in rows:
                packed.write(msgspec.json.encode(row))
                packed.write(b"\n")
                count += 1
        _sync(part)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return count


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a compressed file. Raises ``ZstdError`` also where its end is missing, of which a stream reader says nothing."""
    import zstandard

    unpacker = zstandard.ZstdDecompressor().decompressobj()
    rest = b""
    while not unpacker.eof and (packed := file.read(1 << 17)):
        *lines, rest = (rest + unpacker.decompress(packed)).split(b"\n")
        yield from lines
    if not unpacker.eof:
        raise zstandard.ZstdError("its end is missing")
    if rest:
        yield rest


def _sync(path: Path) -> None:
    file: IO[bytes]
    with path.open("rb") as file:
        os.fsync(file.fileno())

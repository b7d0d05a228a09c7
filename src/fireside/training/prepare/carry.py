"""Rows through a narrow door: pieces small enough to travel to a machine with a GPU, unpacked and tokenised there.

Text under xz is smaller than its tokens are (0.60 against 0.63 bytes a token), so the text travels. Each piece stands alone: rows, one JSON
object a line, under xz. What comes back is cut and joined as it is. Knows files; nothing of their rows but where one ends.

    python -m fireside.training.prepare.carry pack SHARDS OUT.xz --limit 60MiB     OUT-00.xz, OUT-01.xz, ...
    python -m fireside.training.prepare.carry unpack OUT-*.xz SHARDS
    python -m fireside.training.prepare.carry cut FILE --limit 15MiB               FILE.000, FILE.001, ...
    python -m fireside.training.prepare.carry join FILE.* FILE
"""

import argparse
import hashlib
import lzma
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from fireside.core.errors import FiresideError, Invalid
from fireside.models.disk import disk_errors
from fireside.training import rows
from fireside.training.rows import Row

SIZE = re.compile(r"(\d+)\s*(|B|KiB|MiB|GiB|kB|MB|GB)", re.ASCII)
UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
# A dictionary as large as a piece finds what two files of one repository have in common.
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 64 << 20}]
# What the compressor may still hold back when the size so far is looked at.
MARGIN = 256 << 10
SHARD = 8 << 20


def pack(shards: Path, out: Path, limit: int) -> list[Path]:
    """Write the rows into pieces of at most ``limit`` bytes, ``OUT-00.xz`` and so on; returns them. Raises ``Invalid``."""
    if limit < 4 * MARGIN:
        raise Invalid("a piece must have room for 1 MiB", remedy="--limit 60MiB")
    pieces: list[Path] = []
    lines = _lines(shards)
    line = next(lines, None)
    while line is not None:
        place = out.with_name(f"{out.stem}-{len(pieces):02d}.xz")
        line = _piece(place, line, lines, limit)
        pieces.append(place)
    return pieces


def unpack(pieces: Sequence[Path], shards: Path) -> int:
    """Turn pieces into shards again; returns how many rows there are. Raises ``Invalid`` for a piece that is damaged."""
    shards.mkdir(parents=True, exist_ok=True)
    count = number = 0
    decoder = msgspec.json.Decoder(Row)
    for place in pieces:
        waiting: list[Row] = []
        size = 0
        try:
            with lzma.open(place) as file:
                for line in file:
                    waiting.append(decoder.decode(line))
                    size += len(line)
                    if size >= SHARD:
                        count += rows.write_shard(shards / f"carried-{number:05d}.jsonl.zst", waiting)
                        number, size, waiting = number + 1, 0, []
        except (lzma.LZMAError, EOFError, msgspec.MsgspecError) as error:
            raise Invalid(f"{place} is damaged: {error}", remedy="carry that piece again") from error
        if waiting:
            count += rows.write_shard(shards / f"carried-{number:05d}.jsonl.zst", waiting)
            number += 1
    return count


def cut(file: Path, limit: int) -> list[Path]:
    """Cut a file into pieces of at most ``limit`` bytes, the last of which ends with the digest of the whole; returns them."""
    found = hashlib.sha256()
    pieces: list[Path] = []
    with file.open("rb") as source:
        while data := source.read(limit - found.digest_size):
            found.update(data)
            last = source.tell() == file.stat().st_size
            place = file.with_name(f"{file.name}.{len(pieces):03d}")
            place.write_bytes(data + (found.digest() if last else b""))
            pieces.append(place)
    return pieces


def join(pieces: Sequence[Path], file: Path) -> None:
    """Put a file together again. Raises ``Invalid``, and writes nothing, where a piece is missing or damaged."""
    found, part = hashlib.sha256(), file.with_name(f"{file.name}.part")
    ordered = sorted(pieces)
    with part.open("wb") as target:
        for place in ordered:
            data = place.read_bytes()
            told = data[-found.digest_size :] if place == ordered[-1] else b""
            data = data[: len(data) - len(told)]
            found.update(data)
            target.write(data)
    if not ordered or told != found.digest():
        part.unlink()
        raise Invalid(f"the pieces do not make {file.name}: one is missing or damaged", remedy="carry them again")
    os.replace(part, file)


def _lines(shards: Path) -> Iterator[bytes]:
    for row in rows.read(shards):
        yield msgspec.json.encode(row) + b"\n"


def _piece(place: Path, line: bytes, lines: Iterator[bytes], limit: int) -> bytes | None:
    """Write one piece, beginning with ``line``; returns the first line that did not fit."""
    part = place.with_name(f"{place.name}.part")
    packer = lzma.LZMACompressor(format=lzma.FORMAT_XZ, filters=FILTERS)
    written = waiting = 0
    following: bytes | None = line
    with part.open("wb") as file:
        while following is not None:
            # What was handed in since the last output may come out almost as large as it is.
            if written and written + waiting // 2 + len(following) + MARGIN > limit:
                break
            data = packer.compress(following)
            waiting = 0 if data else waiting + len(following)
            written += file.write(data)
            following = next(lines, None)
        written += file.write(packer.flush())
    if written > limit:
        part.unlink()
        raise Invalid(f"a piece became larger than {limit} bytes", remedy="name a smaller --limit")
    os.replace(part, place)
    return following


def size_of(text: str) -> int:
    """Bytes in words like 60MiB. Raises ``Invalid``."""
    found = SIZE.fullmatch(text)
    if found is None:
        raise Invalid(f"{text} is no size", remedy="write it like 60MiB")
    return int(found[1]) * UNITS[found[2]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m fireside.training.prepare.carry", description=__doc__.splitlines()[0]
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, many in (("pack", False), ("cut", False), ("unpack", True), ("join", True)):
        one = verbs.add_parser(verb)
        one.add_argument("source", type=Path, nargs="+" if many else None)
        if verb != "cut":
            one.add_argument("target", type=Path)
        if not many:
            one.add_argument("--limit", default="60MiB" if verb == "pack" else "15MiB")
    told = parser.parse_args(arguments)
    try:
        with disk_errors(told.verb):
            if told.verb == "pack":
                print(*pack(told.source, told.target, size_of(told.limit)), sep="\n")
            elif told.verb == "unpack":
                print(f"{unpack(told.source, told.target)} rows")
            elif told.verb == "cut":
                print(*cut(told.source, size_of(told.limit)), sep="\n")
            else:
                join(told.source, told.target)
    except FiresideError as error:
        print(f"{error.message}. {error.remedy}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

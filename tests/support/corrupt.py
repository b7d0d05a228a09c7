"""GGUF files that are damaged in every way a disk, a network or a malicious hand can damage them."""

import random
import struct
from collections.abc import Iterator

HEADER = 24  # magic, version, tensor count, metadata count


def corruptions(sound: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """``count`` damaged copies of a sound file, the same ones for the same seed."""
    rng = random.Random(seed)
    metadata = sound.index(b"token_embd.weight")
    for number in range(count):
        yield DAMAGES[number % len(DAMAGES)](bytearray(sound), metadata, rng)


def _cut(data: bytearray, metadata: int, rng: random.Random) -> bytes:
    return bytes(data[: rng.randrange(metadata)])


def _cut_weights(data: bytearray, metadata: int, rng: random.Random) -> bytes:
    return bytes(data[: rng.randrange(metadata, len(data))])


def _flip_numbers(data: bytearray, metadata: int, rng: random.Random) -> bytes:
    for _ in range(4):
        data[rng.randrange(HEADER, 1200)] = rng.randrange(256)
    return bytes(data)


def _flip_anywhere(data: bytearray, metadata: int, rng: random.Random) -> bytes:
    for _ in range(16):
        data[rng.randrange(metadata + 2000)] = rng.randrange(256)
    return bytes(data)


def _flip_tensor_table(data: bytearray, metadata: int, rng: random.Random) -> bytes:
    data[rng.randrange(metadata, metadata + 1500)] = rng.randrange(256)
    return bytes(data)


def _huge_count(data: bytearray, metadata: int, rng: random.Random) -> bytes:
    struct.pack_into("<Q", data, rng.choice((8, 16)), rng.choice((2**63, 2**32, 10**6)))
    return bytes(data)


def _junk(data: bytearray, metadata: int, rng: random.Random) -> bytes:
    return rng.choice(
        (b"", b"GGUF", b"GGUF" + rng.randbytes(4000), b"<!doctype html><title>404</title>", rng.randbytes(999))
    )


def _swap(data: bytearray, metadata: int, rng: random.Random) -> bytes:
    """Two pieces of the header change places."""
    first, second = sorted(rng.sample(range(HEADER, metadata), 2))
    length = min(64, second - first)
    data[first : first + length], data[second : second + length] = (
        data[second : second + length],
        data[first : first + length],
    )
    return bytes(data)


DAMAGES = (_cut, _flip_numbers, _flip_anywhere, _huge_count, _flip_tensor_table, _cut_weights, _junk, _swap)

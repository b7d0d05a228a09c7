"""A compressed body, bit by bit: RFC 9110, section 8.4.1. Nobody asks an engine for one, and some send it all the same.

What comes out is handed on in pieces of a bounded size, however small it was packed.
"""

import zlib

PIECE = 256 * 1024
PACKED = ("gzip", "x-gzip", "deflate")
UNREADABLE = ("br", "zstd", "compress", "x-compress")
GZIP = 16 + zlib.MAX_WBITS


class Inflater:
    """Raises ``zlib.error`` for what is not packed as it says."""

    def __init__(self, encoding: str) -> None:
        """``encoding``: one of ``PACKED``."""
        self._bits = 0 if encoding == "deflate" else GZIP
        self._member = None if encoding == "deflate" else zlib.decompressobj(GZIP)
        self._packed = b""
        self._more = False

    @property
    def complete(self) -> bool:
        """Whether nothing is missing at the end."""
        return self._member is None or self._member.eof

    def feed(self, data: bytes) -> None:
        self._packed += data

    def piece(self) -> bytes:
        """At most ``PIECE`` bytes of what was fed; empty when more must be fed first."""
        out = b""
        while not out and (self._packed or self._more):
            if self._member is not None and self._member.eof and not self._packed.strip(b"\0"):
                # Padding behind the last member.
                self._packed = b""
                break
            member = self._current()
            out = member.decompress(self._packed, PIECE)
            self._packed = member.unconsumed_tail
            # A full piece may have left some inside, though nothing is left to be fed.
            self._more = len(out) == PIECE and not member.eof
            if member.eof and self._bits == GZIP:
                self._packed = member.unused_data
        return out

    def _current(self) -> "zlib._Decompress":
        if self._member is None:
            # Half of the world means by deflate a bare stream, the other half one with a head of two bytes (RFC 1950).
            self._bits = zlib.MAX_WBITS if self._packed[0] & 0x0F == 8 else -zlib.MAX_WBITS
        if self._member is None or (self._member.eof and self._bits == GZIP):
            self._member = zlib.decompressobj(self._bits)
        return self._member

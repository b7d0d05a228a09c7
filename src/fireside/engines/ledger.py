"""The ledger of everything that left for an outside host: who, where, when, how many bytes, why.

JSON lines, one a request, appended and flushed to the disk before the request is sent; a chain of hashes shows what was changed since
(``records/chain``, which also says what does not show). Knows no network, and is never given prompt text.
"""

from collections.abc import Mapping
from pathlib import Path

from fireside.core.errors import NotPermitted
from fireside.records.chain import Chain, Verdict


class Ledger:
    """One file, shared by all processes of a user. Safe to append to from any thread and process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._chain = Chain(path)

    def append(self, entry: Mapping[str, object]) -> str:
        """Write one request down and flush it to the disk; returns the hash of its line. Blocking: milliseconds.

        Raises ``NotPermitted`` when it cannot be written: then the request must not be sent.
        """
        try:
            return self._chain.append([entry])
        except OSError as error:
            raise _unwritable(self.path, error.strerror or str(error)) from error

    def verify(self) -> Verdict:
        return self._chain.verify()


def _unwritable(path: Path, reason: str) -> NotPermitted:
    return NotPermitted(
        f"nothing was sent: the ledger {path} cannot be written ({reason})",
        remedy=f"make room and give yourself the right to write: ls -l {path}",
        cause="ledger",
    )

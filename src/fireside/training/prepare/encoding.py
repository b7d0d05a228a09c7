"""Documents to tokens, many at once. Knows the tokenizer and the packer; nothing of rows."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fireside.training.prepare.documents import Document
from fireside.training.prepare.packed import Packer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from fireside.training.prepare.tokenizer import Specials

# Characters that are encoded in one call: enough for all cores, little in memory.
BATCH = 2_000_000


class Batches:
    """Gathers documents until encoding them is worth a call, then hands them to a packer. ``bytes``: of their texts."""

    def __init__(self, tokenizer: "Tokenizer", packer: Packer) -> None:
        self._tokenizer = tokenizer
        self._packer = packer
        self._waiting: list[Document] = []
        self._size = 0
        self.bytes = 0

    def add(self, document: Document) -> None:
        self._waiting.append(document)
        self._size += sum(len(part) for part in document.parts if isinstance(part, str))
        if self._size >= BATCH:
            self.flush()

    def flush(self) -> None:
        for document, tokens in zip(self._waiting, encoded(self._waiting, self._tokenizer), strict=True):
            self._packer.add(tokens, whole=document.whole)
            self.bytes += sum(len(part.encode("utf-8", "replace")) for part in document.parts if isinstance(part, str))
        self._waiting, self._size = [], 0


def encoded(documents: Sequence[Document], tokenizer: "Tokenizer") -> "list[NDArray[np.uint32]]":
    """The tokens of each document. All its texts go to the library in one call, which spreads them over the cores."""
    import numpy as np

    texts = [part for document in documents for part in document.parts if isinstance(part, str)]
    found = iter(tokenizer.encode_batch_fast(texts, add_special_tokens=False))
    rows = []
    for document in documents:
        ids: list[int] = []
        for part in document.parts:
            if isinstance(part, int):
                ids.append(part)
            else:
                ids.extend(next(found).ids)
        rows.append(np.array(ids, np.uint32))
    return rows


def answers(
    documents: Iterable[Document], tokenizer: "Tokenizer", specials: "Specials", context: int
) -> "tuple[list[NDArray[Any]], list[NDArray[Any]], int, int]":
    """One row a document, and what of it is scored; those that do not fit are left out.

    Returns rows (context + 1), masks (context), the tokens and the UTF-8 bytes that are scored. A token that lies across the cursor is
    scored with all its bytes: in the joined order nothing stands between the prefix and the answer.
    """
    import numpy as np

    rows, masks, count, size = [], [], 0, 0
    for document in documents:
        texts = [part for part in document.parts if isinstance(part, str)]
        last = tokenizer.encode(texts[-1], add_special_tokens=False)
        cursor = len(texts[-1]) - document.answer
        first = next((at for at, (_, end) in enumerate(last.offsets) if end > cursor), len(last.ids))
        tokens = encoded([document], tokenizer)[0]
        if len(tokens) > context + 1 or first == len(last.ids):
            continue
        begin = len(tokens) - 1 - len(last.ids) + first
        row = np.full(context + 1, specials.pad, np.uint32)
        row[: len(tokens)] = tokens
        mask = np.zeros(context, np.uint8)
        mask[begin - 1 : len(tokens) - 2] = 1
        rows.append(row)
        masks.append(mask)
        count += len(last.ids) - first
        size += len(texts[-1][last.offsets[first][0] :].encode())
    return rows, masks, count, size

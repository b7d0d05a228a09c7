"""Completing ``@`` in the chat. Knows what stands before the cursor; the names come from the index, loaded beforehand."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document

    from fireside.index.names import Names

BEGUN = re.compile(r"""(?<![\w@./+-])@("[^"\n]*|[^\s"'`<>|,;@]*)$""")
ALWAYS = {"diff": "what is not committed yet", "map": "the project in a page"}


@dataclass(slots=True)
class Known:
    """What can be named; ``None`` until the project has been read. Set from any thread."""

    names: "Names | None" = None


def begun(before_cursor: str) -> str | None:
    """What was typed after an ``@`` that stands just before the cursor, or ``None``."""
    found = BEGUN.search(before_cursor)
    return found[1] if found else None


def completer(known: Known) -> "Completer":
    """A completer of mentions for prompt_toolkit."""
    from prompt_toolkit.completion import Completer

    class Mentions(Completer):
        def get_completions(self, document: "Document", complete_event: "CompleteEvent") -> "Iterable[Completion]":
            return suggestions(document.text_before_cursor, known)

    return Mentions()


def suggestions(before_cursor: str, known: Known) -> "Iterable[Completion]":
    from prompt_toolkit.completion import Completion

    typed = begun(before_cursor)
    if typed is None:
        return
    word = typed.removeprefix('"')
    for name, about in ALWAYS.items():
        if name.startswith(word):
            yield Completion(name, start_position=-len(typed), display_meta=about)
    for one in known.names.matching(word) if known.names else ():
        quoted = typed.startswith('"') or re.search(r"[\s\"'`<>|,;@]", one.text)
        text = f'"{one.text}' + ("" if one.text.endswith("/") else '"') if quoted else one.text
        yield Completion(text, start_position=-len(typed), display=one.text, display_meta=one.about)

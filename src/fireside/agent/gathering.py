"""Everything of the project that one question needs, before a model is asked: what it names, what search finds, what is kept out.

Blocks while the project is read; the agent calls it in a thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fireside.context import mentions
from fireside.context.builder import Attachment
from fireside.context.meaning import Resolved, resolve
from fireside.context.project import Project
from fireside.context.retrieve import Retrieved, retrieve
from fireside.context.screen import Screen
from fireside.core.errors import Invalid
from fireside.core.values import replace
from fireside.index.chunks import Chunk, Hit

NAMED = "you named it"


@dataclass(frozen=True, slots=True)
class Gathered:
    """``handed``: what came with the question. ``named``: what it mentions, and the map where it is about the whole. ``hits``: found.

    ``notes``: what is not there, and why, a line each. ``topic``: see ``Session``.
    """

    handed: tuple[Attachment, ...] = ()
    named: tuple[Attachment, ...] = ()
    hits: tuple[Hit, ...] = ()
    notes: tuple[str, ...] = ()
    topic: str = ""

    def places(self) -> list[Hit]:
        """The lines of the project in all this, those that were named first."""
        chosen = [
            Hit(
                Chunk(
                    one.place.path, one.place.start_line, one.place.end_line, one.text, one.language, one.place.symbol
                ),
                1.0,
                (NAMED,),
            )
            for one in self.named
            if one.place is not None and not one.optional
        ]
        return [*chosen, *self.hits]


def gather(
    project: Project,
    question: str,
    *,
    attachments: Sequence[Attachment] = (),
    topic: str = "",
    limit: int,
    redact: bool,
) -> Gathered:
    """``limit``: excerpts that will be shown. ``redact``: keep out what looks like a key. Raises ``Invalid`` for an empty question."""
    if not question.strip():
        raise Invalid("the question is empty", remedy='ask something, for example "where are settings validated?"')
    pending = 0 if project.too_wide else project.update().pending
    screen = Screen(project.workspace, on=redact)
    named = resolve(mentions.find(question), project, screen=screen)
    looked = Retrieved()
    if not project.too_wide:
        looked = retrieve(question, project, named, topic=topic, limit=limit, screen=screen)
    handed = tuple(replace(one, text=screen.text(one.text, one.name)) for one in attachments)
    behind = [f"{pending} changed file{'s' * (pending != 1)}: the project is still being read"] if pending else []
    notes = (*behind, *named.notes, *looked.notes, *screen.notes(), *screen.typed(question))
    return Gathered(handed, _with_whole(named, looked), looked.hits, notes, looked.topic)


def _with_whole(named: Resolved, looked: Retrieved) -> tuple[Attachment, ...]:
    there = {one.name for one in named.attachments}
    return (*(one for one in looked.whole if one.name not in there), *named.attachments)

"""One conversation in the terminal: answers are drawn, slash commands are carried out. How a line is read is not known here."""

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from fireside.agent.session import Session
from fireside.cli.commands import draw_error
from fireside.cli.naming import Known
from fireside.core.errors import FiresideError

if TYPE_CHECKING:
    from fireside.app.fireside import Fireside
    from fireside.cli.render import Drawn
    from fireside.index.chunks import IndexReport, Progress

HELP = """\
/model [NAME]   show or choose the model          /models   what there is
/search WORDS   find lines in the project         /clear    begin anew
/help           this                              /quit     leave (or Ctrl-D)
@FILE  @FILE:10-20  @FOLDER/  @NAME  @diff  @map   put that before the model
Enter sends · Alt-Enter new line · Ctrl-C stops the answer and keeps it"""


class Conversation:
    """What is said, and what the slash commands do. Owns the session; everything else is the house's."""

    def __init__(self, fireside: "Fireside", session: Session, known: Known | None = None) -> None:
        self._fireside = fireside
        self._session = session
        self._known = known or Known()
        self._read = asyncio.Event()

    async def answer(self, question: str) -> None:
        """Draw one answer. Ctrl-C stops it; what was said until then stays in the conversation."""
        from fireside.cli import render

        with _without_echo(), render.page() as page:
            asking = asyncio.create_task(render.draw(self._fireside.agent.turn(self._session, question), page))
            with _stopped_by_ctrl_c(asking):
                drawn = await _unless_stopped(asking)
        self._close(drawn)

    def _close(self, drawn: "Drawn | None") -> None:
        from fireside.cli import render

        if drawn is None:
            click.echo(click.style("stopped; what was said is kept", dim=True))
        elif drawn.error is not None:
            draw_error(drawn.error)
        elif notes := render.sources(drawn):
            click.echo(click.style(notes, dim=True))

    async def handle(self, text: str) -> bool:
        """Answer one input. False: the user wants to leave."""
        words = text.split()
        if not words:
            return True
        if not words[0].startswith("/"):
            await self.answer(text)
            return True
        if words[0] in ("/quit", "/exit", "/q"):
            return False
        try:
            await self._command(words[0], words[1:])
        except FiresideError as error:
            draw_error(error)
        return True

    async def _command(self, name: str, words: list[str]) -> None:
        match name:
            case "/help":
                click.echo(HELP)
            case "/clear":
                self._session.clear()
                click.echo("a new conversation")
            case "/model":
                await self._choose(" ".join(words))
            case "/models":
                await self._list_models()
            case "/search":
                await asyncio.to_thread(self._search, " ".join(words))
            case _:
                click.echo(f"there is no {name}\n{HELP}")

    async def _choose(self, name: str) -> None:
        card = await self._fireside.gateway.card_for(name or self._session.model, needs=["chat"])
        if card is None:
            click.echo(
                "no model that can chat is here yet; answers are put together from the code itself (fireside models)"
            )
            return
        if name:
            self._session.model = name
        click.echo(f"{card.name} on {card.engine}, {card.context_window:,} tokens")

    async def _list_models(self) -> None:
        cards = await self._fireside.gateway.models()
        for card in cards:
            click.echo(f"  {card.name} on {card.engine}  {' '.join(sorted(card.capabilities))}")
        if not cards:
            click.echo("no model yet: fireside models pull URL")

    def _search(self, query: str) -> None:
        for hit in self._fireside.project.search(query, limit=8).hits:
            chunk = hit.chunk
            click.echo(f"  {chunk.path}:{chunk.start_line}-{chunk.end_line}  {chunk.symbol}")

    async def follow(self) -> None:
        """Obey the settings files as they change; a change that does not fit is said once."""
        await self._fireside.follow(on_error=draw_error)

    async def warm(self) -> None:
        """Bring index and model up while the user types. Whatever goes wrong is said when it matters: at the answer."""
        with contextlib.suppress(FiresideError):
            await _in_thread(self._fireside.project.update)
        self._read.set()
        with contextlib.suppress(FiresideError):
            await self._fireside.agent.warm(self._session)

    async def watch(self) -> None:
        """Keep the index and the names in it true while the chat is open, until cancelled; whatever fails is said at the answer.

        Begins after ``warm`` has read the project: two that read at once would wait for each other.
        """
        from fireside.index import names
        from fireside.index.watch import watching

        project = self._fireside.project
        await self._read.wait()
        if project.too_wide:
            return

        def learn(_: "IndexReport") -> None:
            self._known.names = names.load(project.index)

        with watching(project, on_report=learn, on_error=lambda _: None):
            await asyncio.Event().wait()


async def _in_thread(update: "Callable[[Callable[[Progress], None]], IndexReport]") -> None:
    """``update`` in a thread, which gives up at its next file once the wait is cancelled: nobody waits for it to leave."""
    left = threading.Event()

    def go_on(_: "Progress") -> None:
        if left.is_set():
            raise InterruptedError("the chat was left")

    try:
        await asyncio.to_thread(update, go_on)
    finally:
        left.set()


async def _unless_stopped(asking: "asyncio.Task[Drawn]") -> "Drawn | None":
    try:
        return await asking
    except asyncio.CancelledError:
        if not asking.cancelled():
            raise
        return None


@contextlib.contextmanager
def _without_echo() -> Iterator[None]:
    """While an answer is drawn, what is typed (a ``^C`` too) must not be written into it."""
    try:
        import termios
    except ImportError:
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    quiet = list(before)
    quiet[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _stopped_by_ctrl_c(task: "asyncio.Task[Drawn]") -> Iterator[None]:
    """While inside, Ctrl-C cancels ``task`` and nothing else."""
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)

"""``fireside chat``: a conversation about the project, in the terminal.

Enter sends, Alt-Enter (or Ctrl-J) begins a new line, ``@`` offers files and names, Ctrl-C stops an answer and keeps what was said,
Ctrl-D leaves. The prompt stands
before anything heavy is loaded: the house is opened, the index brought up to date and the model warmed while the user types.
"""

import asyncio
import importlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fireside.agent.session import Session
from fireside.cli.conversation import Conversation
from fireside.cli.door import here, opened, run
from fireside.cli.naming import Known, begun, completer
from fireside.config.paths import Paths
from fireside.core.errors import NotPermitted

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

SLASH_COMMANDS = ("/model", "/models", "/search", "/clear", "/help", "/quit")
# Long enough for the prompt to be drawn first, too short to be noticed.
HEAD_START = 0.03


@click.command("chat")
@click.argument("question", nargs=-1)
@click.option("--model", "-m", help="Who is to answer: an alias, a name, or NAME@ENGINE.")
def chat_command(question: tuple[str, ...] = (), model: str | None = None) -> int:
    """Talk about this project. QUESTION, if given, is asked first."""
    if not sys.stdin.isatty():
        raise click.UsageError("chat needs a terminal; in a pipe use: fireside ask", click.get_current_context())
    return run(_chat(Session(model=model or here().model), " ".join(question)))


async def _chat(session: Session, question: str) -> int:
    known = Known()
    prompt = _prompt(Paths.from_environment(os.environ).data / "history", partial(_toolbar, session), known)
    click.echo(click.style("Fireside", bold=True) + " · /help · Ctrl-D leaves")
    async with AsyncExitStack() as house:
        opening = asyncio.create_task(_open(house, session, known))
        opening.add_done_callback(partial(_leave_if_failed, prompt))
        try:
            async for text in _inputs(prompt, question):
                if not await (await opening).handle(text):
                    break
        finally:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
    return 0


async def _open(house: AsyncExitStack, session: Session, known: Known) -> Conversation:
    await asyncio.sleep(HEAD_START)
    await asyncio.to_thread(importlib.import_module, "fireside.app.fireside")
    conversation = Conversation(await house.enter_async_context(opened()), session, known)
    for work in (conversation.warm(), conversation.follow(), conversation.watch()):
        house.push_async_callback(_end, asyncio.create_task(work))
    return conversation


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _leave_if_failed(prompt: "PromptSession[str]", opening: "asyncio.Task[Conversation]") -> None:
    """A house that does not open (a wrong setting, say) ends the chat at once, not at the first question."""
    error = None if opening.cancelled() else opening.exception()
    if error is not None and prompt.app.is_running:
        prompt.app.exit(exception=error)


def _toolbar(session: Session) -> str:
    turns = len(session.history) // 2
    return f" {session.model} · {turns} turn{'s' * (turns != 1)} · Alt-Enter new line · Ctrl-D leaves"


def _prompt(history: Path, toolbar: Callable[[], str], known: Known) -> "PromptSession[str]":
    from prompt_toolkit import PromptSession
    from prompt_toolkit.application import get_app
    from prompt_toolkit.completion import WordCompleter, merge_completers
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    keys = KeyBindings()

    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state is not None and buffer.complete_state.current_completion is not None:
            buffer.complete_state = None  # a name was chosen from the list: the question is not done yet
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def newline(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    try:
        history.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotPermitted(
            f"cannot make the folder {history.parent}: {error.strerror}", remedy="set FIRESIDE_HOME to a folder you own"
        ) from error
    return PromptSession(
        "› ",
        multiline=True,
        key_bindings=keys,
        history=FileHistory(str(history)),
        completer=merge_completers([WordCompleter(list(SLASH_COMMANDS), sentence=True), completer(known)]),
        complete_while_typing=Condition(
            lambda: begun(get_app().current_buffer.document.text_before_cursor) is not None
        ),
        bottom_toolbar=toolbar,
        prompt_continuation="  ",
    )


async def _inputs(prompt: "PromptSession[str]", first: str) -> AsyncIterator[str]:
    """``first``, then what the user sends, until Ctrl-D. Ctrl-C empties the line and says how to leave."""
    if first:
        yield first
    while True:
        try:
            yield await prompt.prompt_async()
        except KeyboardInterrupt:
            click.echo(click.style("Ctrl-D or /quit leaves", dim=True))
        except EOFError:
            return

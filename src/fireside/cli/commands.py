"""The table of commands, and the one place where an error is drawn for the terminal."""

import contextlib
import errno
import importlib
import io
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

import click

from fireside import __version__
from fireside.cli.door import Door, enter
from fireside.core.errors import FiresideError, Invalid


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command's code is, and what it does, in one line."""

    place: str
    summary: str


# What belongs together, in the order a user meets it.
GROUPS: Mapping[str, Mapping[str, Entry]] = MappingProxyType(
    {
        "Ask": {
            "chat": Entry("chat:chat_command", "Talk about this project (what `fireside` alone does)"),
            "ask": Entry("ask:ask_command", "Answer one question, with the places it stands on"),
            "complete": Entry("complete:complete_command", "Complete code at FILE:LINE[:COLUMN]"),
        },
        "Find": {
            "search": Entry("code:search_command", "Find the lines that answer a query, by words and by meaning"),
            "map": Entry("look:map_command", "The project in a page: its files and what they define"),
            "symbol": Entry("look:symbol_command", "Where a name is defined"),
            "refs": Entry("look:refs_command", "Where a name is used"),
            "related": Entry("look:related_command", "Code like the lines at PATH:LINE"),
            "grep": Entry("look:grep_command", "Find a text or a regular expression, exactly"),
            "index": Entry("indexing:index_command", "Read the project, or what changed in it"),
        },
        "Edit and undo": {
            "edit": Entry("edit:edit_command", "Apply a model's answer to your files, all of it or nothing"),
            "undo": Entry("checkpoints:undo_command", "Take the last change back"),
            "redo": Entry("checkpoints:redo_command", "Do again what was taken back"),
            "checkpoints": Entry("checkpoints:checkpoints_command", "List the states you can go back to"),
            "restore": Entry("checkpoints:restore_command", "Go back to a checkpoint"),
        },
        "Serve": {
            "serve": Entry("serve:serve_command", "Serve your models to any client: OpenAI, Anthropic and Ollama APIs"),
            "top": Entry("top:top_command", "Watch your server: engines, requests, speed, errors"),
            "keys": Entry("keys:keys_command", "Say who may use your server, and how much"),
            "experiments": Entry(
                "experiments:experiments_command", "Share requests among models, and decide for one of them"
            ),
            "audit": Entry(
                "audit:audit_command", "See who used your server for what; check that nobody changed the log"
            ),
        },
        "Your own model": {
            "train": Entry("train:train_command", "Make a model of your own, or fit one to this repository"),
            "eval": Entry("evals:eval_command", "Measure a model, and compare two"),
        },
        "Set up": {
            "models": Entry("models:models_command", "List, add, pull and choose models"),
            "config": Entry("configure:config_command", "Show and change settings"),
            "doctor": Entry("doctor:doctor_command", "Find out what is wrong, and what to do about it"),
            "demo": Entry("demo:demo_command", "See everything work on this machine, in a minute"),
            "completion": Entry("shell:completion_command", "Set up completion in bash, zsh or fish"),
        },
    }
)
COMMANDS: Mapping[str, Entry] = MappingProxyType(
    {name: entry for group in GROUPS.values() for name, entry in group.items()}
)


class Commands(click.Group):
    """Knows every command by name and summary; imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.place.partition(":")
        command = getattr(importlib.import_module(f"fireside.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            near = get_close_matches(args[0], COMMANDS, n=2, cutoff=0.5)
            hint = f" Did you mean {' or '.join(near)}?" if near else f' To ask: fireside ask "{" ".join(args)[:60]}"'
            raise click.UsageError(f"there is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # One width for all groups, so that they line up.
        width = max(map(len, COMMANDS))
        for title, group in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), entry.summary) for name, entry in group.items()])


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--root", type=click.Path(path_type=Path), help="The project's folder (else: found from here upwards).")
@click.option("--model", help="The model to chat with: an alias, a name, or NAME@ENGINE.")
@click.option("--ollama", metavar="URL", help="Where Ollama listens.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="A setting for this run only.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error (also after a command).")
@click.version_option(__version__, "-V", "--version", prog_name="fireside", message="%(prog)s %(version)s")
@click.pass_context
def cli(
    ctx: click.Context, root: Path | None, model: str | None, ollama: str | None, settings: tuple[str, ...], debug: bool
) -> None:
    """Fireside: a private, local-first coding assistant.

    Without a command it begins a chat about the project you stand in. Nothing leaves this machine unless you said so.
    """
    ctx.color = _color()
    if root is not None and not root.is_dir():
        raise Invalid(
            f"{root} is not a folder" if root.exists() else f"{root} does not exist", remedy="name the project's folder"
        )
    enter(Door(root=root, model=model or "chat", flags=_flags(ollama, settings)))
    if ctx.invoked_subcommand is None:
        command = cli.get_command(ctx, "chat" if sys.stdin.isatty() else "ask")
        assert command is not None
        ctx.invoke(command)


def _flags(ollama: str | None, settings: Sequence[str]) -> Mapping[str, object]:
    flags: dict[str, object] = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or not key.strip():
            raise click.UsageError(f"--set takes KEY=VALUE, not {setting!r}")
        flags[key.strip()] = value.strip()
    if ollama:
        flags["engines.ollama.url"] = ollama
    return flags


def run_command(words: Sequence[str]) -> int:
    """Run one command line. Returns the exit code; draws any error on standard error."""
    _open_closed_streams()
    wanted, words = _without_debug(words)
    debug = wanted or os.environ.get("FIRESIDE_DEBUG", "") not in ("", "0")
    _write_whatever_comes()
    output = sys.stdout
    try:
        result = cli.main(list(words), prog_name="fireside", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except SystemExit:
        # click makes this of a pipe whose reader (head, less) has gone, and wraps the output then: nothing is wrong.
        if sys.stdout is not output:
            return _reader_has_gone()
        raise
    except click.ClickException as error:
        return _draw_usage(error)
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped", err=True)
        return 130
    except BrokenPipeError:
        return _reader_has_gone()
    except FiresideError as error:
        if debug:
            raise
        draw_error(error)
        return 1
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            _forget_output()
            draw_error(FiresideError("the disk is full, or what the output goes to", remedy="make room: df -h"))
            return 1
        name = type(error).__name__
        draw_error(
            FiresideError(
                f"unexpected {name}: {_one_line(error)}", remedy="run it again with --debug and report what it prints"
            )
        )
        return 1


def _open_closed_streams() -> None:
    """Python leaves ``None`` where a shell closed a stream (``>&-``); what is written there goes nowhere, and that is no fault."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  for the life of the process


def _reader_has_gone() -> int:
    _forget_output()
    return 0


def _forget_output() -> None:
    """What is still to be written goes nowhere: Python would complain again when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _write_whatever_comes() -> None:
    """A terminal or a locale that cannot show a character gets a ``?`` in its place, not an error in the middle of an answer."""
    for stream in (sys.stdout, sys.stderr):
        # What was written before goes out first, and may find nobody; whoever writes next is told.
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(OSError):
                stream.reconfigure(errors="replace")


def _without_debug(words: Sequence[str]) -> tuple[bool, list[str]]:
    """Whether ``--debug`` stands among the options, wherever, and the words without it; after ``--`` it is a word like any other."""
    end = words.index("--") if "--" in words else len(words)
    options = [word for word in words[:end] if word != "--debug"]
    return len(options) < end, [*options, *words[end:]]


def draw_error(error: FiresideError) -> None:
    """What happened, and what to do, on standard error."""
    _draw_line("error: ", _one_line(error.message))
    for line in error.remedy.splitlines():
        _draw_line("  try: ", line)


def _draw_line(head: str, text: str) -> None:
    is_error = head == "error: "
    drawn = click.style(head, fg="red" if is_error else "cyan", bold=is_error or None)
    click.echo(drawn + text, err=True, color=_color())


def _color() -> bool | None:
    """``False`` where colours are not wanted (https://no-color.org) or not understood; ``None``: as the stream is."""
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def _draw_usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        # Its message is the whole help page: what can follow, line by line.
        click.echo(error.format_message(), err=True)
        return 2
    _draw_line("error: ", _one_line(error.format_message()))
    if isinstance(error, click.UsageError) and error.ctx is not None:
        _draw_line("  try: ", f"{error.ctx.command_path} --help")
    return 2 if isinstance(error, click.UsageError) else error.exit_code


def _one_line(error: object) -> str:
    return " ".join(str(error).split())

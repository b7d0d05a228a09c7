"""Edit a settings file in the user's editor: a copy is edited, and becomes the file only when it fits.

Knows editors and questions, not what fits: ``fireside.config`` says.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from fireside.config.layers import Config
from fireside.config.notation import show_value
from fireside.config.sources import read_text
from fireside.config.stack import FileName
from fireside.core.errors import Invalid, NotPermitted


def edit_settings(config: Config[Any], layer: FileName) -> None:
    """Edit until the text fits or the user gives up; then ``Invalid`` says where the text is kept, and the old file stays in force."""
    file = config.file(layer)
    before = read_text(file)
    opened = before or _template(config, layer)
    draft = _draft(config, opened)
    while True:
        _run_editor(draft)
        # Some editors leave nothing where everything was deleted.
        text = read_text(draft) if draft.exists() else opened
        if text == opened:
            draft.unlink(missing_ok=True)
            click.echo(f"{file} is unchanged")
            return
        try:
            config.check(text, layer=layer, file=draft)
            config.replace(text, layer=layer, before=before)
        except Invalid as error:
            _again_or_give_up(error, draft)
            continue
        draft.unlink()
        click.echo(f"{file} is in force")
        return


def first_problem(error: Invalid) -> str:
    """The first problem alone, for a reader who sees the others too."""
    problems = error.context.get("problems", ())
    return str(problems[0]) if isinstance(problems, tuple) and problems else error.message


def echo_further_problems(error: Invalid) -> None:
    """All but the first problem, which the error's own line has."""
    problems = error.context.get("problems", ())
    for problem in problems[1:] if isinstance(problems, tuple) else ():
        click.echo(problem, err=True)


def _again_or_give_up(error: Invalid, draft: Path) -> None:
    echo_further_problems(error)
    if sys.stdin.isatty():
        click.echo(first_problem(error), err=True)
        if click.confirm("Edit again?", default=True, err=True):
            return
    raise Invalid(
        first_problem(error), remedy=f"the old settings stay in force; your text is kept in {draft}"
    ) from error


def _draft(config: Config[Any], text: str) -> Path:
    folder = config.paths.cache / "drafts"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="config-", suffix=".toml", dir=folder)
        with open(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
    except OSError as error:
        raise NotPermitted(f"cannot write in {folder}: {error.strerror}", remedy=f"ls -ld {folder.parent}") from error
    return Path(name)


def _template(config: Config[Any], layer: FileName) -> str:
    """What a new file begins with: every setting as a comment."""
    whose = "you" if layer == "user" else "this project"
    lines = [f"# {key} = {show_value(value)}" for key, value, _ in config.items() if value is not None]
    return "\n".join([f"# Fireside's settings for {whose}. Take the # away from a line to change it.", *lines, ""])


def _run_editor(file: Path) -> None:
    command = _named("VISUAL") or _named("EDITOR") or _some_editor()
    try:
        code = subprocess.run([*shlex.split(command), str(file)], check=False).returncode
    except (OSError, ValueError) as error:
        file.unlink()
        raise Invalid(f"cannot start the editor {command}: {error}", remedy="set EDITOR to one you have") from error
    if code:
        raise Invalid(
            f"the editor {command} ended with {code}; nothing is changed", remedy=f"your text is kept in {file}"
        )


def _named(variable: str) -> str:
    return os.environ.get(variable, "").strip()


def _some_editor() -> str:
    found = next((name for name in ("sensible-editor", "nano", "vim", "vi") if shutil.which(name)), None)
    if found is None:
        raise Invalid("there is no editor here", remedy="set EDITOR to one you have")
    return found

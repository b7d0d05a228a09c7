"""Where training data comes from: a pinned list of packages (``sources.toml``), fetched by the ordinary clients into one folder.

Knows ``apt-get`` and ``npm`` and how they name what they fetch; no addresses, which are the clients' own matter. This is the only place
of the training that reaches the network.
"""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from fireside.core.errors import Invalid, ToolFailed
from fireside.training import exclusions, licences

CLIENTS = ("apt-source", "apt", "npm")
BATCH = 40
SOURCE_LISTS = (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d"))


@dataclass(frozen=True, slots=True)
class Source:
    """One package. ``client``: one of ``CLIENTS``. ``licence``: SPDX. ``inside``: only this folder of it."""

    client: str
    name: str
    version: str
    licence: str
    inside: str = ""

    def archives(self, folder: Path) -> list[Path]:
        """What the client has fetched of it: source archives, without the packager's own."""
        if self.client == "npm":
            plain = self.name.removeprefix("@").replace("/", "-")
            return [one for one in (folder / f"{plain}-{self.version}.tgz",) if one.is_file()]
        if self.client == "apt":
            return sorted(folder.glob(f"{self.name}_{self.version.replace(':', '%3a')}_*.deb"))
        found = sorted(folder.glob(f"{self.name}_*.orig*.tar.*"))
        return [one for one in found if one.suffix != ".asc"]

    def stating_licences(self, folder: Path) -> Path | None:
        """The archive that holds Debian's account of the licences, where there is one."""
        if self.client == "apt-source":
            return next(iter(sorted(folder.glob(f"{self.name}_*.debian.tar.*"))), None)
        return next(iter(self.archives(folder)), None) if self.client == "apt" else None


def listed() -> list[Source]:
    """The packages of ``sources.toml``. Raises ``Invalid`` when one is excluded or its licence is not accepted."""
    tables = tomllib.loads((files("fireside.training") / "sources.toml").read_text("utf-8"))
    found = [Source(client, name, *facts) for client in CLIENTS for name, facts in tables.get(client, {}).items()]
    for one in found:
        if exclusions.package(one.name):
            raise Invalid(f"{one.name} is excluded from all training", remedy="take it out of sources.toml")
        if not licences.known(one.licence):
            raise Invalid(f"{one.name} has no accepted licence: {one.licence}", remedy="take it out of sources.toml")
    return found


def collect(wanted: Sequence[Source], folder: Path, work: Path, report: Callable[[str], None]) -> list[Source]:
    """Fetch what is not in ``folder`` yet; returns what cannot be had. Raises ``ToolFailed`` when a client is not installed."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [one for one in wanted if not one.archives(folder)]
    for client in CLIENTS:
        names = [one for one in missing if one.client == client]
        for at in range(0, len(names), BATCH):
            report(f"{client}: {at + 1}-{min(at + BATCH, len(names))} of {len(names)}")
            _fetch(client, names[at : at + BATCH], folder, work)
    return [one for one in missing if not one.archives(folder)]


def _fetch(client: str, batch: Sequence[Source], folder: Path, work: Path) -> None:
    if client == "npm":
        command = ["npm", "pack", "--silent", *(f"{one.name}@{one.version}" for one in batch)]
    else:
        verb = ["source", "--download-only"] if client == "apt-source" else ["download"]
        names = [f"{one.name}={one.version}" for one in batch]
        command = ["apt-get", *_apt_options(work), *verb, "-qq", *names]
    if shutil.which(command[0]) is None:
        raise ToolFailed(f"{command[0]} is not installed", remedy="give the archives with --sources DIR")
    # A package that is gone from the mirror must not keep the others: what is there afterwards decides.
    subprocess.run(command, cwd=folder, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _apt_options(work: Path) -> list[str]:
    """Options that give apt a state of its own under ``work``, with the system's mirrors and their source packages."""
    state = (work / "apt").resolve()
    lists = state / "sources.d"
    options = [
        f"-oDir::Etc::sourcelist={state}/none",
        f"-oDir::Etc::sourceparts={lists}",
        f"-oDir::State::lists={state}/lists",
        f"-oDir::Cache={state}",
        "-oAPT::Sandbox::User=root",
    ]
    if not lists.is_dir():
        for name in ("lists/partial", "archives/partial", "sources.d"):
            (state / name).mkdir(parents=True)
        for path in [SOURCE_LISTS[0], *sorted(SOURCE_LISTS[1].glob("*"))]:
            if path.suffix in (".list", ".sources") and path.is_file():
                text = path.read_text("utf-8")
                text = re.sub(r"^Types:\s*deb\s*$", "Types: deb deb-src", text, flags=re.MULTILINE)
                text += "\n".join(
                    re.sub("^deb ", "deb-src ", line) for line in text.splitlines() if line.startswith("deb ")
                )
                (lists / path.name).write_text(text + "\n", "utf-8")
        subprocess.run(["apt-get", *options, "update", "-qq"], check=False, stdout=subprocess.DEVNULL)
    return options

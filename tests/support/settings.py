"""A settings schema for the tests of ``config``: every shape a real one has."""

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from fireside.config.layers import Config


class Room(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Depth(enum.Enum):
    QUICK = "quick"
    DEEP = "deep"


class Local(Room, tag_field="kind", tag="local"):
    model: str = ""
    slots: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4


class Remote(Room, tag_field="kind", tag="remote"):
    url: str
    timeout: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    headers: dict[str, str] = {}


class Rule(Room):
    name: str
    weight: int = 1


class Server(Room):
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8000
    host: str = "localhost"
    open: bool = False

    def __post_init__(self) -> None:
        if self.open and self.host == "localhost":
            raise ValueError("an open server needs a host other than localhost")


class Privacy(Room):
    hosts: tuple[str, ...] = ()
    level: Literal["closed", "lan", "open"] = "closed"


def engines() -> dict[str, Local | Remote]:
    return {"embedded": Local(), "box": Remote(url="http://localhost:1")}


class Settings(Room):
    theme: str = "dark"
    depth: Depth = Depth.QUICK
    seed: int | None = None
    aliases: dict[str, str] = {}
    rules: list[Rule] = []
    server: Server = Server()
    privacy: Privacy = Privacy()
    engines: dict[str, Local | Remote] = msgspec.field(default_factory=engines)


class House:
    """A user's home and a project, in a folder of the test's."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.root = folder / "project"
        self.root.mkdir(parents=True)
        self.user_file = self.home / "config" / "config.toml"
        self.user_file.parent.mkdir(parents=True)
        self.project_file = self.root / ".fireside.toml"

    def user(self, text: str) -> None:
        self.user_file.write_bytes(text.encode())

    def project(self, text: str) -> None:
        self.project_file.write_bytes(text.encode())

    def load(
        self, environ: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
    ) -> Config[Settings]:
        return Config.load(
            Settings,
            root=self.root,
            environ={"FIRESIDE_HOME": str(self.home), **(environ or {})},
            flags=flags,
            variables={"BOX_URL": "engines.box.url", "OLD_BOX_URL": "engines.box.url"},
            reserved=("FIRESIDE_HOME", "FIRESIDE_DEBUG", "FIRESIDE__TRACE"),
            secret_keys=lambda key: key == "server.pin",
            not_from_project=("privacy", "engines.*.url", "engines.*.kind"),
        )

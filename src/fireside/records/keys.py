"""API keys: made, listed, revoked, replaced. Only the SHA-256 of a key is kept; the key itself is shown once and forgotten.

A key is 256 random bits, so there is nothing to guess: a fast hash keeps it as safe as a slow one would, and lets a server look a key up
in less than a microsecond. (Passwords are guessable; a fast hash of those would be wrong.)
"""

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import msgspec

from fireside.core.errors import Invalid
from fireside.core.values import replace
from fireside.records.database import Database, Row, Statement, Value

MARK = "fsd_"
SHOWN = len(MARK) + 6
ROUTES = ("chat", "complete", "embed", "models", "view", "admin")
COLUMNS = "id, name, digest, prefix, role, scopes, limits, created, expires, last_used, revoked"
CHANGED: Statement = ("UPDATE generations SET number = number + 1 WHERE name = 'keys'", {})

Kept = TypeVar("Kept", bound=msgspec.Struct)


class Role(StrEnum):
    """``admin``: everything. ``user``: ask models, and look. ``viewer``: look (models, usage, metrics, health)."""

    ADMIN = "admin"
    USER = "user"
    VIEWER = "viewer"


class Scopes(msgspec.Struct, frozen=True, kw_only=True):
    """What a key is for, within its role. ``models``: names or globs. ``routes``: some of chat, complete, embed, models, view, admin."""

    models: tuple[str, ...] = ("*",)
    routes: tuple[str, ...] = ROUTES


class KeyLimits(msgspec.Struct, frozen=True, kw_only=True):
    """``None``: no limit. ``rpm``: requests a minute. ``tpm``: tokens a minute. ``concurrency``: requests at a time.

    ``budget_day``, ``budget_month``: tokens in a calendar day or month, UTC.
    """

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    budget_day: int | None = None
    budget_month: int | None = None


UNLIMITED = KeyLimits()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """``digest``: the SHA-256 of the key. ``prefix``: its first characters, to recognise it by. Times: seconds since 1970."""

    id: str
    name: str
    digest: bytes
    prefix: str
    role: Role
    scopes: Scopes
    limits: KeyLimits
    created: float
    expires: float | None = None
    last_used: float | None = None
    revoked: float | None = None

    def state(self, now: float) -> str:
        """``active``, ``expired`` or ``revoked``."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"


class Keys:
    """The keys in a database. Every change is seen by running servers within seconds."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def create(
        self,
        name: str,
        *,
        role: Role = Role.USER,
        scopes: Scopes | None = None,
        limits: KeyLimits = UNLIMITED,
        expires: float | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key: what is kept of it, and the key itself. ``expires``: seconds since 1970. Raises ``Invalid``."""
        scopes, secret = scopes or Scopes(), _new_secret()
        _check(name, scopes, limits)
        key = ApiKey(
            id="key_" + secrets.token_hex(6),
            name=name,
            digest=digest_of(secret.encode()),
            prefix=secret[:SHOWN],
            role=role,
            scopes=scopes,
            limits=limits,
            created=time.time(),
            expires=expires,
        )
        try:
            self.database.write((f"INSERT INTO api_keys ({COLUMNS}) VALUES ({_places()})", _row_of(key)), CHANGED)
        except Invalid as error:
            if error.context.get("cause") != "taken":
                raise
            raise Invalid(f"there is a key named {name} already", remedy=f"fireside keys rotate {name}") from error
        return key, secret

    def list(self) -> "list[ApiKey]":
        """All of them, also the revoked, oldest first."""
        if not self.database.is_there():
            return []
        return [_key_of(row) for row in self.database.read(f"SELECT {COLUMNS} FROM api_keys ORDER BY created, id")]

    def find(self, name: str) -> ApiKey:
        """A key by its name or id; a revoked one only by its id. Raises ``Invalid``."""
        found = [key for key in self.list() if key.id == name or (key.name == name and key.revoked is None)]
        if not found:
            raise Invalid(f"there is no key {name}", remedy="fireside keys list")
        return found[0]

    def revoke(self, name: str) -> ApiKey:
        """Refuse it from now on, for good. Raises ``Invalid`` for a key that is not there, or was revoked before."""
        key = self.find(name)
        now = time.time()
        statement = "UPDATE api_keys SET revoked = :now WHERE id = :id AND revoked IS NULL"
        # The count of changes goes first, so that what comes back is of the key.
        if not self.database.write(CHANGED, (statement, {"now": now, "id": key.id})):
            raise Invalid(f"{name} was revoked before", remedy="fireside keys list --all")
        return replace(key, revoked=now)

    def rotate(self, name: str) -> tuple[ApiKey, str]:
        """Another secret for the same key: id, limits and usage stay, the old secret is refused from now on."""
        key, secret = self.find(name), _new_secret()
        new = replace(key, digest=digest_of(secret.encode()), prefix=secret[:SHOWN])
        values: Mapping[str, Value] = {"digest": new.digest.hex(), "prefix": new.prefix, "id": key.id}
        statement = "UPDATE api_keys SET digest = :digest, prefix = :prefix WHERE id = :id AND revoked IS NULL"
        if not self.database.write(CHANGED, (statement, values)):
            raise Invalid(f"{name} was revoked", remedy=f"fireside keys create {key.name}")
        return new, secret

    def generation(self) -> int:
        """Moves with every change; 0 while there is no database."""
        if not self.database.is_there():
            return 0
        (row,) = self.database.read("SELECT number FROM generations WHERE name = 'keys'")
        return int(str(row["number"]))


def last_used(times: Mapping[str, float]) -> "list[Statement]":
    """What notes when each key, by id, was last used. Not a change that servers need to hear of."""
    statement = "UPDATE api_keys SET last_used = :time WHERE id = :id AND (last_used IS NULL OR last_used < :time)"
    rows: list[Mapping[str, Value]] = [{"id": key, "time": when} for key, when in sorted(times.items())]
    return [(statement, rows)] if rows else []


def digest_of(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _new_secret() -> str:
    return MARK + secrets.token_urlsafe(32)


def _check(name: str, scopes: Scopes, limits: KeyLimits) -> None:
    if not name.strip() or name != name.strip() or not name.isprintable() or len(name) > 64:
        raise Invalid(f"{name!r} is not a name for a key", remedy="1 to 64 visible characters: laptop, ci, anna")
    unknown = [route for route in scopes.routes if route not in ROUTES]
    if unknown or not scopes.routes or not scopes.models:
        raise Invalid(f"a key cannot be for {', '.join(unknown) or 'nothing'}", remedy=f"one of: {', '.join(ROUTES)}")
    low = [field for field, value in msgspec.structs.asdict(limits).items() if value is not None and value < 1]
    if low:
        raise Invalid(f"{', '.join(low)} must be at least 1", remedy="leave it out for no limit")


def _places() -> str:
    return ", ".join(f":{column}" for column in COLUMNS.split(", "))


def _row_of(key: ApiKey) -> Mapping[str, Value]:
    return {
        "id": key.id,
        "name": key.name,
        "digest": key.digest.hex(),
        "prefix": key.prefix,
        "role": key.role.value,
        "scopes": msgspec.json.encode(key.scopes).decode(),
        "limits": msgspec.json.encode(key.limits).decode(),
        "created": key.created,
        "expires": key.expires,
        "last_used": key.last_used,
        "revoked": key.revoked,
    }


def _key_of(row: Row) -> ApiKey:
    return ApiKey(
        id=str(row["id"]),
        name=str(row["name"]),
        digest=bytes.fromhex(str(row["digest"])),
        prefix=str(row["prefix"]),
        role=Role(str(row["role"])),
        scopes=_read(row["scopes"], Scopes),
        limits=_read(row["limits"], KeyLimits),
        created=float(str(row["created"])),
        expires=_time(row["expires"]),
        last_used=_time(row["last_used"]),
        revoked=_time(row["revoked"]),
    )


def _read(text: object, kind: type[Kept]) -> Kept:
    return msgspec.json.decode(str(text), type=kind)


def _time(value: object) -> float | None:
    return None if value is None else float(str(value))

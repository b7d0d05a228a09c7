"""Who asks: the keys in memory, and the one look at a request's headers that tells whose it is.

On loopback without ``server.require_keys`` whoever is on this machine is its administrator, key or no key; what is no key of ours
(``sk-local``, because a client insists on sending something) is ignored there. A key of ours always means its owner, with the owner's
limits, and is refused when it is unknown, expired or revoked. Everywhere else nobody is served without a key. Reads no database while
a request waits; ``refresh`` does, in a thread.
"""

import hashlib
import ipaddress
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hmac import compare_digest
from typing import Literal

from fireside.core.errors import FiresideError, NotPermitted
from fireside.records.keys import MARK, ROUTES, UNLIMITED, ApiKey, KeyLimits, Keys, Role

Cause = Literal["missing", "unknown", "expired", "revoked"]
RIGHTS: Mapping[Role, frozenset[str]] = {
    Role.ADMIN: frozenset(ROUTES),
    Role.USER: frozenset(("chat", "complete", "embed", "models", "view")),
    Role.VIEWER: frozenset(("models", "view")),
}
OURS = MARK.encode()
# Nobody's key is longer; hashing a header of 60 kB would take longer than everything else here.
LONGEST = 128
CREATE = "fireside keys create NAME"


@dataclass(frozen=True, slots=True)
class Principal:
    """``id``: the key's, empty for somebody without one. ``rights``: chat, complete, embed, models, view, admin.

    ``models``: names or globs this key may use. ``expires``: seconds since 1970.
    """

    id: str = ""
    name: str = "local"
    role: Role = Role.ADMIN
    rights: frozenset[str] = RIGHTS[Role.ADMIN]
    models: tuple[str, ...] = ("*",)
    limits: KeyLimits = UNLIMITED
    expires: float | None = None

    def may_use(self, *names: str) -> bool:
        """Whether one of these names of a model (the one that was asked for, the one it stands for) is among the key's."""
        return "*" in self.models or any(fnmatchcase(name, glob) for glob in self.models for name in names)


LOCAL = Principal()


@dataclass(frozen=True, slots=True)
class Lock:
    """What a key opens. ``revoked``: nothing, any more."""

    digest: bytes
    principal: Principal
    revoked: bool


class Keyring:
    """All keys by their SHA-256. ``required``: nobody is served without one. ``problem``: why the keys could not be read anew, or ""."""

    def __init__(self, keys: Keys, *, required: bool) -> None:
        self.required = required
        self.problem = ""
        self._keys = keys
        self._locks: Mapping[bytes, Lock] = {}
        self._generation = -1

    def load(self) -> None:
        """Read all keys. Blocking. Raises a ``FiresideError`` when they cannot be read: then nobody may be let in."""
        generation = self._keys.generation()
        locks = [lock_of(key) for key in self._keys.list()]
        # One assignment: a request sees the old keys or the new ones.
        self._locks = {lock.digest: lock for lock in locks}
        self._generation = generation

    def refresh(self) -> bool:
        """Read the keys again if they have changed; returns whether they have. Blocking.

        When the database is away the keys known until then go on, and ``problem`` says so.
        """
        try:
            changed = self._keys.generation() != self._generation
            if changed:
                self.load()
        except FiresideError as error:
            self.problem = error.message
            return False
        self.problem = ""
        return changed

    def principals(self) -> list[Principal]:
        """Everybody who has a key that is good now."""
        now = time.time()
        return [
            lock.principal
            for lock in self._locks.values()
            if not lock.revoked and (lock.principal.expires is None or lock.principal.expires > now)
        ]

    def check_bind(self, host: str) -> None:
        """Raises ``NotPermitted`` where a server would be open to others, and no key is there that could open it."""
        if self.required and not self.principals():
            where = (
                "server.require_keys is set"
                if is_loopback(host)
                else f"{host or 'this address'} can be reached by others"
            )
            raise NotPermitted(f"{where}, and there is no key", remedy=f"{CREATE}\nor listen on 127.0.0.1")

    def authenticate(self, headers: Mapping[bytes, bytes]) -> Principal:
        """Whose request it is. ``headers``: names in lower case.

        Raises ``NotPermitted`` with ``http_status`` 401 and ``cause``: missing, unknown, expired or revoked.
        """
        key = key_in(headers)
        if not key.startswith(OURS):
            if self.required:
                raise refusal("unknown" if key else "missing")
            return LOCAL
        return self._principal(key)

    def _principal(self, key: bytes) -> Principal:
        digest = hashlib.sha256(key[:LONGEST]).digest()
        lock = self._locks.get(digest)
        # How long a look into a dict takes tells about the digest only, which nobody can steer; the comparison settles it anyhow.
        if lock is None or len(key) > LONGEST or not compare_digest(lock.digest, digest):
            raise refusal("unknown")
        if lock.revoked:
            raise refusal("revoked")
        principal = lock.principal
        if principal.expires is not None and principal.expires <= time.time():
            raise refusal("expired")
        return principal


def key_in(headers: Mapping[bytes, bytes]) -> bytes:
    """The key a client sent, in any of the three ways there are: as OpenAI's, Anthropic's or Azure's clients do."""
    given = headers.get(b"authorization")
    if given is not None and given[:7].lower() == b"bearer ":
        key = given[7:].strip()
        if key:
            return key
    return headers.get(b"x-api-key") or headers.get(b"api-key") or b""


def lock_of(key: ApiKey) -> Lock:
    principal = Principal(
        id=key.id,
        name=key.name,
        role=key.role,
        rights=RIGHTS[key.role] & frozenset(key.scopes.routes),
        models=key.scopes.models,
        limits=key.limits,
        expires=key.expires,
    )
    return Lock(key.digest, principal, key.revoked is not None)


REFUSALS: Mapping[Cause, tuple[str, str]] = {
    "missing": ("this server wants a key", f"send it as Authorization: Bearer KEY; to make one: {CREATE}"),
    "unknown": ("this key is not known here", f"check it for a missing character; to make one: {CREATE}"),
    "expired": ("this key has expired", f"ask for another one: {CREATE}"),
    "revoked": ("this key was revoked", f"ask for another one: {CREATE}"),
}


def refusal(cause: Cause) -> NotPermitted:
    message, remedy = REFUSALS[cause]
    return NotPermitted(message, remedy=remedy, http_status=401, cause=cause)


def keys_required(hosts: Iterable[str], *, require_keys: bool) -> bool:
    """Whether a server that listens there must ask for keys."""
    return require_keys or not all(map(is_loopback, hosts))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there. An empty host and 0.0.0.0 mean every address."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False

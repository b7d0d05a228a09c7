"""Build what is kept about people and requests: keys, usage, the audit log. Opens nothing; the first use does."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fireside.app.inference import build_egress
from fireside.app.settings import SECRETS, Settings, load_config
from fireside.config.paths import Paths
from fireside.config.secrets import Secrets
from fireside.core.errors import FiresideError, Invalid
from fireside.engines.egress import Egress, Errand
from fireside.records.audit import Audit
from fireside.records.database import Database
from fireside.records.keys import Keys
from fireside.records.request import RequestRecord
from fireside.records.usage import UsageSink
from fireside.records.writer import Writer, WriterState

POSTGRES_PORT, REDIS_PORT = 5432, 6379
# A thousand requests become one row, so that waiting for more costs nothing and saves transactions.
USAGE_SECONDS, USAGE_BATCH = 1.0, 10_000


@dataclass(frozen=True, slots=True)
class Records:
    """``usage``: what counts requests, ``None`` where the settings say not to. ``address``: of the database, empty for a file."""

    address: str
    database: Database
    keys: Keys
    audit: Audit
    usage: Writer[RequestRecord] | None

    def request(self, record: RequestRecord) -> None:
        """Remember a request that is over. Never waits, never raises."""
        self.audit.request(record)
        if self.usage is not None:
            self.usage.put(record)

    def states(self) -> list[WriterState]:
        """How the writers fare, for whoever looks after the server's health."""
        return [self.audit.state(), *([self.usage.state()] if self.usage is not None else [])]

    def open(self) -> None:
        """Load what writing usage needs, and bring its tables up to date. Blocking; a database that is away is asked again later."""
        if self.usage is not None:
            with suppress(FiresideError):
                self.database.open()

    def close(self) -> None:
        """Write what is left. Blocking: seconds at most."""
        self.audit.close()
        if self.usage is not None:
            self.usage.close()
        self.database.close()


async def open_records(
    role: str, *, environ: Mapping[str, str] = os.environ, flags: Mapping[str, object] | None = None
) -> Records:
    """The records the settings name. ``role``: what kind of process asks, for the audit log. Raises as ``check_reach``."""
    settings, paths = load_config(None, environ, flags or {}).settings, Paths.from_environment(environ)
    await check_reach(settings.records.database, build_egress(settings, paths), port=POSTGRES_PORT)
    return build_records(settings, paths, Secrets(environ, SECRETS), role)


def build_records(settings: Settings, paths: Paths, secrets: Secrets, role: str) -> Records:
    """For doors that have settings already; they ask ``check_reach`` themselves."""
    url = settings.records.database
    if url:
        # A keyring may ask its owner for leave: only where the password is not elsewhere.
        password = "" if urlsplit(url).password else secrets.get("postgres") or ""
        database = Database(url, password=password)
    else:
        database = Database.file(paths.data / "records.db")
    audit = Audit(audit_folder(paths), role, settings=settings.audit)
    usage = (
        Writer("usage", UsageSink(database), seconds=USAGE_SECONDS, batch=USAGE_BATCH)
        if settings.records.usage
        else None
    )
    return Records(url, database, Keys(database), audit, usage)


def audit_folder(paths: Paths) -> Path:
    return paths.data / "audit"


async def check_reach(url: str, egress: Egress, *, port: int) -> None:
    """A database far away is reached only where its host was allowed, and that is in the ledger. An empty ``url`` is none.

    Raises ``NotPermitted``, ``Invalid`` for what is no address, or ``ConnectionFailed`` for a name that means nothing.
    """
    if not url:
        return
    try:
        parts = urlsplit(url)
        host, named = parts.hostname, parts.port or port
    except ValueError as error:
        raise Invalid("a database's address is none", remedy="fireside config get records.database") from error
    if host:
        errand = Errand("records", "database")
        await egress.admit(host, named, method="CONNECT", size=0, errand=errand)

"""One database: a SQLite file, or PostgreSQL where several machines share it. Loads SQLAlchemy when it is first asked for something.

Knows the tables' version, not what is in them. Blocking: call it from a thread of its own, and never on the way of a request.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, NotPermitted, OutOfResources, TimedOut
from fireside.records.schema import MIGRATIONS, VERSION_TABLE

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

Value = str | int | float | None
Row = Mapping[str, object]
Statement = tuple[str, Mapping[str, Value] | Sequence[Mapping[str, Value]]]

CONNECT_SECONDS = 5
BUSY_SECONDS = 5
# Any number will do, as long as every Fireside uses the same one.
MIGRATION_LOCK = 4_715_001
TLS = ("require", "verify-ca", "verify-full")
# Words of SQLite, PostgreSQL and the system: what is wrong, in ours.
FAULTS: tuple[tuple[tuple[str, ...], type[FiresideError], str, str], ...] = (
    (
        ("(28p01)", "(28000)", "password"),
        NotPermitted,
        "the database {where} refuses this user: {said}",
        "fireside config secret set postgres",
    ),
    (
        ("unable to open", "readonly", "permission denied", "not a directory", "is a directory"),
        NotPermitted,
        "the database {where} cannot be opened: {said}",
        "check: ls -ld {where}",
    ),
    (("locked",), TimedOut, "another process keeps the database {where} locked", "try again"),
    (
        ("not a database", "malformed"),
        Invalid,
        "{where} is damaged, or no database",
        "put it aside: mv {where} {where}.damaged",
    ),
    (
        ("is full", "disk i/o", "no space left"),
        OutOfResources,
        "the database {where} cannot be written: {said}",
        "make room: df -h",
    ),
)


class Database:
    """Safe to use from several threads and processes. ``url``: ``sqlite:///PATH`` or ``postgresql://USER@HOST/NAME``."""

    def __init__(self, url: str, *, password: str = "") -> None:
        self._text = url
        self._password = password
        self._engine: Engine | None = None
        self._opening = threading.Lock()

    @classmethod
    def file(cls, path: Path) -> "Database":
        """A SQLite file, made when something is first written or read."""
        return cls("sqlite:///" + quote(str(path)))

    @property
    def path(self) -> Path | None:
        """The file, where it is one."""
        from urllib.parse import unquote

        head = "sqlite:///"
        return Path(unquote(self._text.removeprefix(head))) if self._text.startswith(head) else None

    def is_there(self) -> bool:
        """Whether there can be anything in it: a file that was never made holds nothing. Loads and opens nothing."""
        return self.path is None or self.path.exists()

    def open(self) -> None:
        """Connect, and bring the tables up to date, before anything is asked. Raises as ``read`` does."""
        with self._connected(writes=False):
            pass

    def read(self, statement: str, **values: Value) -> list[Row]:
        """The rows of a SELECT. Raises a ``FiresideError`` that says what is wrong with the database."""
        from sqlalchemy import text

        with self._connected(writes=False) as connection:
            return [dict(row) for row in connection.execute(text(statement), values).mappings()]

    def write(self, *statements: Statement) -> int:
        """Carry out all of them or none; returns how many rows the last one changed.

        Raises ``Invalid`` (``cause``: taken) where something is to be unique and is not, and as ``read`` does.
        """
        from sqlalchemy import text

        changed = 0
        with self._connected(writes=True) as connection:
            for statement, values in statements:
                changed = connection.execute(text(statement), values).rowcount
        return changed

    def close(self) -> None:
        with self._opening:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    @contextmanager
    def _connected(self, *, writes: bool) -> "Iterator[Connection]":
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._connect().execution_options(fireside_writes=writes) as connection, connection.begin():
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise _typed(error, self._shown()) from error

    def _connect(self) -> "Connection":
        engine = self._opened()
        try:
            return engine.connect()
        except OSError:
            # pg8000 lets the system's own error through where a connection that was kept has been cut; nothing was asked of it yet.
            engine.dispose()
            return engine.connect()

    def _opened(self) -> "Engine":
        """Safe for several threads: whoever comes first brings the tables up to date."""
        with self._opening:
            if self._engine is None:
                engine = _sqlite(self.path) if self.path is not None else _postgres(self._url())
                try:
                    _migrate(engine)
                except BaseException:
                    engine.dispose()
                    raise
                self._engine = engine
            return self._engine

    def _url(self) -> "URL":
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            url = make_url(self._text)
        except (ArgumentError, ValueError) as error:
            raise _no_url() from error
        if url.drivername not in ("postgresql", "postgres") or not url.host:
            raise _no_url()
        return url.set(password=self._password) if self._password and url.password is None else url

    def _shown(self) -> str:
        if self.path is not None:
            return str(self.path)
        url = self._url()
        return f"{url.database or ''} on {url.host}:{url.port or 5432}"


def _sqlite(path: Path) -> "Engine":
    from sqlalchemy import URL, create_engine, event

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Made before SQLite would make it, with rights for this user alone.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
    engine = create_engine(URL.create("sqlite+pysqlite", database=str(path)), connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: "DBAPIConnection", _: "ConnectionPoolEntry") -> None:
    # The driver's own transactions leave out CREATE TABLE; ours begin in ``_begin_sqlite``.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: "Connection") -> None:
    # A writer that begins as a reader may find, too late, that somebody has written since: SQLite does not wait then.
    writes = connection.get_execution_options().get("fireside_writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres(url: "URL") -> "Engine":
    from sqlalchemy import create_engine

    arguments: dict[str, object] = {"timeout": CONNECT_SECONDS, "application_name": "fireside"}
    mode = url.query.get("sslmode", "disable")
    if mode in TLS:
        # pg8000 makes a context of its own then, which looks at the certificate.
        arguments["ssl_context"] = True
    elif mode not in ("disable", "prefer", "allow"):
        raise Invalid(f"sslmode={mode} is not known", remedy=f"one of: {', '.join(TLS)}")
    try:
        return create_engine(
            url.set(drivername="postgresql+pg8000", query={}), connect_args=arguments, pool_pre_ping=True, pool_size=2
        )
    except ModuleNotFoundError as error:
        raise Invalid("the driver for PostgreSQL is not installed", remedy="pip install 'fireside[team]'") from error


def _migrate(engine: "Engine") -> None:
    """Take the steps that are missing, in one transaction; two processes that start together take turns."""
    from sqlalchemy import text

    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        connection.execute(text(VERSION_TABLE))
        found = connection.execute(text("SELECT version FROM schema_version")).scalar()
        version = int(found or 0)
        if version > len(MIGRATIONS):
            raise Invalid(
                f"the database was made by a newer Fireside (version {version}, this one knows {len(MIGRATIONS)})",
                remedy="pip install --upgrade fireside",
            )
        for step in MIGRATIONS[version:]:
            for statement in step:
                connection.execute(text(statement))
        change = (
            "INSERT INTO schema_version VALUES (:number)"
            if found is None
            else "UPDATE schema_version SET version = :number"
        )
        if version < len(MIGRATIONS):
            connection.execute(text(change), {"number": len(MIGRATIONS)})


def _typed(error: Exception, where: str) -> FiresideError:
    """What SQLAlchemy and the drivers raise, as one of ours; never the statement or its values."""
    from sqlalchemy.exc import IntegrityError

    if isinstance(error, IntegrityError):
        return Invalid("that is there already", cause="taken")
    said = _said(error)
    for words, kind, message, remedy in FAULTS:
        if any(word in said.lower() for word in words):
            return kind(message.format(where=where, said=said), remedy=remedy.format(where=where), cause="database")
    return ConnectionFailed(
        f"the database {where} does not answer: {said}", remedy="fireside config get records.database", cause="down"
    )


def _said(error: Exception) -> str:
    """One line of the driver's own words."""
    original = getattr(error, "orig", None) or error
    first = original.args[0] if original.args else ""
    if isinstance(first, dict):
        # What PostgreSQL answered, field by field: https://www.postgresql.org/docs/current/protocol-error-fields.html
        return f"{first.get('M', '')} ({first.get('C', '')})"
    return (str(original).strip().splitlines() or [type(original).__name__])[0][:200]


def _no_url() -> Invalid:
    # The text may hold a password: it is not repeated.
    return Invalid(
        "records.database is not the address of a database", remedy="write it like postgresql://fireside@box/fireside"
    )

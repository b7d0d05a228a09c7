"""The same tests on SQLite and on PostgreSQL: one set of statements serves both."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fireside.records.database import Database
from support.services import fresh_database, postgres


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.team)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            made = Database.file(tmp_path / "data" / "records.db")
        else:
            made = Database(fresh_database(request.getfixturevalue("server")))
        stack.callback(made.close)
        yield made

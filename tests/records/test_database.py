"""One database, a file or a server: its tables come up to date by themselves, and its faults are said in words."""

import gc
import threading

import pytest

from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, NotPermitted, TimedOut
from fireside.records import database as module
from fireside.records.database import Database
from fireside.records.schema import MIGRATIONS
from support.privileges import as_nobody, open_folder
from support.services import free_port, fresh_database

COUNT = "SELECT COUNT(*) AS number FROM api_keys"
ADD = "INSERT INTO usage VALUES (:day, 'key', 'model', 1, 0, 2, 3)"


def test_nothing_is_made_by_asking_whether_it_is_there(tmp_path):
    database = Database.file(tmp_path / "deep" / "records.db")
    assert not database.is_there()
    assert list(tmp_path.iterdir()) == []


def test_a_new_database_gets_the_tables_and_their_version(database):
    assert database.read(COUNT) == [{"number": 0}]
    assert database.read("SELECT version FROM schema_version") == [{"version": len(MIGRATIONS)}]
    assert database.is_there()


def test_the_file_is_for_this_user_alone(tmp_path):
    database = Database.file(tmp_path / "deep" / "records.db")
    database.read(COUNT)
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "deep", database.path)} == {0}
    database.close()


def test_an_older_database_is_brought_up_to_date_and_keeps_what_it_holds(database, monkeypatch):
    monkeypatch.setattr(module, "MIGRATIONS", MIGRATIONS[:1])
    database.write(("UPDATE generations SET number = 7", {}))
    database.close()
    monkeypatch.setattr(module, "MIGRATIONS", MIGRATIONS)
    assert database.read("SELECT number FROM generations") == [{"number": 7}]
    assert database.read("SELECT COUNT(*) AS number FROM usage") == [{"number": 0}]


def test_a_database_of_a_newer_fireside_is_left_alone(database):
    database.write(("UPDATE schema_version SET version = 99", {}))
    database.close()
    with pytest.raises(Invalid, match="newer Fireside"):
        database.read(COUNT)


def test_statements_are_carried_out_all_or_none(database):
    with pytest.raises(Invalid) as caught:
        database.write((ADD, {"day": "2026-01-01"}), (ADD, {"day": "2026-01-01"}))
    assert caught.value.context["cause"] == "taken"
    assert database.read("SELECT COUNT(*) AS number FROM usage") == [{"number": 0}]
    assert database.write((ADD, {"day": "2026-01-01"})) == 1


def test_threads_that_open_it_together_take_turns(database):
    together, faults = threading.Barrier(4), []

    def write(number: int) -> None:
        together.wait(10)
        try:
            database.write((ADD, {"day": f"2026-01-0{number}"}))
        except FiresideError as error:
            faults.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert faults == []
    assert database.read("SELECT COUNT(*) AS number FROM usage") == [{"number": 4}]


def test_a_file_that_is_no_database_is_said_to_be_damaged(tmp_path):
    path = tmp_path / "records.db"
    path.write_bytes(b"not a database, and long enough to be looked at as one" * 20)
    with pytest.raises(Invalid) as caught:
        Database.file(path).read(COUNT)
    assert "damaged" in caught.value.message
    assert str(path) in caught.value.remedy


def test_a_folder_that_may_not_be_written_is_said():
    with open_folder() as folder:
        folder.chmod(0o555)
        with as_nobody(), pytest.raises(NotPermitted, match="cannot be opened"):
            Database.file(folder / "records.db").read(COUNT)


def test_a_file_another_process_keeps_locked_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
    one, two = Database.file(tmp_path / "records.db"), Database.file(tmp_path / "records.db")
    two.read(COUNT)
    with one._connected(writes=True), pytest.raises(TimedOut, match="locked"):
        two.write((ADD, {"day": "2026-01-01"}))
    one.close()
    two.close()


@pytest.mark.parametrize("url", ["mysql://box/x", "postgresql://", "nonsense", "http://user:secret@box/x", ""])
def test_what_is_no_address_is_refused_and_not_repeated(url):
    with pytest.raises(Invalid) as caught:
        Database(url).read(COUNT)
    assert "secret" not in f"{caught.value} {caught.value.remedy}"


@pytest.mark.team
def test_a_server_that_is_not_there_is_one_typed_error():
    database = Database(f"postgresql://fireside:secret@127.0.0.1:{free_port()}/fireside")
    with pytest.raises(ConnectionFailed) as caught:
        database.read(COUNT)
    assert "secret" not in str(caught.value)


# pg8000 leaves the socket of a connection that was cut to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.team
def test_a_server_that_went_away_in_between_is_asked_again(server):
    database = Database(fresh_database(server))
    database.read(COUNT)
    other = Database(server)
    other.read(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fireside' AND pid <> pg_backend_pid()"
    )
    assert database.read(COUNT) == [{"number": 0}]
    database.close()
    other.close()
    gc.collect()

"""``fireside keys`` and ``fireside audit`` as a user meets them."""

import json
import re
from pathlib import Path

import pytest

from fireside.cli.amounts import budget, moment, span
from fireside.cli.commands import run_command
from fireside.config.paths import Paths
from fireside.records.audit import Audit
from fireside.records.database import Database
from fireside.records.keys import Keys
from fireside.records.request import RequestRecord
from fireside.records.usage import UsageSink
from support.privileges import as_nobody, open_folder
from support.project import fireside
from support.services import postgres

PAGE = Path(__file__).parents[2] / "docs/keys.md"


@pytest.fixture
def data(own_home: Path) -> Path:
    return own_home / "fireside/data"


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    found = run_command(list(words))
    output = capsys.readouterr()
    assert found == code, output.err
    return output.out if code == 0 else output.err


def as_data(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    found = json.loads(said(capsys, *words, "--json"))
    assert isinstance(found, dict)
    return found


def test_a_key_is_shown_once_alone_on_the_standard_output(capsys):
    assert run_command(["keys", "create", "laptop", "--expires", "30d", "--rpm", "60"]) == 0
    output = capsys.readouterr()
    assert re.fullmatch(r"fsd_[\w-]{43}\n", output.out)
    assert "not shown again" in output.err
    listed = said(capsys, "keys", "list")
    assert output.out.strip() not in listed
    head, row = listed.splitlines()
    assert head.split()[:5] == ["NAME", "ID", "KEY", "ROLE", "STATE"]
    assert row.split()[0] == "laptop"
    assert "rpm 60" in row


def test_everything_that_can_be_said_of_a_key_is_kept(capsys):
    as_data(capsys, "keys", "create", "ci", "--role", "admin", "--scope", "chat,complete", "--scope", "model:qwen*",
            "--tpm", "1000", "--concurrency", "2", "--budget", "200k/day", "--budget", "5M/month")  # fmt: skip
    (key,) = as_data(capsys, "keys", "list")["keys"]
    assert (key["role"], key["routes"], key["models"]) == ("admin", ["chat", "complete"], ["qwen*"])
    assert key["limits"] == {"tpm": 1000, "concurrency": 2, "budget_day": 200_000, "budget_month": 5_000_000}
    assert (key["state"], key["expires"], key["last_used"]) == ("active", None, None)
    assert "key" not in key


def test_a_revoked_key_is_listed_only_when_asked_for(capsys):
    made = as_data(capsys, "keys", "create", "laptop")
    assert said(capsys, "keys", "revoke", "laptop") == f"revoked: laptop ({made['id']})\n"
    assert "no keys yet" in said(capsys, "keys", "list")
    assert "revoked" in said(capsys, "keys", "list", "--all")
    assert "no key laptop" in said(capsys, "keys", "revoke", "laptop", code=1)
    assert "before" in said(capsys, "keys", "revoke", str(made["id"]), code=1)


def test_a_rotated_key_has_another_secret(capsys):
    made = as_data(capsys, "keys", "create", "laptop")
    rotated = as_data(capsys, "keys", "rotate", "laptop")
    assert made["id"] == rotated["id"]
    assert made["key"] != rotated["key"]


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["create"], 2, "NAME"),
        (["create", "x", "--expires", "soon"], 2, "no span of time"),
        (["create", "x", "--budget", "0"], 2, "no budget"),
        (["create", "x", "--rpm", "0"], 2, "rpm"),
        (["create", "x", "--role", "king"], 2, "king"),
        (["create", "x", "--scope", "fly"], 1, "fly"),
        (["create", ""], 1, "not a name"),
        (["revoke", "nobody"], 1, "no key nobody"),
        (["rotate", "nobody"], 1, "no key nobody"),
        (["usage", "--since", "gestern"], 2, "no moment"),
    ],
)
def test_what_does_not_fit_is_said_in_a_line(capsys, words, code, part):
    err = said(capsys, "keys", *words, code=code)
    assert err.startswith("error: ")
    assert part in err
    assert "no keys yet" in said(capsys, "keys", "list", "--all")


def test_every_change_is_in_the_audit_log_and_no_secret(capsys, data):
    key = str(as_data(capsys, "keys", "create", "laptop")["key"])
    other = str(as_data(capsys, "keys", "rotate", "laptop")["key"])
    said(capsys, "keys", "revoke", "laptop")
    lines = [json.loads(line) for line in said(capsys, "audit", "export").splitlines()]
    assert [(line["event"], line["name"]) for line in lines] == [
        ("key_created", "laptop"),
        ("key_rotated", "laptop"),
        ("key_revoked", "laptop"),
    ]
    assert all(line["by"] for line in lines)
    written = (data / "audit/cli.jsonl").read_text()
    assert key[10:] not in written
    assert other[10:] not in written
    assert "cli: 3 entries, whole" in said(capsys, "audit", "verify")


def test_a_key_that_cannot_be_audited_is_not_given_out(monkeypatch):
    with open_folder() as home:
        (home / "data").mkdir()
        (home / "data").chmod(0o777)
        (home / "data/audit").mkdir(mode=0o555)
        monkeypatch.setenv("FIRESIDE_HOME", str(home))
        with as_nobody():
            assert run_command(["keys", "create", "laptop"]) == 1
            database = Database.file(home / "data/records.db")
            (key,) = Keys(database).list()
            database.close()
    assert key.revoked is not None


def test_usage_is_told_by_day_key_and_model(capsys, data):
    made = as_data(capsys, "keys", "create", "laptop")
    database = Database.file(data / "records.db")
    asked = {"time": 1_796_040_000.0, "route": "/v1/chat/completions", "seconds": 0.1, "prompt_tokens": 10}
    records = [
        RequestRecord(**asked, status=200, model="qwen3", key_id=str(made["id"]), completion_tokens=2),
        RequestRecord(**asked, status=502),
    ]
    UsageSink(database).write(records, 0)
    database.close()
    table = [row.split() for row in said(capsys, "keys", "usage", "--since", "2026-11-01").splitlines()]
    assert table[1:] == [
        ["2026-11-30", "-", "-", "1", "1", "10", "0"],
        ["2026-11-30", "laptop", "qwen3", "1", "0", "10", "2"],
    ]
    (_, row) = as_data(capsys, "keys", "usage", "--since", "2026-11-01")["usage"]
    assert (row["key"], row["prompt_tokens"]) == ("laptop", 10)
    assert "nothing was asked" in said(capsys, "keys", "usage", "--since", "2027-01-01")


def test_an_audit_log_that_is_not_there_is_said_to_be(capsys):
    assert "no audit log yet" in said(capsys, "audit", "verify")
    assert "no entries yet" in said(capsys, "audit", "tail")
    assert said(capsys, "audit", "export") == ""


def test_the_newest_entries_are_shown_and_move_no_cursor(capsys, data):
    audit = Audit(data / "audit", "server")
    for number in range(30):
        audit.note("numbered", number=number)
    audit.note("odd", model="\x1b[2J\nx")
    audit.close()
    lines = said(capsys, "audit", "tail", "-n", "3").splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("number=28")
    assert "\x1b" not in lines[2]
    assert len(said(capsys, "audit", "tail").splitlines()) == 20
    (line,) = said(capsys, "audit", "tail", "-n", "1", "--json").splitlines()
    assert json.loads(line)["model"] == "\x1b[2J\nx"
    assert "no entries since then" in said(capsys, "audit", "tail", "--since", "2099-01-01")
    assert len(said(capsys, "audit", "export", "--since", "1h", "--text").splitlines()) == 31


def test_a_log_changed_by_hand_is_told_with_exit_code_1(capsys, data):
    audit = Audit(data / "audit", "server")
    for number in range(3):
        audit.note("numbered", number=number)
    audit.close()
    path = audit.chain.path
    path.write_text(path.read_text().replace('"number":1', '"number":7'))
    err = said(capsys, "audit", "verify", code=1)
    assert "line 3" in err
    assert "server.jsonl" in err
    assert run_command(["audit", "verify", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["logs"]["server"]["broken_at"] == 3


@pytest.mark.parametrize(("text", "seconds"), [("45s", 45), ("90m", 5400), ("12h", 43_200), ("30D", 2_592_000)])
def test_spans_are_read(text, seconds):
    assert span(text) == seconds


@pytest.mark.parametrize(
    ("text", "tokens"), [("200k", ("day", 200_000)), ("1000/day", ("day", 1000)), ("5M/month", ("month", 5_000_000))]
)
def test_budgets_are_read(text, tokens):
    assert budget(text) == tokens


def test_moments_are_read_as_utc_unless_they_say_otherwise():
    assert moment("2026-11-30") == "2026-11-30T00:00:00.000+00:00"
    assert moment("2026-11-30T12:00+02:00") == "2026-11-30T10:00:00.000+00:00"
    assert moment("1h") > moment("2h")


def test_the_example_of_the_documents_runs_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(example, {})
    assert (tmp_path / "audit/script.jsonl").exists()


def test_the_commands_of_the_documents_run_as_they_stand(tmp_path):
    commands = re.findall(r"^\$ fireside (.*?)(?:\s*#.*)?$", PAGE.read_text(), re.MULTILINE)
    assert len(commands) >= 10
    for command in commands:
        words = [word.strip("'") for word in command.partition(" > ")[0].split()]
        done = fireside(*words, cwd=tmp_path)
        assert done.returncode == 0, f"{command}: {done.stderr}"


@pytest.mark.team
def test_keys_of_a_team_are_in_postgresql(capsys, data):
    with postgres() as url:
        said(capsys, "config", "set", "records.database", url)
        said(capsys, "keys", "create", "laptop")
        assert "laptop" in said(capsys, "keys", "list")
        database = Database(url)
        assert [key.name for key in Keys(database).list()] == ["laptop"]
        database.close()
    assert not (data / "records.db").exists()
    assert "does not answer" in said(capsys, "keys", "list", code=1)


def test_a_database_in_another_net_is_not_reached_without_a_yes(capsys, monkeypatch):
    said(capsys, "config", "set", "records.database", "postgresql://fireside@203.0.113.7/fireside")
    err = said(capsys, "keys", "list", code=1)
    assert "was not allowed" in err
    assert "privacy.allow_hosts" in err


def test_the_data_folder_is_where_the_settings_say(data, capsys):
    said(capsys, "keys", "create", "laptop")
    assert Paths.from_environment({"FIRESIDE_HOME": str(data.parent)}).data == data
    assert {path.stat().st_mode & 0o077 for path in (data / "records.db", data / "audit/cli.jsonl")} == {0}

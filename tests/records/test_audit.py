"""What the audit log holds, and what it never holds."""

import json
import threading

import pytest

from fireside.core.errors import NotPermitted
from fireside.records import audit as module
from fireside.records.audit import Audit, entries, tail, verify
from fireside.records.request import RequestRecord
from fireside.records.settings import AuditSettings

NOON = 1_796_040_000.0  # 2026-11-30T12:00:00Z
PROMPT = "the secret plan"


def asked(**facts: object) -> RequestRecord:
    given = {
        "time": NOON, "route": "/v1/messages", "status": 200, "seconds": 0.1234567, "model": "m", "engine": "ollama",
        "key_id": "key_1", "key_name": "laptop", "prompt_tokens": 10, "completion_tokens": 2, "prompt": PROMPT, **facts,
    }  # fmt: skip
    return RequestRecord(**given)  # type: ignore[arg-type]


def log(folder, **settings: object) -> Audit:
    return Audit(folder, "server", settings=AuditSettings(**settings), seconds=60)  # type: ignore[arg-type]


def lines(folder) -> list[dict[str, object]]:
    return [{name: value for name, value in entry.items() if name != "previous"} for entry in entries(folder)]


def test_a_request_is_who_what_and_how_much_and_not_what_was_said(tmp_path):
    audit = log(tmp_path)
    audit.request(asked())
    audit.close()
    assert lines(tmp_path) == [
        {
            "log": "server", "time": "2026-11-30T12:00:00.000+00:00", "event": "request", "route": "/v1/messages",
            "status": 200, "key_id": "key_1", "key_name": "laptop", "model": "m", "engine": "ollama",
            "prompt_tokens": 10, "completion_tokens": 2, "seconds": 0.1235,
        }
    ]  # fmt: skip
    assert PROMPT not in audit.chain.path.read_text()


def test_prompts_are_kept_only_where_the_settings_ask_for_them(tmp_path):
    audit = log(tmp_path, prompts=True)
    audit.request(asked())
    audit.close()
    assert lines(tmp_path)[0]["prompt"] == PROMPT


def test_requests_may_be_left_out_and_what_was_changed_never_is(tmp_path):
    audit = log(tmp_path, requests=False)
    audit.request(asked())
    audit.note("config_changed", keys="server.port")
    audit.close()
    assert [(line["event"], line["keys"]) for line in lines(tmp_path)] == [("config_changed", "server.port")]


def test_refusals_are_counted_and_a_million_of_them_are_one_line(tmp_path):
    audit = log(tmp_path)
    for _ in range(10_000):
        audit.refused("login_refused", "unknown", "192.168.1.9")
    audit.refused("limit_reached", "requests", "laptop")
    audit.close()
    assert [(line["event"], line["reason"], line["client"], line["times"]) for line in lines(tmp_path)] == [
        ("login_refused", "unknown", "192.168.1.9", 10_000),
        ("limit_reached", "requests", "laptop", 1),
    ]


def test_whoever_comes_from_many_addresses_fills_neither_memory_nor_disk(tmp_path):
    audit = log(tmp_path)
    for number in range(module.MOST_CLIENTS + 500):
        audit.refused("login_refused", "unknown", f"10.0.{number // 256}.{number % 256}")
    audit.close()
    found = lines(tmp_path)
    assert len(found) == module.MOST_CLIENTS + 1
    assert [line["times"] for line in found if line["client"] == "others"] == [500]


def test_refusals_survive_a_disk_that_is_full_for_a_while(tmp_path, monkeypatch):
    audit = log(tmp_path)
    append = audit.chain.append
    monkeypatch.setattr(audit.chain, "append", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    audit.refused("login_refused", "expired", "box")
    assert not audit.flush()
    assert "No space left" in audit.state().problem
    monkeypatch.setattr(audit.chain, "append", append)
    audit.refused("login_refused", "expired", "box")
    assert audit.flush()
    audit.close()
    assert [line["times"] for line in lines(tmp_path)] == [2]


def test_entries_that_were_lost_leave_a_gap_that_says_how_many(tmp_path, monkeypatch):
    audit = log(tmp_path)
    monkeypatch.setattr(audit._writer, "_capacity", 3)
    for number in range(10):
        audit.note("numbered", number=number)
    assert audit.flush()
    audit.close()
    found = lines(tmp_path)
    assert [line.get("number") for line in found] == [0, 1, 2, None]
    assert (found[-1]["event"], found[-1]["lost"]) == ("gap", 7)
    assert verify(tmp_path)["server"].broken_at is None


def test_what_an_administrator_does_is_written_before_it_is_done_or_refused(tmp_path):
    audit = log(tmp_path / "audit")
    audit.write("key_revoked", id="key_1")
    assert verify(tmp_path / "audit")["server"].entries == 1
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotPermitted) as caught:
        log(tmp_path / "file").write("key_revoked", id="key_1")
    assert "audit log" in caught.value.message


def test_several_processes_write_logs_that_read_as_one(tmp_path):
    for role, times in (("server", (1, 4)), ("cli", (2, 3))):
        audit = Audit(tmp_path, role)
        for number in times:
            audit.request(asked(time=NOON + number, model=f"m{number}"))
        audit.close()
    assert [line["model"] for line in lines(tmp_path)] == ["m1", "m2", "m3", "m4"]
    assert [line["model"] for line in tail(tmp_path, 2)] == ["m3", "m4"]
    assert [entry["model"] for entry in entries(tmp_path, since="2026-11-30T12:00:03")] == ["m3", "m4"]
    assert set(verify(tmp_path)) == {"server", "cli"}


def test_workers_share_one_log(tmp_path):
    workers = [log(tmp_path) for _ in range(3)]
    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert verify(tmp_path)["server"].entries == 60
    assert verify(tmp_path)["server"].broken_at is None


def work(worker: Audit) -> None:
    for number in range(20):
        worker.note("numbered", number=number)
        worker.flush()
    worker.close()


def test_a_changed_line_shows(tmp_path):
    audit = log(tmp_path)
    for number in range(5):
        audit.note("numbered", number=number)
    audit.close()
    path = audit.chain.path
    changed = path.read_text().splitlines()
    changed[2] = json.dumps({**json.loads(changed[2]), "number": 99})
    path.write_text("\n".join(changed) + "\n")
    verdict = verify(tmp_path)["server"]
    assert (verdict.broken_at, verdict.broken_in) == (4, path)

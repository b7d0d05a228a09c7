"""Who asks: the keys a server knows, and what each of them may do."""

import time

import pytest

from fireside.core.errors import NotPermitted
from fireside.records.database import Database
from fireside.records.keys import Keys, Role, Scopes
from fireside.server.auth import LOCAL, Keyring, is_loopback, keys_required


@pytest.fixture
def keys(tmp_path):
    made = Keys(Database.file(tmp_path / "records.db"))
    yield made
    made.database.close()


def ring(keys: Keys, required: bool = True) -> Keyring:
    made = Keyring(keys, required=required)
    made.load()
    return made


def bearer(key: str) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + key.encode()}


def refused(keyring: Keyring, headers: dict[bytes, bytes]) -> str:
    with pytest.raises(NotPermitted) as caught:
        keyring.authenticate(headers)
    assert caught.value.context["http_status"] == 401
    assert caught.value.remedy
    return str(caught.value.context["cause"])


@pytest.mark.parametrize(
    "write",
    [
        lambda key: {b"authorization": b"Bearer " + key},
        lambda key: {b"authorization": b"bearer  " + key + b" "},
        lambda key: {b"x-api-key": key},
        lambda key: {b"api-key": key},
        lambda key: {b"authorization": b"Bearer ", b"x-api-key": key},
        lambda key: {b"authorization": b"Basic dXNlcjpwYXNz", b"x-api-key": key},
    ],
)
def test_a_key_may_come_in_any_way_clients_send_one(keys, write):
    key, secret = keys.create("laptop", role=Role.USER)
    principal = ring(keys).authenticate(write(secret.encode()))
    assert (principal.id, principal.name, principal.role) == (key.id, "laptop", Role.USER)


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer sk-local"},
        {b"x-api-key": b"fsd_"},
        {b"x-api-key": b"fsd_" + b"A" * 43},
        {b"x-api-key": b"fsd_" + b"A" * 60_000},
        {b"authorization": b"Bearer \xff\x00\xfe"},
        {b"authorization": b"Bearer fsd_\xff\xfe"},
    ],
)
def test_a_wrong_key_is_unknown(keys, headers):
    keys.create("laptop")
    assert refused(ring(keys), headers) == "unknown"


@pytest.mark.parametrize("headers", [{}, {b"authorization": b""}, {b"authorization": b"Basic dXNlcjpwYXNz"}])
def test_no_key_is_missing(keys, headers):
    assert refused(ring(keys), headers) == "missing"


def test_a_part_of_a_key_and_more_than_a_key_are_wrong(keys):
    _, secret = keys.create("laptop")
    keyring = ring(keys)
    for wrong in (secret[:-1], secret + "A", secret.swapcase(), secret + "A" * 200):
        assert refused(keyring, bearer(wrong)) == "unknown"
    assert keyring.authenticate(bearer(secret)).name == "laptop"


def test_an_expired_key_is_told_from_a_wrong_one(keys):
    _, secret = keys.create("laptop", expires=time.time() - 1)
    _, other = keys.create("other", expires=time.time() + 60)
    keyring = ring(keys)
    assert refused(keyring, bearer(secret)) == "expired"
    assert [each.name for each in keyring.principals()] == ["other"]
    assert keyring.authenticate(bearer(other)).name == "other"


def test_a_revoked_key_is_refused_after_the_next_look(keys):
    _, secret = keys.create("laptop")
    keyring = ring(keys)
    assert keyring.authenticate(bearer(secret)).name == "laptop"
    assert not keyring.refresh()
    keys.revoke("laptop")
    assert keyring.refresh()
    assert refused(keyring, bearer(secret)) == "revoked"


def test_a_new_key_and_a_rotated_one_are_known_after_the_next_look(keys):
    keyring = ring(keys)
    _, old = keys.create("laptop")
    assert keyring.refresh()
    assert keyring.authenticate(bearer(old)).name == "laptop"
    _, new = keys.rotate("laptop")
    assert keyring.refresh()
    assert keyring.authenticate(bearer(new)).name == "laptop"
    assert refused(keyring, bearer(old)) == "unknown"


def test_on_loopback_nobody_needs_a_key_and_what_clients_make_up_is_ignored(keys):
    keyring = ring(keys, required=False)
    for headers in ({}, bearer("sk-local"), {b"x-api-key": b"ollama"}):
        assert keyring.authenticate(headers) is LOCAL
    assert LOCAL.role is Role.ADMIN


def test_on_loopback_a_key_of_ours_means_its_owner_and_a_revoked_one_nobody(keys):
    _, secret = keys.create("phone", role=Role.VIEWER)
    keyring = ring(keys, required=False)
    assert keyring.authenticate(bearer(secret)).role is Role.VIEWER
    keys.revoke("phone")
    keyring.refresh()
    assert refused(keyring, bearer(secret)) == "revoked"
    assert refused(keyring, bearer("fsd_" + "A" * 43)) == "unknown"


@pytest.mark.parametrize(
    ("role", "routes", "rights"),
    [
        (Role.ADMIN, None, {"chat", "complete", "embed", "models", "view", "admin"}),
        (Role.USER, None, {"chat", "complete", "embed", "models", "view"}),
        (Role.VIEWER, None, {"models", "view"}),
        (Role.USER, ("complete", "admin"), {"complete"}),
        (Role.ADMIN, ("chat", "models"), {"chat", "models"}),
        (Role.VIEWER, ("chat",), set()),
    ],
)
def test_a_key_may_what_its_role_and_its_scope_both_allow(keys, role, routes, rights):
    scopes = Scopes(routes=routes) if routes else None
    _, secret = keys.create("laptop", role=role, scopes=scopes)
    assert ring(keys).authenticate(bearer(secret)).rights == rights


def test_a_key_may_use_the_models_it_is_for_by_alias_or_name(keys):
    _, secret = keys.create("laptop", scopes=Scopes(models=("qwen*", "chat")))
    principal = ring(keys).authenticate(bearer(secret))
    assert principal.may_use("qwen3-coder:7b")
    assert principal.may_use("chat", "gemma3:4b")
    assert principal.may_use("best", "qwen3-coder:7b")
    assert not principal.may_use("complete", "gemma3:4b")
    assert LOCAL.may_use("anything")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.9.1", "LOCALHOST.", "fireside.localhost"]
)
def test_loopback_is_this_machine_alone(host):
    assert is_loopback(host)
    assert not keys_required([host], require_keys=False)
    assert keys_required([host], require_keys=True)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "192.168.1.20", "box", "100.64.0.1", "127.0.0.1.example.com", "2130706433", "*"]
)
def test_everything_else_needs_keys(host):
    assert keys_required(["127.0.0.1", host], require_keys=False)


def test_a_server_others_can_reach_does_not_start_without_a_key(keys):
    with pytest.raises(NotPermitted) as caught:
        ring(keys).check_bind("0.0.0.0")
    assert "fireside keys create" in caught.value.remedy
    keys.create("gone", expires=time.time() - 1)
    with pytest.raises(NotPermitted):
        ring(keys).check_bind("0.0.0.0")
    ring(keys, required=False).check_bind("127.0.0.1")
    keys.create("laptop")
    ring(keys).check_bind("0.0.0.0")


def test_when_the_database_goes_away_the_keys_known_go_on(keys):
    _, secret = keys.create("laptop")
    keyring = ring(keys)
    keys.database.close()
    keys.database.path.write_bytes(b"no database any more" * 100)
    assert not keyring.refresh()
    assert "damaged" in keyring.problem
    assert keyring.authenticate(bearer(secret)).name == "laptop"


def test_without_a_database_nothing_is_loaded_or_made(tmp_path):
    keyring = ring(Keys(Database.file(tmp_path / "records.db")), required=False)
    assert not keyring.refresh()
    assert list(tmp_path.iterdir()) == []

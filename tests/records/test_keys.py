"""Keys as they are made, listed, revoked and replaced, on SQLite and on PostgreSQL."""

import hashlib
import time

import pytest

from fireside.core.errors import Invalid
from fireside.records.database import Database
from fireside.records.keys import ROUTES, KeyLimits, Keys, Role, Scopes, last_used


@pytest.fixture
def keys(database: Database) -> Keys:
    return Keys(database)


def test_before_the_first_key_there_is_nothing(tmp_path):
    keys = Keys(Database.file(tmp_path / "records.db"))
    assert (keys.list(), keys.generation()) == ([], 0)
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_kept_as_its_hash_and_everything_about_it_comes_back(keys):
    limits = KeyLimits(rpm=60, tpm=100_000, concurrency=4, budget_day=10**6, budget_month=10**10)
    scopes = Scopes(models=("qwen*", "chat"), routes=("chat", "models"))
    made, secret = keys.create("Anna's laptop", role=Role.ADMIN, scopes=scopes, limits=limits, expires=2e9)
    assert keys.list() == [made]
    assert (made.role, made.scopes, made.limits, made.expires) == (Role.ADMIN, scopes, limits, 2e9)
    assert made.digest == hashlib.sha256(secret.encode()).digest()
    assert secret.startswith(made.prefix)
    assert abs(made.created - time.time()) < 60


def test_the_secret_is_nowhere_in_the_file(tmp_path):
    keys = Keys(Database.file(tmp_path / "records.db"))
    _, secret = keys.create("laptop")
    keys.database.close()
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"laptop" in held
    assert secret[len("fsd_") + 6 :].encode() not in held


def test_a_secret_holds_256_bits_and_is_never_the_same(keys):
    secrets = {keys.create(f"key {number}")[1] for number in range(20)}
    assert len(secrets) == 20
    assert {len(secret) for secret in secrets} == {47}


def test_two_keys_have_two_names_until_one_is_revoked(keys):
    first, _ = keys.create("laptop")
    with pytest.raises(Invalid) as caught:
        keys.create("laptop")
    assert "rotate laptop" in caught.value.remedy
    keys.revoke("laptop")
    second, _ = keys.create("laptop")
    assert keys.find("laptop") == second
    assert keys.find(first.id).revoked is not None


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_key_is_revoked_once_by_its_name_or_id(keys, by):
    made, _ = keys.create("laptop")
    gone = keys.revoke(getattr(made, by))
    assert gone.state(time.time()) == "revoked"
    assert [key.revoked for key in keys.list()] == [gone.revoked]
    with pytest.raises(Invalid):
        keys.revoke(made.id)
    with pytest.raises(Invalid, match="no key laptop"):
        keys.revoke("laptop")


def test_a_rotated_key_stays_the_same_key_with_another_secret(keys):
    made, old = keys.create("laptop", limits=KeyLimits(rpm=5))
    new, secret = keys.rotate("laptop")
    assert secret != old
    assert (new.id, new.limits) == (made.id, made.limits)
    assert keys.list() == [new]
    keys.revoke("laptop")
    with pytest.raises(Invalid, match="revoked"):
        keys.rotate(made.id)


def test_every_change_is_counted_and_using_a_key_is_none(keys):
    made, _ = keys.create("laptop")
    assert keys.generation() == 1
    keys.rotate("laptop")
    keys.revoke("laptop")
    assert keys.generation() == 3
    keys.database.write(*last_used({made.id: 12.5, "key_of_nobody": 1.0}))
    assert keys.generation() == 3
    assert keys.list()[0].last_used == 12.5
    keys.database.write(*last_used({made.id: 11.0}))
    assert keys.list()[0].last_used == 12.5


def test_a_change_that_fails_is_not_counted(keys):
    keys.create("laptop")
    with pytest.raises(Invalid):
        keys.create("laptop")
    assert keys.generation() == 1


def test_a_key_expires_by_itself(keys):
    made, _ = keys.create("laptop", expires=100.0)
    assert (made.state(99.9), made.state(100.0)) == ("active", "expired")


@pytest.mark.parametrize("name", ["", " ", " laptop", "lap\ntop", "x" * 65, "\x1b[2J"])
def test_a_name_must_be_one(keys, name):
    with pytest.raises(Invalid, match="not a name"):
        keys.create(name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": Scopes(routes=("chat", "fly"))},
        {"scopes": Scopes(routes=())},
        {"scopes": Scopes(models=())},
        {"limits": KeyLimits(rpm=0)},
        {"limits": KeyLimits(budget_day=-5)},
    ],
)
def test_a_scope_or_a_limit_that_is_none_is_refused(keys, wrong):
    with pytest.raises(Invalid):
        keys.create("laptop", **wrong)
    assert keys.list() == []


def test_a_key_is_for_everything_its_role_may_when_nothing_is_said(keys):
    made, _ = keys.create("laptop")
    assert made.scopes == Scopes(models=("*",), routes=ROUTES)
    assert made.limits == KeyLimits()

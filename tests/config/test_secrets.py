import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.errors import KeyringLocked

from fireside.config.secrets import Secret, Secrets, mask
from fireside.core.errors import FiresideError, Invalid, NotPermitted
from support.keyrings import MemoryKeyring, keyring_in_use

VALUE = "sk-do-not-print-me"
KNOWN = {"openai": "OPENAI_API_KEY"}


class LockedKeyring(MemoryKeyring):
    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked(VALUE)

    def set_password(self, service: str, username: str, password: str) -> None:
        raise KeyringLocked(password)


class BrokenKeyring(MemoryKeyring):
    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError("the bus is gone")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(f"the bus did not take {password}")


@pytest.fixture
def memory():
    with keyring_in_use(MemoryKeyring()) as backend:
        yield backend


def test_the_environment_goes_before_the_keyring(memory):
    Secrets({}).set("openai", "from the keyring")
    environ = {}
    secrets = Secrets(environ, KNOWN)
    assert (secrets.get("openai"), secrets.origin("openai")) == ("from the keyring", "keyring")
    environ["OPENAI_API_KEY"] = "known\n"
    assert (secrets.get("openai"), secrets.origin("openai")) == ("known", "OPENAI_API_KEY")
    environ["FIRESIDE_SECRET_OPENAI"] = "own"
    assert (secrets.get("openai"), secrets.origin("openai")) == ("own", "FIRESIDE_SECRET_OPENAI")


def test_a_secret_is_kept_and_deleted(memory):
    secrets = Secrets({})
    secrets.set("my-box", f"{VALUE}\n")
    assert memory.kept == {("fireside", "my-box"): VALUE}
    secrets.delete("my-box")
    assert (secrets.get("my-box"), secrets.origin("my-box")) == (None, None)
    with pytest.raises(Invalid, match="the keyring has no secret my-box"):
        secrets.delete("my-box")


def test_deleting_what_the_environment_holds_says_how(memory):
    with pytest.raises(Invalid) as caught:
        Secrets({"OPENAI_API_KEY": VALUE}, KNOWN).delete("openai")
    assert caught.value.remedy == "it comes from the environment: unset OPENAI_API_KEY"


def test_names_are_those_known_and_those_in_the_environment():
    environ = {"FIRESIDE_SECRET_GPU": "x", "FIRESIDE_SECRET_9": "x", "OTHER": "x"}
    assert Secrets(environ, KNOWN).names() == ["gpu", "openai"]


@pytest.mark.parametrize(
    "backend", [fail.Keyring(), LockedKeyring(), BrokenKeyring()], ids=["none", "locked", "broken"]
)
def test_a_keyring_that_does_not_answer_holds_nothing_but_is_an_error_to_write_to(backend):
    secrets = Secrets({})
    with keyring_in_use(backend):
        assert secrets.get("openai") is None
        assert secrets.trouble.startswith("keyring: ")
        with pytest.raises(NotPermitted) as caught:
            secrets.set("openai", VALUE)
    assert "set the variable FIRESIDE_SECRET_OPENAI instead" in caught.value.remedy
    assert VALUE not in f"{caught.value.message}{caught.value.remedy}{secrets.trouble}{caught.value.__cause__}"


def test_a_keyring_that_keeps_nothing_is_found_out():
    with keyring_in_use(null.Keyring()), pytest.raises(NotPermitted, match="keeps nothing"):
        Secrets({}).set("openai", VALUE)


@pytest.mark.parametrize("name", ["", "Open AI", "-x", VALUE.upper(), "a/b"])
def test_what_is_no_name_is_refused_without_repeating_it(memory, name):
    for use in (Secrets({}).get, lambda name: Secrets({}).set(name, "x"), Secrets({}).delete):
        with pytest.raises(Invalid) as caught:
            use(name)
        assert not name or name not in f"{caught.value.message}{caught.value.remedy}"


def test_an_empty_secret_is_refused(memory):
    with pytest.raises(FiresideError, match="is empty"):
        Secrets({}).set("openai", " \n")


def test_a_secret_does_not_show_itself():
    secret = Secret(VALUE, "keyring")
    assert f"{secret} {secret!r} {[secret]} {mask(VALUE)}" == f"*** *** [***] *** ({len(VALUE)} characters)"
    assert secret.reveal() == VALUE


def test_the_keyring_of_a_test_is_put_back():
    before = keyring.get_keyring()
    with keyring_in_use(MemoryKeyring()):
        assert isinstance(keyring.get_keyring(), KeyringBackend)
    assert keyring.get_keyring() is before

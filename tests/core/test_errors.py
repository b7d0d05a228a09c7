import json

import pytest

from fireside.core.errors import ERRORS, ConnectionFailed, ErrorKind, FiresideError, Invalid, RateLimited


def test_every_kind_has_exactly_one_class():
    assert set(ERRORS) == set(ErrorKind)
    assert len(set(ERRORS.values())) == len(ErrorKind)
    assert all(error.kind is kind for kind, error in ERRORS.items())


@pytest.mark.parametrize("kind", ErrorKind)
def test_an_error_of_every_kind_carries_its_message_remedy_and_facts(kind):
    error = ERRORS[kind]("it broke", remedy="mend it", status=500)
    assert str(error) == error.message == "it broke"
    assert error.remedy == "mend it"
    assert error.context["status"] == 500
    assert isinstance(error, FiresideError)


def test_only_what_may_pass_by_itself_is_retryable():
    retryable = {kind for kind, error in ERRORS.items() if error("x").retryable}
    assert retryable == {ErrorKind.CONNECTION, ErrorKind.TIMEOUT, ErrorKind.RATE_LIMIT}


def test_whoever_raises_may_know_better_whether_a_retry_helps():
    assert not ConnectionFailed("x", retryable=False).retryable
    assert Invalid("x", retryable=True).retryable


def test_the_facts_cannot_be_changed_afterwards():
    error = RateLimited("slow down", retry_after=3.0)
    with pytest.raises(TypeError):
        error.context["retry_after"] = 0  # type: ignore[index]


def test_as_plain_data_an_error_is_json_and_leaves_objects_out():
    data = RateLimited("slow down", remedy="wait", retry_after=3.0, cause=ValueError("no"), url="http://h").as_dict()
    assert json.loads(json.dumps(data)) == {
        "kind": "rate_limit",
        "message": "slow down",
        "remedy": "wait",
        "retryable": True,
        "context": {"retry_after": 3.0, "url": "http://h"},
    }

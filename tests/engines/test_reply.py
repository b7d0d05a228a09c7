"""What an answer that did come means when it is not the one hoped for."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from fireside.core.errors import (
    ConnectionFailed,
    FiresideError,
    Invalid,
    ModelNotFound,
    NotPermitted,
    OutOfResources,
    RateLimited,
)
from fireside.engines.reply import Response, explain, public_url, retry_after
from support.answers import check_error

PAGE = b"<!DOCTYPE html><html><head><title>Router\n login</title></head></html>"


def answer(status: int, body: bytes = b"", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, named, body, "http://box:8000/v1/models")


def test_a_web_page_under_400_is_a_refusal_all_the_same():
    error = explain(answer(400, PAGE, content_type="text/html"))
    assert isinstance(error, Invalid)
    assert "web page (Router login)" in error.message


@pytest.mark.parametrize("status", [200, 404, 405])
def test_a_web_page_is_called_one(status):
    error = explain(answer(status, PAGE, content_type="text/html; charset=utf-8"))
    assert isinstance(error, ConnectionFailed)
    assert not error.retryable
    assert "web page (Router login)" in error.message
    assert "port" in error.remedy


@pytest.mark.parametrize(("status", "retryable"), [(500, True), (502, True), (503, True)])
def test_the_error_page_of_a_proxy_is_worth_another_try(status, retryable):
    assert explain(answer(status, PAGE, content_type="text/html")).retryable is retryable


def test_an_empty_403_is_about_the_host_header():
    error = explain(answer(403))
    assert isinstance(error, NotPermitted)
    assert "host_header" in error.remedy


def test_http_sent_to_an_https_port_says_so():
    error = explain(answer(400, b"Client sent an HTTP request to an HTTPS server.\n"))
    assert (error.context["cause"], error.retryable) == ("tls", False)


def test_an_unknown_model_is_named():
    error = explain(answer(404, b'{"error": "model \'m\' not found"}'), model="m")
    assert isinstance(error, ModelNotFound)
    assert "box:8000" in error.message


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("", None), ("soon", None)])
def test_the_time_to_wait_is_read(header, seconds):
    assert retry_after(header) == seconds


def test_a_date_to_wait_for_is_read():
    now = datetime.now(UTC).replace(microsecond=0)
    assert retry_after(format_datetime(now + timedelta(seconds=90), usegmt=True), now) == 90
    assert retry_after(format_datetime(now - timedelta(seconds=90), usegmt=True), now) == 0


def test_a_rate_limit_with_a_time_to_wait():
    error = explain(answer(429, b'{"error": {"message": "slow down"}}', retry_after="12"))
    assert isinstance(error, RateLimited)
    assert error.context["retry_after"] == 12


def test_a_busy_server_that_names_a_time_is_a_rate_limit_else_out_of_room():
    assert isinstance(explain(answer(503, retry_after="2")), RateLimited)
    busy = explain(answer(503))
    assert isinstance(busy, OutOfResources)
    assert busy.retryable


@pytest.mark.parametrize("body", [b"", b"{", b'{"data": [', b"[1]", PAGE, b'{"error": {"message": "no"}}'])
def test_a_successful_answer_that_is_none_is_an_error(body):
    with pytest.raises(FiresideError) as caught:
        answer(200, body).object()
    check_error(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:word@box:1/v1?key=1#x", "http://box:1/v1"),
        ("https://[::1]:8/a/b", "https://[::1]:8/a/b"),
        ("not a url", "not a url"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url, shown):
    assert public_url(url) == shown

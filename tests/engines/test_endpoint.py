"""The address table of Ollama's own parser, and ours on top of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fireside.core.errors import Invalid
from fireside.engines.endpoint import DEFAULT, choose, parse

# value, the URL Ollama's Go code would dial (or ours where a client needs another), what a note must say ("" = no note)
TABLE = [
    ("", "http://127.0.0.1:11434", ""),
    ("   ", "http://127.0.0.1:11434", ""),
    ('""', "http://127.0.0.1:11434", ""),
    ("1.2.3.4", "http://1.2.3.4:11434", ""),
    ('"1.2.3.4"', "http://1.2.3.4:11434", ""),
    ("'1.2.3.4'", "http://1.2.3.4:11434", ""),
    ("  1.2.3.4  ", "http://1.2.3.4:11434", ""),
    ('" 1.2.3.4 "', "http://1.2.3.4:11434", ""),
    (' "1.2.3.4:5" ', "http://1.2.3.4:5", ""),
    ("h", "http://h:11434", ""),
    ("h:1234", "http://h:1234", ""),
    (":1234", "http://127.0.0.1:1234", ""),
    (":0", "http://127.0.0.1:0", "port 0"),
    (":65535", "http://127.0.0.1:65535", ""),
    (":66000", "http://127.0.0.1:11434", "not a port"),
    (":-1", "http://127.0.0.1:11434", "not a port"),
    ("h:abc", "http://h:11434", "not a port"),
    ("h:", "http://h:11434", "not a port"),
    ("http://h:99999", "http://h:80", "not a port; using 80"),
    ("https://h:99999", "https://h:443", "not a port; using 443"),
    ("http://h", "http://h:80", "11434"),
    ("http://100.64.1.2", "http://100.64.1.2:80", "11434"),
    ("https://h", "https://h:443", ""),
    ("HTTPS://h", "https://h:443", ""),
    ("http://h:4321", "http://h:4321", ""),
    ("https://h:4321", "https://h:4321", ""),
    ("https://h/ollama", "https://h:443/ollama", ""),
    ("https://h/a/b/", "https://h:443/a/b", "slash"),
    ("::1", "http://[::1]:11434", ""),
    ("[::1]", "http://[::1]:11434", ""),
    ("0:0:0:0:0:0:0:1", "http://[::1]:11434", ""),
    ("[::1]:1337", "http://[::1]:1337", ""),
    ("http://[fd7a:115c:a1e0::1]:11434", "http://[fd7a:115c:a1e0::1]:11434", ""),
    ("0.0.0.0", "http://127.0.0.1:11434", "all interfaces"),
    ("0.0.0.0:8080", "http://127.0.0.1:8080", "all interfaces"),
    ("[::]", "http://[::1]:11434", "all interfaces"),
    ("[::]:8080", "http://[::1]:8080", "all interfaces"),
    ("http://0.0.0.0:11434", "http://127.0.0.1:11434", "all interfaces"),
    ("ollama.com", "https://ollama.com:443", ""),
    ("h/", "http://h:11434", ""),
    ("http://h:1234/", "http://h:1234", ""),
    ("http://h:1234/v1", "http://h:1234", "/v1 was taken off"),
    ("http://h:1234/v1/", "http://h:1234", "/v1/ was taken off"),
    ("http://h:1234/v1/chat/completions", "http://h:1234", "taken off"),
    ("h:1234/api/chat", "http://h:1234", "taken off"),
    ("https://h/ollama/v1/", "https://h:443/ollama", "taken off"),
    ("https://h/v1beta", "https://h:443/v1beta", ""),
]


@pytest.mark.parametrize(("value", "url", "note"), TABLE)
def test_a_value_means_what_it_means_to_ollama(value, url, note):
    endpoint = parse(value)
    assert endpoint.url == url
    assert (note in " ".join(endpoint.notes)) if note else endpoint.notes == ()


@pytest.mark.parametrize(
    "value",
    ["ftp://h", "://h", "user:secret@h:1", "http://user:secret@h", "h h", "1:2:3:x", "http://h:1?x=1", "http://h#x"],
)
def test_what_cannot_be_an_address_is_refused_with_an_example_and_without_showing_a_password(value):
    with pytest.raises(Invalid) as caught:
        parse(value)
    assert "11434" in caught.value.remedy
    assert "secret" not in caught.value.message


def test_the_parts_of_an_endpoint_can_be_read():
    endpoint = parse("https://[::1]:1337/ollama/")
    assert (endpoint.host, endpoint.port, endpoint.prefix) == ("::1", 1337, "/ollama")


def test_the_first_that_is_set_wins():
    environ = {"FIRESIDE_OLLAMA_URL": "b", "OLLAMA_ENDPOINT": "c", "OLLAMA_HOST": "d"}
    order = []
    for flag, names, config in [
        ("a", list(environ), "e"),
        (None, list(environ), "e"),
        (None, ["OLLAMA_ENDPOINT", "OLLAMA_HOST"], "e"),
        (None, ["OLLAMA_HOST"], "e"),
        (None, [], "e"),
        (None, [], None),
    ]:
        chosen = choose(flag, {name: environ[name] for name in names}, config)
        order.append((chosen.origin, chosen.host))
    assert order == [
        ("flag", "a"),
        ("FIRESIDE_OLLAMA_URL", "b"),
        ("OLLAMA_ENDPOINT", "c"),
        ("OLLAMA_HOST", "d"),
        ("config", "e"),
        ("default", "127.0.0.1"),
    ]


def test_a_blank_variable_counts_as_not_set():
    assert (
        choose("", {"FIRESIDE_OLLAMA_URL": " ", "OLLAMA_ENDPOINT": '""', "OLLAMA_HOST": "h"}, None).origin
        == "OLLAMA_HOST"
    )


def test_a_bad_value_that_wins_is_named_and_not_skipped():
    with pytest.raises(Invalid, match="OLLAMA_ENDPOINT: ") as caught:
        choose(None, {"OLLAMA_ENDPOINT": "ftp://h", "OLLAMA_HOST": "h"}, None)
    assert caught.value.context["origin"] == "OLLAMA_ENDPOINT"


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=":/[]h1v.0-@ '\"ptsai", max_size=24))
def test_any_text_is_an_address_or_refused_and_reading_an_address_again_changes_nothing(text):
    try:
        endpoint = parse(text)
    except Invalid:
        return
    assert parse(endpoint.url).url == endpoint.url
    assert endpoint.url == DEFAULT or endpoint.host

"""Pulling a model from a real server on loopback: cut, resumed, changed, lied about, and never half-registered."""

import asyncio
import hashlib
import resource
from pathlib import Path
from threading import Event

import pytest

from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, ModelNotFound, NotPermitted, OutOfResources
from fireside.core.retry import Backoff
from fireside.core.streams import closing
from fireside.models import tiny
from fireside.models.download import Progress, default_name
from fireside.models.store import ModelStore
from support.file_server import FileServer, fetch, serving

AT_ONCE = Backoff(first=0.0, limit=0.0, attempts=2)
NEVER = Backoff(attempts=0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return tiny.write(tmp_path_factory.mktemp("models") / "tiny.gguf").read_bytes()


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store", retry=AT_ONCE)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def pull(
    store: ModelStore, server: FileServer, name: str | None = None, sha256: str | None = None
) -> list[Progress]:
    async with asyncio.timeout(20):
        return [step async for step in store.pull(server.url, name, sha256=sha256, fetch=fetch)]


def parts(store: ModelStore) -> list[Path]:
    return list(store.root.rglob("*.part"))


async def test_a_model_is_pulled_verified_and_registered(store: ModelStore, data: bytes):
    with serving(FileServer(data)) as server:
        steps = await pull(store, server, "mine", digest(data))
    assert steps[0].status == "pulling"
    assert steps[-1] == Progress("success", len(data), len(data))
    assert max(step.completed for step in steps) == len(data)
    model = store.find("mine")
    assert (model.sha256, model.size, model.source) == (digest(data), len(data), server.url)
    assert model.path.read_bytes() == data
    assert parts(store) == []
    assert "range" not in server.requests[0]
    assert server.requests[0]["accept-encoding"] == "identity"


async def test_the_name_comes_from_the_address(store: ModelStore, data: bytes):
    with serving(FileServer(data)) as server:
        await pull(store, server)
    assert store.find("tiny-model").size == len(data)


async def test_a_cut_connection_is_taken_up_where_it_broke(store: ModelStore, data: bytes):
    with serving(FileServer(data, cuts=[100_000, 1_900_000])) as server:
        await pull(store, server, sha256=digest(data))
    places = [int(request["range"].removeprefix("bytes=").rstrip("-")) for request in server.requests[1:]]
    assert 0 < places[0] <= 100_000 < places[1] <= 2_000_000
    assert server.requests[1]["if-range"] == '"one"'


async def test_a_later_pull_goes_on_where_an_earlier_one_gave_up(tmp_path: Path, data: bytes):
    store = ModelStore(tmp_path, retry=NEVER)
    with serving(FileServer(data, cuts=[300_000])) as server:
        with pytest.raises(ConnectionFailed) as caught:
            await pull(store, server)
        assert "of 2.5 MB" in caught.value.message
        assert "goes on where it was" in caught.value.remedy
        assert store.list() == []
        kept = parts(store)[0].stat().st_size
        assert 0 < kept <= 300_000
        steps = await pull(ModelStore(tmp_path), server)
    assert steps[0] == Progress("pulling", kept, len(data))
    assert server.requests[-1]["range"] == f"bytes={kept}-"
    assert store.find("tiny-model").sha256 == digest(data)


async def test_a_pull_that_is_stopped_keeps_what_came(store: ModelStore, data: bytes):
    with serving(FileServer(data, hold=Event())) as server:
        async with asyncio.timeout(20), closing(store.pull(server.url, fetch=fetch)) as steps:
            while not (await anext(steps)).completed:
                pass
            waiting = asyncio.ensure_future(anext(steps))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        kept = parts(store)[0].stat().st_size
        assert 0 < kept <= 4096
        server.hold.set()
        await pull(store, server)
    assert server.requests[1]["range"] == f"bytes={kept}-"
    assert store.find("tiny-model").sha256 == digest(data)


async def test_a_file_that_changed_on_the_server_is_fetched_anew(tmp_path: Path, data: bytes):
    new = tiny.write(tmp_path / "new.gguf", seed=9).read_bytes()
    store = ModelStore(tmp_path / "store", retry=NEVER)
    with serving(FileServer(data, cuts=[500_000])) as server:
        with pytest.raises(ConnectionFailed):
            await pull(store, server)
        server.data, server.etag = new, '"two"'
        await pull(store, server)
    assert store.find("tiny-model").sha256 == digest(new)


async def test_a_range_of_a_file_with_another_length_is_not_glued_on(tmp_path: Path, data: bytes):
    store = ModelStore(tmp_path, retry=NEVER)
    with serving(FileServer(data, etag=None, modified="Mon, 01 Jan 2024 00:00:00 GMT", cuts=[500_000])) as server:
        with pytest.raises(ConnectionFailed):
            await pull(store, server)
        server.data = data + bytes(32)
        await pull(store, server)
    assert ["range" in request for request in server.requests] == [False, True, False]
    assert store.find("tiny-model").sha256 == digest(data + bytes(32))


async def test_a_server_without_ranges_sends_everything_again(store: ModelStore, data: bytes):
    with serving(FileServer(data, ranges=False, cuts=[500_000])) as server:
        await pull(store, server, sha256=digest(data))
    assert len(server.requests) == 2
    assert store.find("tiny-model").path.read_bytes() == data


async def test_without_a_validator_an_unfinished_file_is_only_trusted_under_a_digest(tmp_path: Path, data: bytes):
    for sha256, resumed in ((None, False), (digest(data), True)):
        store = ModelStore(tmp_path / str(sha256), retry=NEVER)
        with serving(FileServer(data, etag='W/"weak"', cuts=[500_000])) as server:
            with pytest.raises(ConnectionFailed):
                await pull(store, server, sha256=sha256)
            await pull(store, server, sha256=sha256)
        assert ("range" in server.requests[1]) is resumed
        assert store.find("tiny-model").sha256 == digest(data)


async def test_a_whole_file_that_was_not_yet_registered_is_not_fetched_twice(store: ModelStore, data: bytes):
    with serving(FileServer(data)) as server:
        async with closing(store.pull(server.url, fetch=fetch)) as steps:
            async for step in steps:
                if step.status == "verifying GGUF":
                    break
        assert store.list() == []
        await pull(store, server)
    assert len(server.requests) == 1
    assert store.find("tiny-model").sha256 == digest(data)


async def test_a_range_beyond_the_end_means_the_file_is_whole(store: ModelStore, data: bytes):
    with serving(FileServer(data, announce=False, cuts=[])) as server:
        async with closing(store.pull(server.url, fetch=fetch)) as steps:
            async for step in steps:
                if step.status == "verifying GGUF":
                    break
        await pull(store, server)
    assert server.requests[1]["range"] == f"bytes={len(data)}-"
    assert store.find("tiny-model").sha256 == digest(data)


async def test_a_wrong_digest_keeps_nothing(store: ModelStore, data: bytes):
    with serving(FileServer(data)) as server, pytest.raises(Invalid, match="has the digest"):
        await pull(store, server, sha256="0" * 64)
    assert store.list() == []
    assert parts(store) == []


async def test_a_file_that_is_no_sound_model_keeps_nothing_and_says_why(store: ModelStore, data: bytes):
    with serving(FileServer(data[:-40_000])) as server, pytest.raises(Invalid, match=r"tiny-model\.gguf is truncated"):
        await pull(store, server)
    assert store.list() == []
    assert parts(store) == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!DOCTYPE html><title>Log in</title>", "web page"),
        (b'{"error":"gated"}', "JSON"),
        (b"version https://git-lfs", "git-lfs"),
    ],
)
async def test_something_else_than_a_gguf_is_named_from_its_first_bytes(store: ModelStore, body: bytes, words: str):
    with serving(FileServer(body)) as server, pytest.raises(Invalid, match=words):
        await pull(store, server)
    assert parts(store) == []


async def test_a_web_page_does_not_cost_the_bytes_that_were_there(tmp_path: Path, data: bytes):
    store = ModelStore(tmp_path, retry=NEVER)
    with serving(FileServer(data, cuts=[500_000])) as server:
        with pytest.raises(ConnectionFailed):
            await pull(store, server)
        kept = parts(store)[0].stat().st_size
        server.content_type, server.raw_body, server.ranges = "text/html; charset=utf-8", b"<html>please log in", False
        with pytest.raises(Invalid, match="web page"):
            await pull(store, server)
    assert parts(store)[0].stat().st_size == kept > 0


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, ModelNotFound),
        (410, ModelNotFound),
        (401, NotPermitted),
        (403, NotPermitted),
        (400, Invalid),
        (503, ConnectionFailed),
    ],
)
async def test_each_refusal_is_its_own_error(store: ModelStore, status: int, error: type[FiresideError]):
    with serving(FileServer(b"", status=status)) as server, pytest.raises(error) as caught:
        await pull(store, server)
    assert caught.value.remedy
    assert len(server.requests) == (3 if status == 503 else 1)


async def test_an_empty_file_is_named(store: ModelStore):
    with serving(FileServer(b"")) as server, pytest.raises(Invalid, match="is empty"):
        await pull(store, server)


async def test_redirects_are_followed_but_not_for_ever(store: ModelStore, data: bytes):
    with serving(FileServer(data, redirects=2)) as server:
        await pull(store, server)
        server.redirects = 99
        with pytest.raises(Invalid, match="redirects in circles"):
            await pull(store, server, "again")
    assert store.find("tiny-model").sha256 == digest(data)


async def test_nothing_listening_is_said_at_once(store: ModelStore):
    with serving(FileServer(b"")) as server:
        pass
    with pytest.raises(ConnectionFailed, match="nothing listens"):
        await pull(store, server)


async def test_a_file_too_large_for_the_disk_is_refused_before_its_first_byte(store: ModelStore, data: bytes):
    with serving(FileServer(data, length=2**60)) as server, pytest.raises(OutOfResources, match="are free in"):
        await pull(store, server)
    assert parts(store) == []


async def test_a_disk_that_takes_no_more_keeps_what_it_took_for_the_next_try(tmp_path: Path, data: bytes):
    store = ModelStore(tmp_path / "store")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serving(FileServer(data)) as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_200_000, hard))
        try:
            with pytest.raises(OutOfResources, match="does not take a file this large"):
                await pull(store, server)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert store.list() == []
        assert parts(store)[0].stat().st_size == 1_200_000
        await pull(store, server, sha256=digest(data))
    assert server.requests[-1]["range"] == "bytes=1200000-"


async def test_two_pulls_of_one_address_do_not_write_one_file(store: ModelStore, data: bytes):
    with serving(FileServer(data, hold=Event())) as server:
        async with closing(store.pull(server.url, fetch=fetch)) as first:
            await anext(first)
            with pytest.raises(OutOfResources, match="already being pulled") as caught:
                await pull(store, server)
            assert caught.value.retryable
        server.hold.set()
        await pull(store, server)
    assert store.find("tiny-model").sha256 == digest(data)


@pytest.mark.parametrize("url", ["", "tiny.gguf", "ftp://host/a.gguf", "file:///etc/passwd", "http:///a"])
async def test_an_address_that_is_none_is_refused(store: ModelStore, url: str):
    with pytest.raises(Invalid):
        async for _ in store.pull(url, "x", fetch=fetch):
            pass


async def test_a_digest_that_is_none_is_refused(store: ModelStore):
    with pytest.raises(Invalid, match="not a sha256"):
        async for _ in store.pull("http://127.0.0.1:1/a.gguf", sha256="abc", fetch=fetch):
            pass


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("https://host/a/b/Qwen2.5-Coder-7B.Q4_K_M.gguf?download=true", "Qwen2.5-Coder-7B.Q4_K_M"),
        ("https://host/my%20model.GGUF", "my-model"),
        ("C/../weird  (1).gguf", "weird-1"),
        ("https://host/", "model"),
    ],
)
def test_a_name_is_made_of_an_address(place: str, name: str):
    assert default_name(place) == name

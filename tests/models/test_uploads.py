"""Files that are sent to become models: kept under their digest, moved into the store, or gone without a trace."""

import hashlib
from pathlib import Path

import pytest

from fireside.core.errors import Invalid, ModelNotFound
from fireside.models.modelfiles import Modelfile, Modelfiles
from fireside.models.store import ModelStore
from fireside.models.uploads import Uploads, plain_digest
from support.tiny import tiny_gguf


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def uploads(store: ModelStore) -> Uploads:
    return Uploads(store)


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


async def sent(data: bytes, size: int = 100_000):
    for start in range(0, len(data), size):
        yield data[start : start + size]


def files_in(root: Path) -> list[str]:
    return [path.name for path in root.rglob("*") if path.is_file() and path.name != ".lock"]


async def test_a_file_is_found_under_its_digest_once_it_is_there(uploads: Uploads):
    data = bytes(range(256)) * 50_000
    digest = digest_of(data)
    assert uploads.find(digest) is None
    await uploads.receive(digest, sent(data))
    assert uploads.find(digest).read_bytes() == data


async def test_other_contents_and_a_sender_that_leaves_leave_nothing_behind(uploads: Uploads, store: ModelStore):
    async def broken():
        yield b"half"
        raise Invalid("the body broke off")

    for pieces in (sent(b"other"), broken()):
        with pytest.raises(Invalid):
            await uploads.receive(digest_of(b"data"), pieces)
    assert files_in(store.root) == []


@pytest.mark.parametrize("digest", ["", "sha256:", "md5:123", "sha256:../../../etc/passwd", "x" * 64])
def test_what_is_no_digest_names_no_file(uploads: Uploads, digest: str):
    with pytest.raises(Invalid, match="not a sha256 digest"):
        uploads.find(digest)


async def test_a_file_becomes_a_model_by_moving_and_is_then_found_in_the_store(uploads: Uploads, store: ModelStore):
    data = tiny_gguf().read_bytes()
    digest = digest_of(data)
    await uploads.receive(digest, sent(data))
    model = store.adopt(uploads.find(digest), "tiny", sha256=plain_digest(digest))
    assert (model.sha256, model.size) == (plain_digest(digest), len(data))
    assert uploads.find(digest) == model.path
    again = store.adopt(uploads.find(digest), "second", sha256=plain_digest(digest))
    assert again.path == model.path
    assert len(files_in(store.root)) == 3  # two manifests, one file
    assert store.verify("second").sha256 == model.sha256


async def test_a_file_that_is_no_model_is_refused_and_stays_where_it_is(uploads: Uploads, store: ModelStore):
    digest = digest_of(b"no model")
    await uploads.receive(digest, sent(b"no model"))
    with pytest.raises(Invalid, match="not a GGUF"):
        store.adopt(uploads.find(digest), "x", sha256=plain_digest(digest))
    assert store.list() == []


def test_a_copy_keeps_the_contents_when_the_first_name_goes(store: ModelStore):
    first = store.add(tiny_gguf(), "first")
    second = store.copy("first", "second")
    assert second.path == first.path
    store.remove("first")
    assert store.find("second").present
    with pytest.raises(ModelNotFound):
        store.copy("first", "third")
    with pytest.raises(Invalid):
        store.copy("second", "../x")


def test_a_copy_of_a_registered_file_is_registered_too(store: ModelStore):
    store.add(tiny_gguf(), "first", copy=False)
    assert store.copy("first", "second").linked


# --- Modelfiles


def test_a_modelfile_is_found_by_its_name_however_it_is_written(tmp_path: Path):
    files = Modelfiles(tmp_path)
    assert (files.all(), files.find("mine"), files.remove("mine")) == ([], None, False)
    files.put(Modelfile(name="Mine", model="base", system="Be brief", parameters={"temperature": 0.5}))
    for name in ("mine", "MINE", "Mine:latest"):
        found = files.find(name)
        assert (found.model, found.system, found.parameters) == ("base", "Be brief", {"temperature": 0.5})
    assert found.added > 0
    assert files.find("mine:7b") is None


def test_another_process_sees_what_was_made_changed_and_removed(tmp_path: Path):
    ours, theirs = Modelfiles(tmp_path), Modelfiles(tmp_path)
    assert theirs.all() == []
    ours.put(Modelfile(name="mine", model="one"))
    assert theirs.find("mine").model == "one"
    ours.put(Modelfile(name="mine", model="two"))
    assert theirs.find("mine").model == "two"
    assert ours.remove("mine") is True
    assert theirs.find("mine") is None


@pytest.mark.parametrize("name", ["", "../x", "a b", "/abs"])
def test_what_cannot_be_a_name_is_refused(tmp_path: Path, name: str):
    with pytest.raises(Invalid):
        Modelfiles(tmp_path).put(Modelfile(name=name, model="base"))
    assert files_in(tmp_path) == []


def test_a_damaged_modelfile_keeps_no_other_from_being_found(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    files = Modelfiles(tmp_path)
    for name in ("mine", "other"):
        files.put(Modelfile(name=name, model="one"))
    next(path for path in tmp_path.rglob("*.json") if path.stem == "other").write_text("{")
    assert [each.name for each in files.all()] == ["mine"]
    assert "other.json" in caplog.text

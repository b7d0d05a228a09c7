"""Models on disk: whole or not there, found by the names people use, and what their digest says."""

import hashlib
import threading
from pathlib import Path

import pytest

from fireside.core.errors import Invalid, ModelNotFound, OutOfResources
from fireside.models import gguf, gguf_writer, tiny
from fireside.models.store import ModelStore, Progress


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("models") / "My Model.gguf")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("models") / "other.gguf", seed=1)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


def files(store: ModelStore) -> list[str]:
    return sorted(
        path.name
        for path in store.root.rglob("*")
        if path.is_file() and path.suffix != ".lock" and path.name != ".lock"
    )


def test_an_empty_store_has_no_models_and_makes_no_folder(store: ModelStore):
    assert store.list() == []
    assert not store.root.exists()


def test_a_model_is_copied_in_and_found_again(store: ModelStore, model: Path):
    added = store.add(model)
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    assert (added.name, added.version, added.sha256, added.size) == ("My-Model", 1, digest, model.stat().st_size)
    assert (added.source, added.parent, added.linked) == (str(model), "", False)
    assert added.path.read_bytes() == model.read_bytes()
    assert ModelStore(store.root).list() == [added]
    assert gguf.card(added.path, engine="embedded", name=added.name).context_window == 8192


@pytest.mark.parametrize("name", ["qwen:tiny", "QWEN:Tiny"])
def test_names_are_found_without_regard_to_case(store: ModelStore, model: Path, name: str):
    store.add(model, "Qwen:tiny")
    assert store.find(name).name == "Qwen:tiny"


def test_latest_may_be_said_or_left_out(store: ModelStore, model: Path):
    store.add(model, "one")
    store.add(model, "two:latest")
    assert store.find("one:latest").name == "one"
    assert store.find("two").name == "two:latest"


def test_a_name_with_slashes_and_colons_is_one_model(store: ModelStore, model: Path):
    added = store.add(model, "org/Name-GGUF:Q4_K_M")
    assert store.find("org/name-gguf:q4_k_m") == added
    assert [found.name for found in store.list()] == ["org/Name-GGUF:Q4_K_M"]


def test_a_typo_is_answered_with_the_closest_names(store: ModelStore, model: Path):
    store.add(model, "qwen2.5-coder")
    with pytest.raises(ModelNotFound) as caught:
        store.find("qwen2.5-codr")
    assert "qwen2.5-coder" in caught.value.remedy


@pytest.mark.parametrize("name", ["../../etc/passwd", "a b", "", "/abs", "a@b", "x" * 300, "a\nb"])
def test_a_name_that_cannot_be_one_is_refused(store: ModelStore, model: Path, name: str):
    if name:
        with pytest.raises(Invalid):
            store.add(model, name)
    with pytest.raises(ModelNotFound):
        store.find(name)


def test_what_is_not_a_sound_gguf_leaves_nothing_behind(store: ModelStore, tmp_path: Path, model: Path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model.read_bytes()[:-1000])
    with pytest.raises(Invalid, match="truncated"):
        store.add(cut)
    page = tmp_path / "page.gguf"
    page.write_text("<!doctype html>")
    with pytest.raises(Invalid, match="web page"):
        store.add(page)
    with pytest.raises(Invalid, match="does not exist"):
        store.add(tmp_path / "nothing.gguf")
    assert files(store) == []


def test_a_part_of_a_split_model_is_refused_with_the_command_that_joins_it(store: ModelStore, tmp_path: Path):
    shape = tiny.SHAPES["tiny"]
    metadata = tiny._metadata(shape, "tiny", "F16") | {"split.count": 3}
    part = gguf_writer.write(tmp_path / "m-00001-of-00003.gguf", metadata, list(tiny._tensors(shape, 0, "F16"))[:2])
    with pytest.raises(Invalid, match="one of 3 parts") as caught:
        store.add(part)
    assert "llama-gguf-split" in caught.value.remedy


def test_new_contents_under_an_old_name_are_its_next_version_and_the_old_contents_go(
    store: ModelStore, model: Path, other: Path
):
    first = store.add(model, "mine")
    again = store.add(model, "mine")
    assert again.version == 1
    second = store.add(other, "mine")
    assert (second.version, second.parent) == (2, first.sha256)
    assert not first.path.exists()
    assert len(store.list()) == 1


def test_two_names_share_their_contents_until_the_last_is_removed(store: ModelStore, model: Path):
    one, two = store.add(model, "one"), store.add(model, "two")
    assert one.path == two.path
    store.remove("one")
    assert two.path.exists()
    store.remove("two")
    assert files(store) == []


def test_a_linked_model_stays_where_it_is(store: ModelStore, tmp_path: Path):
    mine = tiny.write(tmp_path / "mine.gguf")
    linked = store.add(mine, copy=False)
    assert (linked.path, linked.linked, linked.present) == (mine, True, True)
    assert files(store) == ["mine.json"]
    mine.rename(tmp_path / "moved.gguf")
    assert not store.find("mine").present
    store.remove("mine")
    assert (tmp_path / "moved.gguf").exists()


def test_a_model_that_changed_on_disk_is_noticed(store: ModelStore, model: Path):
    added = store.add(model, "mine")
    assert store.verify("mine") == added
    data = bytearray(added.path.read_bytes())
    data[-1] ^= 1
    added.path.write_bytes(data)
    with pytest.raises(Invalid, match="has changed on disk"):
        store.verify("mine")


def test_a_manifest_nobody_can_read_hides_no_other(store: ModelStore, model: Path):
    store.add(model, "good")
    store.add(model, "bad")
    next(path for path in store.root.rglob("bad.json")).write_text("{")
    assert [found.name for found in store.list()] == ["good"]
    with pytest.raises(Invalid, match="cannot be read"):
        store.find("bad")


def test_adding_tells_how_far_it_is(store: ModelStore, model: Path):
    steps: list[Progress] = []
    store.add(model, progress=steps.append)
    size = model.stat().st_size
    assert steps[-1] == Progress("copying", size, size)


def test_a_disk_without_room_is_said_before_anything_is_written(store: ModelStore, tmp_path: Path):
    from fireside.models.disk import check_space

    with pytest.raises(OutOfResources, match="are free in"):
        check_space(tmp_path, 2**60)


def test_two_threads_adding_and_removing_leave_a_store_that_is_whole(store: ModelStore, model: Path, other: Path):
    def work(path: Path, name: str) -> None:
        for _ in range(5):
            store.add(path, name)
            store.add(path, "shared")
            store.remove(name)

    threads = [threading.Thread(target=work, args=(path, path.stem.replace(" ", "-"))) for path in (model, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found.name for found in store.list()] == ["shared"]
    store.verify("shared")
    assert len([path for path in store.root.rglob("*") if path.name.startswith(("sha256-", ".adding-"))]) == 1

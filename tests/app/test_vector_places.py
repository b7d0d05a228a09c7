"""Where vectors are kept, as the settings say."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from fireside.app.vector_places import VectorPlaces
from fireside.core.errors import Invalid
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.ledger import Ledger
from fireside.index.settings import IndexSettings
from fireside.index.store import Store
from fireside.index.vectors_chroma import ChromaVectors, NoVectors
from fireside.index.vectors_usearch import UsearchVectors


class Ours:
    id = "ours"
    dimensions = 4
    cheap = True


@pytest.fixture
def store(tmp_path):
    made = Store.create(tmp_path)
    yield made
    made.close()


def places(folder: Path, **settings: object) -> VectorPlaces:
    egress = Egress(EgressSettings(), Ledger(folder / "egress.jsonl"))
    return VectorPlaces(IndexSettings(**settings), Ours(), folder, identity=lambda store: "one", egress=egress)


def with_chunks(store: Store, chunks: int) -> Store:
    store.connection.execute("INSERT INTO files VALUES (1, 'a', 1, 1, 1, '', 'text', ?, '', '')", (chunks,))
    return store


def test_numpy_keeps_them_in_the_index(tmp_path, store):
    assert not places(tmp_path, store="numpy").outside(store)


def test_auto_takes_the_graph_from_a_size_on_where_it_is_installed(tmp_path, store, monkeypatch):
    pytest.importorskip("usearch")
    chosen = places(tmp_path, usearch_above=100)
    assert not chosen.outside(with_chunks(store, 100))
    store.connection.execute("UPDATE files SET chunks = 101")
    assert chosen.outside(store)
    vectors = chosen(store)
    assert isinstance(vectors, UsearchVectors)
    vectors.add(np.array([1]), np.eye(1, 4, dtype=np.float32))
    assert list(tmp_path.glob("vectors-*"))
    monkeypatch.setattr("fireside.app.vector_places.installed", lambda: False)
    assert not chosen.outside(store)


def test_what_is_chosen_but_not_installed_is_an_error_that_says_what_to_install(tmp_path, store, monkeypatch):
    for module in ("vectors_usearch", "vectors_chroma"):
        monkeypatch.setattr(f"fireside.index.{module}.find_spec", lambda name: None)
    for name in ("usearch", "chroma"):
        with pytest.raises(Invalid) as caught:
            places(tmp_path, store=name)(store)
        assert caught.value.remedy == f"pip install 'fireside[{name}]'"


def test_a_chroma_server_needs_nothing_installed(tmp_path, store):
    chosen = places(tmp_path, store="chroma", chroma_url="http://127.0.0.1:9")
    assert chosen.outside(store)
    vectors = chosen(store)
    assert isinstance(vectors, ChromaVectors)
    with pytest.raises(NoVectors):
        vectors.ids()
    chosen.close()
    chosen.close()


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"store": "faiss"}, {"chroma_collection": "-x"}, {"usearch_above": -1}, {"embedder": ""}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, IndexSettings)
    assert msgspec.convert({}, IndexSettings) == IndexSettings()

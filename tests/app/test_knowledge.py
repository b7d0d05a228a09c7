"""A project opens with what the settings choose to find by, asks no model for it, and is never wider than was meant."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fireside.app.embedding import GatewayEmbedder
from fireside.app.knowledge import build_embedding, index_folder, open_project, project_root, usual_embedding
from fireside.app.settings import Settings
from fireside.config.paths import Paths
from fireside.context.project import Project
from fireside.core.errors import Invalid
from fireside.index.embed import INSIDE, Embedding
from fireside.index.settings import IndexSettings
from fireside.index.static import Shipped
from fireside.index.store import Store
from fireside.index.vector_cache import CachedEmbedder
from fireside.index.vectors_numpy import NumpyVectors
from fireside.index.vectors_usearch import UsearchVectors, installed
from support.fake_ollama import FakeOllama

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "rows.py").write_text(
        'def delete_row(table, number):\n    """Delete one row."""\n    del table[number]\n'
    )
    (folder / "ships.py").write_text("def dock(ship):\n    return ship.berth\n")
    return folder


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"FIRESIDE_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}


@pytest.fixture
def opened(root: Path, environ: dict[str, str]) -> Iterator["Opening"]:
    opening = Opening(root, environ)
    yield opening
    for project in opening.projects:
        project.close()


class Opening:
    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.root = root
        self.environ = environ
        self.projects: list[Project] = []

    def __call__(self, **flags: object) -> Project:
        named = {key.replace("__", "."): value for key, value in flags.items()}
        self.projects.append(open_project(self.root, environ=self.environ, flags=named))
        return self.projects[-1]


def embedding(environ: Mapping[str, str], folder: Path, **settings: object) -> Embedding | None:
    return build_embedding(Settings(index=IndexSettings(**settings)), environ, folder)  # type: ignore[arg-type]


def chosen(environ: Mapping[str, str], folder: Path, **settings: object) -> Embedding:
    made = embedding(environ, folder, **settings)
    assert made is not None
    return made


# --- what is found by


def test_without_any_settings_meaning_is_found_by_what_comes_with_fireside(opened):
    project = opened()
    report = project.update()
    assert (report.chunks, report.unembedded, report.note) == (2, 0, "")
    (hit,) = project.search("remove").hits
    assert (hit.chunk.path, hit.reasons) == ("rows.py", ("its meaning",))


def test_none_is_search_by_words_alone(opened):
    project = opened(index__embedder="none")
    project.update()
    assert project.search("remove").hits == ()
    assert project.search("delete").hits[0].reasons[-1] == "words: delete"


def test_a_choice_can_be_taken_back_and_nothing_is_missing_then(opened, root):
    opened().update()
    (root / "tables.py").write_text((root / "rows.py").read_text())
    opened(index__embedder="none").update()
    project = opened()
    assert project.update().unembedded == 0
    assert {hit.chunk.path for hit in project.search("remove").hits} == {"rows.py", "tables.py"}


def test_a_model_of_yours_is_asked_through_the_cache_and_nothing_before_it_is_needed(environ, tmp_path):
    made = chosen(environ, tmp_path, embedder="m@nowhere")
    assert isinstance(made.embedder, CachedEmbedder)
    assert not made.embedder.cheap
    made.close()
    bare = chosen(environ, tmp_path, embedder="m@nowhere", vector_cache_bytes=0)
    assert isinstance(bare.embedder, GatewayEmbedder)
    bare.close()
    assert not (tmp_path / "home").exists() or not list((tmp_path / "home").rglob("*.sqlite"))


def test_a_model_that_is_not_there_leaves_search_by_words_and_says_why(opened):
    project = opened(index__embedder="m@ollama", engines__ollama__url=NOBODY)
    report = project.update()
    assert (report.chunks, report.note[:15]) == (2, "by words alone:")
    found = project.search("delete")
    assert found.hits[0].chunk.path == "rows.py"
    assert found.note == report.note


async def test_a_model_behind_ollama_embeds_what_is_new_and_each_question(opened):
    async with FakeOllama() as server:
        texts = lambda: [text for asked in server.asked("/api/embed") for text in asked["input"]]  # noqa: E731
        project = opened(index__embedder="nomic-embed-text", engines__ollama__url=server.url)
        report = await asyncio.to_thread(project.update)
        assert (report.unembedded, report.note) == (0, "")
        assert sum("delete_row" in text for text in texts()) == 1
        found = await asyncio.to_thread(project.search, "dismiss")
        assert found.note == ""
        assert texts()[-1].endswith("dismiss")
        assert "its meaning" in found.hits[0].reasons
        again = opened(index__embedder="nomic-embed-text", engines__ollama__url=server.url)
        await asyncio.to_thread(again.update)
        assert sum("delete_row" in text for text in texts()) == 1
        for one in (project, again):
            await asyncio.to_thread(one.close)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({}, NumpyVectors), ({"usearch_above": 0}, UsearchVectors), ({"store": "usearch"}, UsearchVectors)],
    ids=["as it comes", "above a size", "always"],
)
@pytest.mark.skipif(not installed(), reason="needs usearch")
def test_vectors_are_kept_where_the_settings_say(environ, tmp_path, settings, kind):
    store = Store.create(tmp_path)
    store.connection.execute("INSERT INTO files VALUES (1, 'a', 1, 1, 1, '', 'text', 10, '', '')")
    vectors = chosen(environ, tmp_path, **settings).vectors(store)
    assert isinstance(vectors, kind)
    vectors.close()
    store.close()


@pytest.mark.skipif(not installed(), reason="needs usearch")
def test_a_very_large_project_has_a_graph_though_nothing_was_chosen(environ, tmp_path):
    store = Store.create(tmp_path)
    store.connection.execute(
        "INSERT INTO files VALUES (1, 'a', 1, 1, 1, '', 'text', ?, '', '')", (IndexSettings().usearch_above + 1,)
    )
    made = chosen(environ, tmp_path)
    assert not made.at_once(store)
    vectors = made.vectors(store)
    assert isinstance(vectors, UsearchVectors)
    vectors.close()
    store.close()


def test_without_usearch_the_same_project_keeps_its_vectors_inside(environ, tmp_path, monkeypatch):
    monkeypatch.setattr("fireside.index.vectors_usearch.find_spec", lambda name: None)
    store = Store.create(tmp_path)
    store.connection.execute("INSERT INTO files VALUES (1, 'a', 1, 1, 1, '', 'text', 10000000, '', '')")
    for settings in ({}, {"usearch_above": 0}):
        made = chosen(environ, tmp_path, **settings)
        assert made.at_once(store)
        assert isinstance(made.vectors(store), NumpyVectors)
    store.close()


def test_every_place_has_a_name_of_its_own(environ, tmp_path):
    store = Store.create(tmp_path)
    store.connection.execute("INSERT INTO files VALUES (1, 'a', 1, 1, 1, '', 'text', 10, '', '')")
    marks = set()
    for settings in (
        {"store": "numpy"},
        {"store": "usearch"},
        {"store": "chroma"},
        {"store": "chroma", "chroma_url": NOBODY},
        {"store": "chroma", "chroma_url": NOBODY, "chroma_collection": "team"},
    ):
        made = chosen(environ, tmp_path, **settings)
        made._finish(store)
        assert not made.due(store)
        marks.add(store.meta("embedded"))
        made.close()
    store.close()
    assert len(marks) == 5
    assert sum(mark.startswith(INSIDE) for mark in marks) == 1


def test_what_makes_no_sense_is_refused_with_its_name(opened):
    with pytest.raises(Invalid, match=r"index\.store"):
        opened(index__store="a shoe box")
    with pytest.raises(Invalid, match="not the address of a Chroma server"):
        opened(index__store="chroma", index__chroma_url="shoe box")


def test_a_project_cannot_choose_where_its_text_is_sent(opened, root):
    (root / ".fireside.toml").write_text('[index]\nembedder = "m@elsewhere"\n')
    with pytest.raises(Invalid, match="index"):
        opened()


def test_an_index_of_no_project_uses_what_the_user_has_chosen(environ):
    made = usual_embedding(environ)
    assert made is not None
    assert isinstance(made.embedder, Shipped)
    assert usual_embedding(environ | {"FIRESIDE_INDEX__EMBEDDER": "none"}) is None


# --- which folder


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Invalid, match="does not exist"):
        project_root(tmp_path / "nowhere")
    with pytest.raises(Invalid, match="is not a folder"):
        project_root(tmp_path / "file")


def test_unnamed_it_is_the_project_at_or_above_where_one_stands(root, monkeypatch):
    (root / ".git").mkdir()
    (root / "deep/er").mkdir(parents=True)
    monkeypatch.chdir(root / "deep/er")
    assert project_root(None) == root
    assert project_root(root / "deep") == root / "deep"


def test_a_home_is_read_only_when_it_is_named(tmp_path, environ, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    unnamed = open_project(None, environ=environ)
    with pytest.raises(Invalid, match="is not a project"):
        unnamed.update()
    unnamed.close()
    named = open_project(tmp_path, environ=environ)
    assert not named.too_wide
    named.close()


def test_each_checkout_has_an_index_of_its_own_by_whatever_way_one_gets_there(tmp_path, root):
    paths = Paths.from_environment({"FIRESIDE_HOME": str(tmp_path / "home")})
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "link").symlink_to(root)
    assert index_folder(root, paths) != index_folder(other, paths)
    assert (
        index_folder(tmp_path / "link", paths) == index_folder(root / ".." / "shop", paths) == index_folder(root, paths)
    )
    assert tmp_path / "home" in index_folder(root, paths).parents

import stat
from pathlib import Path

import pytest

from fireside.config.paths import Paths
from fireside.core.errors import NotPermitted


def test_one_variable_moves_everything_under_one_folder(tmp_path):
    paths = Paths.from_environment({"FIRESIDE_HOME": str(tmp_path / "h"), "XDG_CONFIG_HOME": "/elsewhere"})
    assert paths == Paths(*(tmp_path / "h" / name for name in ("config", "data", "cache", "run")))
    assert paths.user_file == tmp_path / "h" / "config" / "config.toml"


def test_xdg_variables_are_followed_where_they_are_absolute(tmp_path):
    environ = {
        "XDG_CONFIG_HOME": str(tmp_path / "c"),
        "XDG_DATA_HOME": "relative",
        "XDG_CACHE_HOME": str(tmp_path / "k"),
    }
    paths = Paths.from_environment(environ)
    assert paths.config == tmp_path / "c" / "fireside"
    assert paths.data.is_absolute()
    assert paths.runtime == tmp_path / "k" / "fireside" / "run"
    assert Paths.from_environment({**environ, "XDG_RUNTIME_DIR": str(tmp_path)}).runtime == tmp_path / "fireside"


def test_a_relative_home_counts_from_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Paths.from_environment({"FIRESIDE_HOME": "here"}).data == Path.cwd() / "here" / "data"


def test_asking_for_paths_creates_nothing(tmp_path):
    Paths.from_environment({"FIRESIDE_HOME": str(tmp_path / "h")})
    assert list(tmp_path.iterdir()) == []


def test_the_runtime_folder_is_for_this_user_alone_even_where_it_was_open_before(tmp_path):
    paths = Paths.from_environment({"FIRESIDE_HOME": str(tmp_path)})
    paths.runtime.mkdir(mode=0o755)
    assert stat.S_IMODE(paths.make_runtime().stat().st_mode) == 0o700


def test_a_link_in_place_of_the_runtime_folder_is_refused(tmp_path):
    paths = Paths.from_environment({"FIRESIDE_HOME": str(tmp_path / "h")})
    (tmp_path / "other").mkdir()
    paths.runtime.parent.mkdir()
    paths.runtime.symlink_to(tmp_path / "other")
    with pytest.raises(NotPermitted, match="not a folder of yours"):
        paths.make_runtime()


def test_a_runtime_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotPermitted, match="cannot make the folder"):
        Paths.from_environment({"FIRESIDE_HOME": str(tmp_path / "file")}).make_runtime()

"""What models of ours must never learn from."""

import json
from pathlib import Path

import pytest

from fireside.training import archives, exclusions, sources

DEVELOPMENT_SET = Path(__file__).resolve().parents[3] / "shared" / "retrieval-dev"


@pytest.mark.parametrize(
    "name",
    [
        "httpx",
        "encode/httpx",
        "python3-httpx",
        "node-axios",
        "libgoogle-gson-java",
        "libcommons-lang3-java",
        "librust-clap-3-dev".removesuffix("-dev").removeprefix("lib"),
        "rust-clap",
        "rust-rayon-core",
        "golang-github-urfave-cli",
        "golang-github-spf13-cobra",
        "golang-github-gin-gonic-gin",
        "golang-github-hashicorp-raft",
        "node-express",
        "php-monolog",
        "ruby-rack",
        "ruby-sinatra",
        "Flask",
        "huggingface_hub",
        "huggingface-hub",
        "@trpc/server".removeprefix("@"),
    ],
)
def test_a_reserved_package_is_excluded_under_every_name_it_travels_by(name):
    assert exclusions.package(name)


@pytest.mark.parametrize(
    "name", ["python3-numpy", "rust-async-std", "golang-golang-x-tools", "node-yargs", "rails", "expressionist"]
)
def test_other_packages_are_not(name):
    assert not exclusions.package(name)


@pytest.mark.parametrize(
    "path",
    [
        "src/pip/_internal/requests/sessions.py",
        "lib/click/core.py",
        "github.com/urfave/cli/app.go",
        "gopkg.in/urfave/cli.v1/app.go",
        "deps/attr/_make.py",
        "include/spdlog/fmt/format.h",
        "src/pip/attrs-23.1/make.py",
        "serde_derive-1.0.130/src/lib.rs",
        "assets/axios.js",
    ],
)
def test_copies_inside_other_packages_are_excluded(path):
    assert exclusions.path(path)


def test_ordinary_paths_are_not_taken_for_copies():
    assert not exclusions.path("src/commands/cli/request.go")
    assert not exclusions.path("lib/requesting/session.py")


def test_a_file_is_recognised_by_content_whatever_its_indentation(tmp_path):
    text = "def fetch(url):\n    return open(url)\n" * 20
    (tmp_path / "copy.py").write_text(text)
    assert exclusions.digest(text.replace("    ", "\t")) in exclusions.digests([tmp_path])


def test_the_sources_hold_nothing_excluded_and_only_accepted_licences():
    found = sources.listed()
    assert len(found) > 100
    assert {one.client for one in found} <= set(sources.CLIENTS)


def test_reading_leaves_excluded_files_out(tmp_path):
    for path in ("good/one.py", "good/requests/two.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("def something():\n    return 1\n" * 20)
    assert [one.path for one in archives.folder_files(tmp_path)] == ["good/one.py"]


@pytest.mark.skipif(
    not DEVELOPMENT_SET.is_dir(), reason="the development set lies beside the checkout only where search is tuned"
)
def test_the_list_holds_every_name_of_the_development_set():
    repositories = json.loads((DEVELOPMENT_SET / "repos.json").read_text())
    reserved = [
        line.strip() for line in (DEVELOPMENT_SET / "reserved.txt").read_text().splitlines() if line[:1].isalpha()
    ]
    names = [one["name"] for one in repositories] + [one["github"] for one in repositories] + reserved
    assert [name for name in names if not exclusions.package(name)] == []

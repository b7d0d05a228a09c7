"""What no model of ours may learn from: the one list, for every training there is or will be.

Two groups: the repositories of the development set for search, and well-known packages that people measure code search on. Whoever
measures Fireside on one of them measures it on something it has never seen. Held by the package's name, by folder and file names inside
other packages (vendored copies), and, where checkouts of the development set are at hand, by content.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath

DEVELOPMENT = """
encode/httpx axios/axios google/gson apache/commons-lang fmtlib/fmt libuv/libuv Seldaek/monolog rack/rack sinatra/sinatra DapperLib/Dapper
bats-core/bats-core nvim-telescope/telescope.nvim pallets/werkzeug pytest-dev/pytest tornadoweb/tornado scrapy/scrapy honojs/hono
date-fns/date-fns caolan/async urfave/cli hashicorp/raft clap-rs/clap rayon-rs/rayon
"""
RESERVED = """
aiohttp anyio attrs axum black celery chi chromadb click cobra django express fastapi flask gin huggingface_hub jinja2 loguru model2vec
networkx pydantic redux requests rich serde sqlalchemy starlette tokio trpc typer uvicorn vitest zod
"""
# Other names under which the same sources travel: import names, crates and modules of the same repository, distributions' names.
ALSO = """
_pytest attr commons-lang3 libcommons-lang3-java libcommons-lang-java libgoogle-gson-java fmt bats telescope clap_builder clap_derive
clap_lex clap_complete clap_mangen clap-2 clap-3 rayon-core rayon_core rack-protection rack-test sinatra-contrib mustermann go-chi gin-gonic
spf13-cobra urfave-cli hashicorp-raft redux-toolkit trpc-server serde_derive serde_core serde-derive serde_test
tokio-macros tokio_macros tokio-util tokio_util tokio-stream tokio_stream tokio-test axum-core axum_core axum-macros pydantic_core
pydantic-core
python3-django huggingface-hub date-fns-tz uv libuv1 fmtlib async-es lib-async apache-commons-lang dapper
"""
PREFIX = re.compile(r"^(python3?-|node-|ruby-|rust-|php-|lib(?=\w+-java$)|golang-(github-|gopkg-|go-)?|r-cran-)")
SUFFIX = re.compile(r"(-java|\.js|\.go|\.rs|[-.@]v?\d[\w.+~-]*)$")


def folded(name: str) -> str:
    """A package's or folder's name as it is compared: without case, the packager's prefix, version and suffix."""
    text = name.lower()
    for pattern in (PREFIX, SUFFIX, SUFFIX):
        text = pattern.sub("", text) or text
    return text.replace("_", "-")


def _names() -> Iterator[str]:
    for repository in DEVELOPMENT.split():
        owner, name = repository.lower().split("/")
        # A folder called "cli" is not yet a copy of urfave/cli.
        if name != "cli":
            yield name
        yield f"{owner}-{name}"
    yield from (RESERVED + ALSO).split()


EXCLUDED = frozenset({name.lower().replace("_", "-") for name in _names()} | {folded(name) for name in _names()})


def package(name: str) -> bool:
    """Whether a package (``node-express``, ``rust-clap-3``, ``urfave/cli``) is excluded as a whole."""
    plain = name.lower().replace("/", "-").replace("_", "-")
    last = folded(name).rpartition("-")[2] if plain.startswith("golang-") else ""
    return not EXCLUDED.isdisjoint((plain, folded(name.replace("/", "-")), last))


def path(place: str) -> bool:
    """Whether a path inside some package lies in, or is, a copy of something excluded."""
    parts = PurePosixPath(place).parts
    names = [*parts[:-1], PurePosixPath(place).name.partition(".")[0]]
    pairs = [f"{owner}-{name}" for owner, name in pairwise(names)]
    return any(package(part) for part in (*names, *pairs))


def digest(text: str) -> bytes:
    """The same for two texts that differ in white space only."""
    return hashlib.blake2b(" ".join(text.split()).encode("utf-8", "replace"), digest_size=16).digest()


def digests(folders: Iterable[Path]) -> frozenset[bytes]:
    """Digests of every file under these folders that is longer than a stub: nothing that equals one may be trained on."""
    return frozenset(
        digest(text)
        for folder in folders
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.is_symlink() and file.stat().st_size < 1_000_000
        if len(text := file.read_text("utf-8", "replace")) > 200
    )

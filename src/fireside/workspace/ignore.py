"""Which paths are none of our business: the rules of git, of ``.ignore`` and ``.firesideignore``, and our defaults.

Knows rules and relative paths; reads the rule files it is told to read and no other. What one line means is for ``patterns``. The last
line that matches decides, deeper files before shallower ones, and of the kinds of rule files
``.firesideignore`` before ``.ignore`` before ``.gitignore`` before ``.git/info/exclude`` before the defaults.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fireside.workspace.patterns import read_pattern

RULE_FILES = (".firesideignore", ".ignore", ".gitignore")

DEFAULT_FOLDERS = """
.git .hg .svn .jj node_modules bower_components .venv venv __pycache__ .mypy_cache .pytest_cache .ruff_cache .tox .nox .eggs .gradle
.next .nuxt .svelte-kit .parcel-cache .turbo .terraform .cache .idea .vs .direnv .bundle .dart_tool .stack-work
"""
WRITTEN_BY_TOOLS = """
package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml bun.lock bun.lockb composer.lock Gemfile.lock poetry.lock uv.lock
pdm.lock Pipfile.lock Cargo.lock go.sum flake.lock packages.lock.json gradle.lockfile mix.lock pubspec.lock .DS_Store *.min.js
*.min.css *.min.mjs *.map *.pb.go *_pb2.py *_pb2_grpc.py *.g.dart *.designer.cs *.snap *.tsbuildinfo *.log
"""
DATA = "*.csv *.tsv *.jsonl *.ndjson *.parquet *.svg *.geojson *.po *.mo *.dbf *.har"
SECRETS = """
.env .env.* !.env.example !.env.sample !.env.template *.pem *.key *.p12 *.pfx *.jks *.keystore id_rsa id_dsa id_ecdsa id_ed25519
.netrc .pypirc .npmrc .pgpass .htpasswd
"""
BINARIES = """
png jpg jpeg gif bmp ico icns webp avif tif tiff psd heic mp3 mp4 m4a m4v wav flac ogg opus webm avi mov mkv pdf doc docx xls xlsx ppt
pptx odt ods zip gz tgz bz2 xz zst 7z rar tar jar war ear whl egg deb rpm dmg iso exe dll so dylib a lib o obj pdb class pyc pyo pyd
wasm bin dat db sqlite sqlite3 ttf otf woff woff2 eot npy npz pt pth ckpt safetensors gguf ggml onnx h5 hdf5 pkl pickle joblib tflite
mlmodel node nib keychain swf fla blend fbx glb gltf stl
"""
BINARY_EXTENSIONS = frozenset(BINARIES.split())
MARKED_FOLDER = frozenset(("CACHEDIR.TAG", "pyvenv.cfg"))


@dataclass(frozen=True, slots=True)
class Group:
    """Consecutive patterns of one sign. ``names`` are tried on the last part of a path, ``paths`` on all of it."""

    ignores: bool
    names: re.Pattern[str] | None
    paths: re.Pattern[str] | None


class Rules:
    """The patterns of one rule file, last first. ``decide`` takes a path relative to the folder of that file."""

    __slots__ = ("_groups", "_known")

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = tuple(groups)
        self._known: dict[str, tuple[bool, ...]] = {}

    def decide(self, path: str, name: str) -> bool | None:
        """True: ignored; False: wanted; None: no pattern matches. Folders end in ``/``, both in ``path`` and in ``name``."""
        by_name = self._known.get(name)
        if by_name is None:
            by_name = tuple(group.names is not None and bool(group.names.match(name)) for group in self._groups)
            self._known[name] = by_name
        for group, matched in zip(self._groups, by_name, strict=True):
            if matched or (group.paths is not None and group.paths.match(path)):
                return group.ignores
        return None


def parse(lines: Iterable[str]) -> Rules:
    """Rules from the lines of a rule file. A line git would not understand matches nothing."""
    groups: list[tuple[bool, list[str], list[str]]] = []
    for line in lines:
        pattern = read_pattern(line)
        if pattern is None:
            continue
        if not groups or groups[-1][0] != pattern.ignores:
            groups.append((pattern.ignores, [], []))
        _, names, paths = groups[-1]
        (names if pattern.name_only else paths).append(pattern.regex)
    return Rules([Group(sign, _either(names), _either(paths)) for sign, names, paths in reversed(groups)])


def read_rules(path: Path) -> Rules | None:
    """The rules of a file, or None when it cannot be read (a rule file that is a folder, a pipe, or not there)."""
    try:
        if not path.is_file():
            return None
        text = path.read_bytes().decode("utf-8-sig", "replace")
        return parse(line.removesuffix("\r") for line in text.split("\n"))
    except OSError:
        return None


def defaults() -> Rules:
    """What nobody searches unless a rule file asks for it with ``!``."""
    folders = [f"{name}/" for name in DEFAULT_FOLDERS.split()]
    return parse([*folders, *WRITTEN_BY_TOOLS.split(), *DATA.split(), *SECRETS.split()])


def _either(sources: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{source})" for source in sources), re.DOTALL) if sources else None


@dataclass(frozen=True, slots=True)
class Chain:
    """All rules that hold in one folder: for each kind of rule file, (folder prefix, rules), deepest first.

    ``prefix`` is the folder's path relative to where paths are counted from, with a slash at the end ("" at the start).
    """

    layers: tuple[tuple[tuple[str, Rules], ...], ...]

    def ignores(self, path: str, name: str) -> bool:
        """Whether the rules leave this path out. Folders end in ``/``. Its parents are taken to be wanted."""
        for kind in self.layers:
            for prefix, rules in kind:
                verdict = rules.decide(path[len(prefix) :], name)
                if verdict is not None:
                    return verdict
        return False

    def within(self, folder: Path, prefix: str, names: Iterable[str]) -> "Chain":
        """The chain for a folder deeper down that holds ``names``."""
        present = [name for name in RULE_FILES if name in names]
        layers = list(self.layers)
        for name in present:
            rules = read_rules(folder / name)
            if rules is not None:
                kind = RULE_FILES.index(name)
                layers[kind] = ((prefix, rules), *layers[kind])
        return Chain(tuple(layers)) if present else self


def outermost(root: Path) -> tuple[Chain, str]:
    """The rules that hold at ``root`` before its own rule files: defaults, and those of the checkout it lies in.

    Returns the chain and what paths under ``root`` must be prefixed with before asking it. A root that its own checkout ignores was
    asked for by name: then only the defaults hold.
    """
    top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)
    exclude = read_rules(top / ".git" / "info" / "exclude")
    empty: tuple[tuple[str, Rules], ...] = ()
    plain = Chain((empty, empty, empty, empty, (("", defaults()),)))
    chain = Chain((empty, empty, empty, (("", exclude),) if exclude else empty, plain.layers[4]))
    parts = root.relative_to(top).parts
    folder, prefix = top, ""
    for part in parts:
        chain = chain.within(folder, prefix, [name for name in RULE_FILES if (folder / name).exists()])
        folder, prefix = folder / part, f"{prefix}{part}/"
        if chain.ignores(prefix, f"{part}/"):
            return plain, ""
    return chain, prefix

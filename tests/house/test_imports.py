"""Who may import whom, and what may be loaded when."""

import graphlib
import importlib
import sys
import warnings

import pytest

from support.source import floors, imports, modules

# Loading one of these costs 20 ms to 3 s: only inside the function that needs it.
HEAVY = frozenset((
    "aiohttp", "accelerate", "keyring", "numpy", "pathspec", "prompt_toolkit", "pydantic", "rich", "safetensors", "sqlalchemy",
    "tokenizers", "tomlkit", "torch", "transformers", "tree_sitter", "uvicorn", "xllamacpp", "chromadb", "ray", "regex", "usearch",
    "watchfiles", "bitsandbytes", "datasets", "datasketch", "gguf", "license_expression", "peft", "pyarrow", "trl", "yaml", "zstandard",
))  # fmt: skip

# Whoever can open or accept a connection. Everyone else goes through engines/transport, and so through engines/egress.
NETWORK = frozenset(
    [
        "socket",
        "ssl",
        "aiohttp",
        "http.client",
        "http.server",
        "socketserver",
        "urllib.request",
        "ftplib",
        "smtplib",
        "httpx",
        "requests",
    ]
)
# Loaded as a whole when it is first asked for; tests/server/test_own_api.py holds that.
LATE = "fireside.server.own."
MAY_TOUCH_THE_NETWORK = {
    "fireside.engines.connections": "opens what the transport asks for, to addresses that engines/egress admitted",
    "fireside.engines.https": "the same over TLS",
    "fireside.engines.egress": "looks a host up, to judge its address",
    "fireside.engines.child": "finds a free port, and asks its own server on loopback whether it is healthy",
    "fireside.server.listening": "listens where the user said",
    "fireside.training.tune.distributed": "finds a free port for the processes of one training on this machine",
    "fireside.engines.hf_child": "serves a checkpoint on loopback, in a process of its own",
}


def test_no_circle_exists_even_under_type_checking():
    graph = {
        module.name: {
            found.target
            for found in imports(module)
            if found.level != "function" and found.target.startswith("fireside")
        }
        for module in modules()
    }
    # The front door names Fireside for type checkers only; what it leads to may ask the package for its version.
    graph["fireside"] = set()
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("a circle: " + " -> ".join(reversed(error.args[1])))


def test_a_room_imports_only_from_lower_floors_even_inside_a_function():
    floor = floors()
    upward = []
    for module in modules():
        if not module.room or module.name == "fireside.__main__":
            continue
        for found in imports(module):
            room = found.target.split(".")[1] if found.target.startswith("fireside.") else ""
            if room and room != module.room and floor[room] <= floor[module.room]:
                upward.append(f"{module.where}:{found.line} ({module.room}) imports {found.target}")
    assert upward == []


def test_every_room_has_a_floor():
    assert {module.room for module in modules()} - {"", "__main__"} <= floors().keys()


def test_heavy_libraries_are_imported_only_where_they_are_used():
    early = [
        f"{module.where}:{found.line} imports {found.target}"
        for module in modules()
        if not module.name.startswith(LATE)
        for found in imports(module)
        if found.level == "module" and (found.target.split(".")[0] in HEAVY or found.target.startswith("tree_sitter"))
    ]
    assert early == []


def test_core_stands_on_the_standard_library_and_msgspec_alone():
    foreign = [
        f"{module.where}:{found.line} imports {found.target}"
        for module in modules()
        if module.room == "core"
        for found in imports(module)
        if found.target.split(".")[0] not in (*sys.stdlib_module_names, "msgspec")
        and not found.target.startswith("fireside.core")
    ]
    assert foreign == []


def test_only_named_modules_touch_the_network():
    touching = {
        module.name: f"{module.where}:{found.line} imports {found.target}"
        for module in modules()
        for found in imports(module)
        if found.level != "typing"
        and any(found.target == name or found.target.startswith(name + ".") for name in NETWORK)
    }
    assert [line for name, line in touching.items() if name not in MAY_TOUCH_THE_NETWORK] == []
    assert sorted(MAY_TOUCH_THE_NETWORK.keys() - touching.keys()) == [], "these no longer need their exception"


def test_no_module_opens_an_asyncio_connection_of_its_own():
    calls = (
        "open_connection",
        "start_server",
        "create_connection",
        "create_server",
        "create_datagram_endpoint",
        "sock_connect",
    )
    found = [
        f"{module.where} uses {call}"
        for module in modules()
        for call in calls
        if module.name not in MAY_TOUCH_THE_NETWORK and f".{call}(" in module.path.read_text(encoding="utf-8")
    ]
    assert found == []


def test_every_module_can_be_imported():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for module in modules():
            if module.name != "fireside.__main__":
                importlib.import_module(module.name)

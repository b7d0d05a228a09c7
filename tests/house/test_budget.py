"""What a short command may load: `fireside --version` must feel like no program at all."""

import json
import subprocess
import sys

import pytest

# Each is slow to load, or belongs to a room a short command never enters. A new line here is a measured regression that must not return.
HELD = (
    "aiohttp", "asyncio", "concurrent.futures", "ctypes", "email", "filelock", "http.client", "keyring", "msgspec", "multiprocessing",
    "numpy", "orjson", "pathspec", "prompt_toolkit", "pydantic", "pygments", "rich", "socket", "sqlalchemy", "sqlite3", "ssl", "tomlkit",
    "tomllib", "torch", "transformers", "tree_sitter", "urllib.request", "xllamacpp", "fireside.app", "fireside.agent", "fireside.gateway",
    "fireside.engines", "fireside.index",
)  # fmt: skip
RUN = """
import json, sys
def run():
    {code}
try:
    run()
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted(sys.modules)))
"""
COMMANDS = {
    "import fireside": "import fireside",
    "fireside --version": "sys.argv[1:] = ['--version']; from fireside.cli.main import main; main()",
    "fireside --help": "sys.argv[1:] = ['--help']; from fireside.cli.main import main; main()",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_loads_nothing_it_does_not_need(command):
    script = RUN.format(code=COMMANDS[command])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert sorted(loaded & set(HELD)) == []

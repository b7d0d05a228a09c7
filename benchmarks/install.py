"""What `pip install fireside` brings: packages (grammars are not counted), megabytes, and that torch is not among them."""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from benchmarks.table import Figure, show

ROOT = Path(__file__).resolve().parent.parent
TOOLS = {"pip", "setuptools"}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "venv"
        venv.create(home, with_pip=True)
        before = _size(home)
        python = str(home / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", str(ROOT)], check=True)
        listed = subprocess.run(
            [python, "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True
        ).stdout
        names = {line.split("==")[0].lower() for line in listed.splitlines()} - TOOLS
        counted = [name for name in names if not name.startswith("tree-sitter-")]
        show(
            [
                Figure("packages installed, grammars not counted", len(counted), "", 45),
                Figure("size installed", (_size(home) - before) / 1e6, "MB", 300),
                Figure("torch among them", float("torch" in names), "", 0),
            ]
        )
    sys.stdout.flush()


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())

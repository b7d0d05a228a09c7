"""Run the benchmarks named on the command line, or all of them, each in a process of its own so that none warms another's caches."""

import subprocess
import sys
from pathlib import Path

# Those that install much or take minutes run only when named.
NAMED = ("clients", "adapt")
ALL = (
    "startup",
    "install",
    "engine",
    "gateway",
    "search",
    "vectors",
    "edits",
    "checkpoints",
    "completion",
    "training",
    "collect",
)


def main() -> int:
    names = sys.argv[1:] or list(ALL)
    unknown = [name for name in names if name not in (*ALL, *NAMED)]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join((*ALL, *NAMED))}", file=sys.stderr)
        return 2
    root = Path(__file__).resolve().parent.parent
    return max(_run(name, root) for name in names)


def _run(name: str, root: Path) -> int:
    print(f"\n== {name} (python -m benchmarks {name})", flush=True)
    return subprocess.run(
        [sys.executable, "-c", f"from benchmarks.{name} import main; main()"], cwd=root, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())

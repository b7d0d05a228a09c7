"""What a path alone says about a file: test, generated, vendored, example, documentation, for another system.

Knows naming habits; reads nothing.
"""

import re
import sys
from fnmatch import fnmatchcase

TEST = re.compile(
    r"(^|/)(tests?|__tests__|specs?|testing|testdata|test[-_]?utils|e2e|fixtures?|__mocks__|mocks?|__snapshots__)/"
    r"|(^|/)(test_[^/]*|conftest|[^/]*_test|[^/]*_spec|[^/]*\.(test|spec|stories|e2e))\.(?!(ba|z)?sh$)[^/.]+$"
    r"|\.(bats|feature)$"
    r"|[a-z0-9](Tests?|Spec|TestCase)\.(java|cs|kt|scala|php|swift|groovy)$",
)
VENDORED = re.compile(
    r"(^|/)(vendor|_?vendored|third[-_]?party|extern(al)?|deps|bower_components|site-packages)/", re.IGNORECASE
)
GENERATED = re.compile(
    r"(^|/)(generated|gen|__generated__|dist|build|out)/|[._-](generated|gen|pb|g)\.[^/.]+$|\.d\.[cm]?ts$|_pb2?\.",
    re.IGNORECASE,
)
ASIDE = re.compile(
    r"(^|/)(examples?|samples?|demos?|bench(es|marks?)?|compat|legacy|deprecated|migrations|playground)/", re.IGNORECASE
)
# Systems whose code few readers mean unless they say so; on one of them it is the others' that they do not mean.
SYSTEMS = {
    "win32": ("win", "windows", "win32", "win64", "winapi", "msvc", "wince"),
    "cygwin": ("cygwin", "msys"),
    "aix": ("aix",),
    "sunos": ("sunos", "solaris", "illumos"),
    "bsd": ("freebsd", "netbsd", "openbsd", "dragonfly"),
    "": (
        "os390",
        "zos",
        "ibmi",
        "os400",
        "haiku",
        "hurd",
        "qnx",
        "plan9",
        "vxworks",
        "symbian",
        "nacl",
        "wasip1",
        "amiga",
        "beos",
    ),
}
FOREIGN = re.compile(
    r"(^|[/._-])({})([/._-]|$)".format(
        "|".join(
            name for system, names in SYSTEMS.items() if not system or system not in sys.platform for name in names
        )
    )
)
DOCUMENTS = re.compile(
    r"\.(md|markdown|mdx|rst|txt|adoc|tex|ronn|pod|[1-9])$|(^|/)(man|docs?)/"
    r"|(^|/)(changelog|changes|license|news|history)[^/]*$",
    re.IGNORECASE,
)


def is_test(path: str) -> bool:
    return TEST.search(path) is not None


def kinds(path: str) -> tuple[str, ...]:
    """What a reader of the path would call the file; () for plain source."""
    found = (
        ("test", TEST),
        ("vendored", VENDORED),
        ("generated", GENERATED),
        ("aside", ASIDE),
        ("document", DOCUMENTS),
        ("foreign", FOREIGN),
    )
    return tuple(name for name, pattern in found if pattern.search(path))


def matches(path: str, glob: str) -> bool:
    """Whether a path fits a pattern: a whole path, a name anywhere, or a folder; ``*`` also crosses folders."""
    wanted = glob.strip().removeprefix("./").rstrip("/")
    return any(fnmatchcase(path, one) for one in (wanted, f"*/{wanted}", f"{wanted}/*", f"*/{wanted}/*")) or not wanted

"""What a path alone says about a file: test, generated, vendored, example, documentation. Knows naming habits; reads nothing."""

import re
from fnmatch import fnmatchcase

TEST = re.compile(
    r"(^|/)(tests?|__tests__|specs?|testing|testdata|test[-_]?utils|e2e|fixtures?|__mocks__|mocks?|__snapshots__)/"
    r"|(^|/)(test_[^/]*|conftest|[^/]*_test|[^/]*_spec|[^/]*\.(test|spec|stories|e2e))\.[^/.]+$"
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
DOCUMENTS = re.compile(
    r"\.(md|markdown|mdx|rst|txt|adoc|tex)$|(^|/)(changelog|changes|license|news|history)[^/]*$", re.IGNORECASE
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
    )
    return tuple(name for name, pattern in found if pattern.search(path))


def matches(path: str, glob: str) -> bool:
    """Whether a path fits a pattern: a whole path, a name anywhere, or a folder; ``*`` also crosses folders."""
    wanted = glob.strip().removeprefix("./").rstrip("/")
    return any(fnmatchcase(path, one) for one in (wanted, f"*/{wanted}", f"{wanted}/*", f"*/{wanted}/*")) or not wanted

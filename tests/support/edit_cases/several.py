"""Several edits and several files: order, dependence, overlap, moves, deletions, all or nothing, nothing at all."""

# One case a line, however long.
# ruff: noqa: E501
# fmt: off

import json

from support.edit_cases.case import LINE_FORMATS, Case, block, every, hunk, listing, one

MANY = "several edits"
FILES = "delete and move"
NOTHING = "no-ops"

TEXT = "a = 1\nb = 2\nc = 3\nd = 4\ne = 5\n"


def _all(format: str, edits: list[tuple[str, str, str]]) -> str:
    """Several edits (path, old, new) in one answer."""
    if format == "search_replace":
        return "\n".join(f"{path}\n```\n{block(old, new)}```" for path, old, new in edits)
    if format == "udiff":
        return "".join(f"--- a/{path}\n+++ b/{path}\n@@ @@\n{hunk(old, new)}" for path, old, new in edits)
    if format == "apply_patch":
        return (
            "*** Begin Patch\n"
            + "".join(f"*** Update File: {path}\n@@\n{hunk(old, new)}" for path, old, new in edits)
            + "*** End Patch"
        )
    return json.dumps([{"path": path, "old_string": old, "new_string": new} for path, old, new in edits])


def _several() -> list[Case]:
    cases: list[Case] = []

    def add(
        name: str,
        edits: list[tuple[str, str, str]],
        changed: object = (),
        *,
        files: object = None,
        refused: object = (),
    ) -> None:
        known = files or {"a.py": TEXT}
        cases.extend(
            one(MANY, name, format, known, _all(format, edits), changed, refused=refused) for format in LINE_FORMATS
        )  # type: ignore[arg-type]

    both = {"a.py": TEXT.replace("b = 2", "b = 20").replace("d = 4", "d = 40")}
    add("two places", [("a.py", "b = 2", "b = 20"), ("a.py", "d = 4", "d = 40")], both)
    add("two places, from below", [("a.py", "d = 4", "d = 40"), ("a.py", "b = 2", "b = 20")], both)
    add(
        "neighbours",
        [("a.py", "b = 2", "b = 20"), ("a.py", "c = 3", "c = 30")],
        {"a.py": TEXT.replace("b = 2\nc = 3", "b = 20\nc = 30")},
    )
    add(
        "context that both show",
        [("a.py", "b = 2\nc = 3", "b = 20\nc = 3"), ("a.py", "c = 3\nd = 4", "c = 3\nd = 40")],
        both,
    )
    add(
        "context that the other changes",
        [("a.py", "b = 2\nc = 3", "b = 20\nc = 3"), ("a.py", "a = 1\nb = 2", "a = 10\nb = 2")],
        {"a.py": TEXT.replace("a = 1\nb = 2", "a = 10\nb = 20")},
    )
    add(
        "the second builds on the first",
        [("a.py", "b = 2", "b = 2\nx = 0"), ("a.py", "x = 0", "x = 9")],
        {"a.py": TEXT.replace("b = 2\n", "b = 2\nx = 9\n")},
    )
    add("a chain", [("a.py", "b = 2", "b = 7"), ("a.py", "b = 7", "b = 8")], {"a.py": TEXT.replace("b = 2", "b = 8")})
    add(
        "two values change places",
        [("a.py", "b = 2", "c = 3"), ("a.py", "c = 3", "b = 2")],
        {"a.py": TEXT.replace("b = 2\nc = 3", "c = 3\nb = 2")},
    )
    add(
        "the same lines twice, differently",
        [("a.py", "b = 2", "b = 7"), ("a.py", "b = 2", "b = 8")],
        refused=["overlap", "not_found"],
    )
    add(
        "one within the other",
        [("a.py", "b = 2\nc = 3\nd = 4", "z = 0"), ("a.py", "c = 3", "c = 9")],
        refused=["overlap", "not_found"],
    )
    add(
        "half and half",
        [("a.py", "b = 2\nc = 3", "y = 0"), ("a.py", "c = 3\nd = 4", "z = 0")],
        refused=["overlap", "not_found"],
    )
    add(
        "the same edit twice",
        [("a.py", "b = 2", "b = 7"), ("a.py", "b = 2", "b = 7")],
        {"a.py": TEXT.replace("b = 2", "b = 7")},
        refused=["overlap", "not_found"],
    )
    add(
        "the same insertion twice",
        [("a.py", "b = 2", "b = 2\nx = 0"), ("a.py", "b = 2", "b = 2\nx = 0")],
        {"a.py": TEXT.replace("b = 2\n", "b = 2\nx = 0\n")},
        refused=["overlap", "ambiguous"],
    )
    add(
        "the first makes a second place",
        [("a.py", "a = 1", "a = 1\nd = 4"), ("a.py", "d = 4\ne = 5", "d = 40\ne = 5")],
        {"a.py": TEXT.replace("a = 1\n", "a = 1\nd = 4\n").replace("d = 4\ne", "d = 40\ne")},
    )
    add("one fails", [("a.py", "b = 2", "b = 20"), ("a.py", "q = 4", "q = 40")], refused=["not_found"])
    add("the first fails", [("a.py", "q = 4", "q = 40"), ("a.py", "b = 2", "b = 20")], refused=["not_found"])
    add(
        "one file fails",
        [("a.py", "b = 2", "b = 20"), ("b.py", "q = 4", "q = 40")],
        files={"a.py": TEXT, "b.py": "z = 1\n"},
        refused=["not_found"],
    )
    add(
        "two files",
        [("a.py", "b = 2", "b = 20"), ("b.py", "z = 1", "z = 2")],
        {"a.py": TEXT.replace("b = 2", "b = 20"), "b.py": "z = 2\n"},
        files={"a.py": TEXT, "b.py": "z = 1\n"},
    )
    add(
        "there and back between files",
        [("a.py", "b = 2", "b = 20"), ("b.py", "z = 1", "z = 2"), ("a.py", "d = 4", "d = 40")],
        {**both, "b.py": "z = 2\n"},
        files={"a.py": TEXT, "b.py": "z = 1\n"},
    )
    add(
        "lines move to another file",
        [("a.py", "b = 2\nc = 3", "b = 2"), ("b.py", "z = 1", "z = 1\nc = 3")],
        {"a.py": TEXT.replace("c = 3\n", ""), "b.py": "z = 1\nc = 3\n"},
        files={"a.py": TEXT, "b.py": "z = 1\n"},
    )
    add("a missing file among them", [("a.py", "b = 2", "b = 20"), ("ghost.py", "z = 1", "z = 2")], refused=["missing"])
    add(
        "two insertions at one place",
        [("a.py", "b = 2", "b = 2\nx = 0"), ("a.py", "b = 2", "b = 2\ny = 0")],
        [
            {"a.py": TEXT.replace("b = 2\n", "b = 2\nx = 0\ny = 0\n")},
            {"a.py": TEXT.replace("b = 2\n", "b = 2\ny = 0\nx = 0\n")},
        ],
        refused=["overlap"],
    )
    add(
        "lines move down",
        [("a.py", "a = 1\nb = 2", "a = 1"), ("a.py", "d = 4", "d = 4\nb = 2")],
        {"a.py": "a = 1\nc = 3\nd = 4\nb = 2\ne = 5\n"},
    )
    add(
        "one of two places goes, the other is meant",
        [("a.py", "x = 1\ny = 2", "x = 9\ny = 2"), ("a.py", "x = 1", "x = 8")],
        {"a.py": "x = 9\ny = 2\nx = 8\nz = 3\n"},
        files={"a.py": "x = 1\ny = 2\nx = 1\nz = 3\n"},
        refused=["ambiguous"],
    )
    return [
        *cases,
        one(MANY, "two words of one line", "edit_tool", {"a.py": "f(alpha, beta)\n"}, '{"path": "a.py", "edits": [{"old_string": "alpha", "new_string": "one"}, {"old_string": "beta", "new_string": "two"}]}',
            {"a.py": "f(one, two)\n"}),
        one(MANY, "calls one after another", "edit_tool", {"a.py": TEXT}, '{"path": "a.py", "old_string": "a = 1", "new_string": "a = 2"}\n{"path": "a.py", "old_string": "e = 5", "new_string": "e = 6"}',
            {"a.py": TEXT.replace("a = 1", "a = 2").replace("e = 5", "e = 6")}),
    ]


def _files() -> list[Case]:
    files = {"a.py": TEXT, "b.py": "z = 1\n"}
    patch = "*** Begin Patch\n{}*** End Patch"
    return [
        *every(FILES, "a block goes", TEXT, "b = 2\nc = 3", "", "a = 1\nd = 4\ne = 5\n"),
        *every(FILES, "the first lines go", TEXT, "a = 1\nb = 2", "", "c = 3\nd = 4\ne = 5\n"),
        *every(FILES, "the last lines go", TEXT, "d = 4\ne = 5", "", "a = 1\nb = 2\nc = 3\n"),
        *every(FILES, "a line goes from a file without last newline", "a = 1\nb = 2\nc = 3", "b = 2", "", "a = 1\nc = 3"),
        *every(FILES, "a method goes", "class A:\n    def f(self):\n        pass\n\n    def g(self):\n        pass\n", "    def f(self):\n        pass\n", "",
               ["class A:\n    def g(self):\n        pass\n", "class A:\n\n    def g(self):\n        pass\n"]),
        one(FILES, "deleted", "apply_patch", files, patch.format("*** Delete File: b.py\n"), {"b.py": None}),
        one(FILES, "deleted, not there", "apply_patch", files, patch.format("*** Delete File: c.py\n"), refused=["missing"]),
        one(FILES, "moved", "apply_patch", files, patch.format("*** Update File: b.py\n*** Move to: lib/c.py\n"), {"b.py": None, "lib/c.py": "z = 1\n"}),
        one(FILES, "moved and changed", "apply_patch", files, patch.format("*** Update File: b.py\n*** Move to: c.py\n@@\n-z = 1\n+z = 2\n"), {"b.py": None, "c.py": "z = 2\n"}),
        one(FILES, "moved onto another", "apply_patch", files, patch.format("*** Update File: b.py\n*** Move to: a.py\n"), refused=["exists"]),
        one(FILES, "deleted and another edited", "apply_patch", files, patch.format("*** Delete File: b.py\n*** Update File: a.py\n@@\n-a = 1\n+a = 2\n"), {"b.py": None, "a.py": TEXT.replace("a = 1", "a = 2")}),
        one(FILES, "deleted, but another part fails", "apply_patch", files, patch.format("*** Delete File: b.py\n*** Update File: a.py\n@@\n-q = 1\n+q = 2\n"), refused=["not_found"]),
        one(FILES, "deleted and added anew", "apply_patch", files, patch.format("*** Delete File: b.py\n*** Add File: b.py\n+new = 1\n"), {"b.py": "new = 1\n"}, refused=["exists"]),
        one(FILES, "all kinds at once", "apply_patch", {**files, "c.py": "c = 1\n"}, patch.format("*** Add File: n.py\n+n = 1\n*** Delete File: c.py\n*** Update File: b.py\n*** Move to: m.py\n@@\n-z = 1\n+z = 3\n"),
            {"n.py": "n = 1\n", "c.py": None, "b.py": None, "m.py": "z = 3\n"}),
        one(FILES, "a CRLF file moves", "apply_patch", {"a.py": "x = 1\r\n"}, patch.format("*** Update File: a.py\n*** Move to: b.py\n"), {"a.py": None, "b.py": "x = 1\r\n"}),
        one(FILES, "a moved file is edited under its new name", "apply_patch", files, patch.format("*** Update File: b.py\n*** Move to: c.py\n*** Update File: c.py\n@@\n-z = 1\n+z = 5\n"), {"b.py": None, "c.py": "z = 5\n"}, refused=["missing"]),
    ]


def _nothing() -> list[Case]:
    files = {"a.py": TEXT}
    return [
        *every(NOTHING, "the same on both sides", TEXT, "b = 2", "b = 2", refused=["no_op", "malformed", "truncated"]),
        *[one(NOTHING, "one of two does nothing", format, files, _all(format, [("a.py", "b = 2", "b = 2"), ("a.py", "c = 3", "c = 4")]), {"a.py": TEXT.replace("c = 3", "c = 4")}, refused=["no_op"])
          for format in ("search_replace", "edit_tool")],
        one(NOTHING, "the whole file as it is", "whole", files, listing("a.py", TEXT), refused=["no_op"]),
        one(NOTHING, "everywhere the same", "edit_tool", files, '{"path": "a.py", "old_string": "b", "new_string": "b", "replace_all": true}', refused=["no_op"]),
    ]


CASES = [*_several(), *_files(), *_nothing()]

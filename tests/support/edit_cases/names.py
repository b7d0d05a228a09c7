"""Which file is meant, new files, and names nobody may write to."""

# One case a line, however long.
# ruff: noqa: E501
# fmt: off

from support.edit_cases.case import LINE_FORMATS, Case, block, listing, one, write_edit

NAMES = "file names"
NEW = "new files"
SAFE = "path safety"

TREE = {
    "src/app.py": "x = 1\ny = 2\n",
    "src/deep/tool.py": "t = 1\n",
    "lib/util.py": "u = 1\n",
    "web/util.py": "u = 1\n",
    "Makefile": "all:\n\techo\n",
}
ALL = (*LINE_FORMATS, "whole")


def _write(format: str, path: str, old: str, new: str) -> str:
    return listing(path, new) if format == "whole" else write_edit(format, path, old, new)


def _names() -> list[Case]:
    cases: list[Case] = []
    for said, real in (
        ("src/app.py", "src/app.py"), ("./src/app.py", "src/app.py"), ("a/src/app.py", "src/app.py"), ("b/src/app.py", "src/app.py"),
        ("path/to/src/app.py", "src/app.py"), ("/path/to/src/app.py", "src/app.py"), ("src\\\\app.py", "src/app.py"), ("SRC/App.py", "src/app.py"),
        ("app.py", "src/app.py"), ("tool.py", "src/deep/tool.py"), ("path/to/tool.py", "src/deep/tool.py"), ("src//app.py", "src/app.py"),
        ("`src/app.py`", "src/app.py"), ("src/app.py ", "src/app.py"),
    ):
        for format in ALL:
            name = said.replace("\\\\", "\\")
            if "`" in said and format == "edit_tool":
                continue
            old = TREE[real].rstrip("\n")
            cases.append(
                one(
                    NAMES,
                    f"{said!r} is {real}",
                    format,
                    TREE,
                    _write(format, name, old, old[:-1] + "9"),
                    {real: old[:-1] + "9\n"},
                )
            )
    for said in ("project/src/app.py", "my-project/src/app.py", "src/other/app.py"):
        cases += [one(NAMES, f"{said!r} with a folder too many or wrong", format, TREE, write_edit(format, said, "y = 2", "y = 9"), {"src/app.py": "x = 1\ny = 9\n"}, refused=["missing"])
                  for format in LINE_FORMATS]
    for format in ALL:
        cases += [
            one(NAMES, "a name two files have", format, TREE, _write(format, "util.py", "u = 1", "u = 2"), refused=["ambiguous"]),
            one(NAMES, "part of the path tells them apart", format, TREE, _write(format, "lib/util.py", "u = 1", "u = 2"), {"lib/util.py": "u = 2\n"}),
            one(NAMES, "a file without extension", format, TREE, _write(format, "Makefile", "all:\n\techo", "all:\n\tls"), {"Makefile": "all:\n\tls\n"}),
            one(NAMES, "case that two files share", format, {"A.py": "x = 1\n", "a.py": "x = 1\n"}, _write(format, "a.py", "x = 1", "x = 2"), {"a.py": "x = 2\n"}),
            one(NAMES, "case that fits two files", format, {"App.py": "x = 1\n", "aPP.py": "x = 1\n"}, _write(format, "app.py", "x = 1", "x = 2"), refused=["ambiguous"]),
            one(NAMES, "a folder that is really called a", format, {"a/x.py": "x = 1\n", "b.py": "x = 1\n"}, _write(format, "a/x.py", "x = 1", "x = 2"), {"a/x.py": "x = 2\n"}),
            one(NAMES, "blanks in the name", format, {"my notes.txt": "x = 1\n", "b.py": "x = 1\n"}, _write(format, "my notes.txt", "x = 1", "x = 2"), {"my notes.txt": "x = 2\n"}),
            one(NAMES, "letters beyond ASCII", format, {"données/café.py": "x = 1\n"}, _write(format, "données/café.py", "x = 1", "x = 2"), {"données/café.py": "x = 2\n"}),
            one(NAMES, "brackets in the name", format, {"pages/[id].tsx": "x = 1\n"}, _write(format, "pages/[id].tsx", "x = 1", "x = 2"), {"pages/[id].tsx": "x = 2\n"}),
        ]
    for format in LINE_FORMATS:
        cases.append(
            one(
                NAMES,
                "no such file",
                format,
                TREE,
                write_edit(format, "src/ghost.py", "x = 1", "x = 2"),
                refused=["missing"],
            )
        )
    edit = block("y = 2", "y = 3")
    other = block("x = 1", "x = 5")
    return [
        *cases,
        one(NAMES, "no name, one file", "search_replace", {"a.py": "y = 2\n"}, edit, {"a.py": "y = 3\n"}),
        one(NAMES, "no name, the block before has one", "search_replace", TREE, f"src/app.py\n```\n{edit}```\nand\n```\n{other}```\n", {"src/app.py": "x = 5\ny = 3\n"}),
        one(NAMES, "no name, only one file has the lines", "search_replace", TREE, f"```\n{edit}```\n", {"src/app.py": "x = 1\ny = 3\n"}, refused=["missing"]),
        one(NAMES, "no name, two files have the lines", "search_replace", TREE, f"```\n{block('u = 1', 'u = 2')}```\n", refused=["ambiguous", "missing"]),
        one(NAMES, "no name, no file has the lines", "search_replace", TREE, f"```\n{block('q = 1', 'q = 2')}```\n", refused=["missing", "not_found"]),
        one(NAMES, "no name in the JSON, one file", "edit_tool", {"a.py": "y = 2\n"}, '{"old_string": "y = 2", "new_string": "y = 3"}', {"a.py": "y = 3\n"}),
        one(NAMES, "two names, each above its block", "search_replace", TREE, f"src/app.py\n```\n{edit}```\nlib/util.py\n```\n{block('u = 1', 'u = 2')}```\n", {"src/app.py": "x = 1\ny = 3\n", "lib/util.py": "u = 2\n"}),
    ]


def _new() -> list[Case]:
    files = {"a.py": "x = 1\n"}
    made = {"pkg/new.py": "n = 1\nm = 2\n"}
    return [
        one(NEW, "an empty search", "search_replace", files, "pkg/new.py\n```\n<<<<<<< SEARCH\n=======\nn = 1\nm = 2\n>>>>>>> REPLACE\n```\n", made),
        one(NEW, "an empty old text", "edit_tool", files, '{"path": "pkg/new.py", "old_string": "", "new_string": "n = 1\\nm = 2\\n"}', made),
        one(NEW, "create", "edit_tool", files, '{"command": "create", "path": "pkg/new.py", "file_text": "n = 1\\nm = 2\\n"}', made),
        one(NEW, "create what is there", "edit_tool", files, '{"command": "create", "path": "a.py", "file_text": "n = 1\\n"}', refused=["exists"]),
        one(NEW, "write what is there", "edit_tool", files, '{"path": "a.py", "content": "x = 2\\n"}', {"a.py": "x = 2\n"}),
        one(NEW, "a listing", "whole", files, listing("pkg/new.py", "n = 1\nm = 2\n"), made),
        one(NEW, "add", "apply_patch", files, "*** Begin Patch\n*** Add File: pkg/new.py\n+n = 1\n+m = 2\n*** End Patch", made),
        one(NEW, "add without pluses", "apply_patch", files, "*** Begin Patch\n*** Add File: pkg/new.py\nn = 1\nm = 2\n*** End Patch", made, refused=["malformed"]),
        one(NEW, "add with some pluses", "apply_patch", files, "*** Begin Patch\n*** Add File: pkg/new.py\n+n = 1\nm = 2\n*** End Patch", refused=["malformed"]),
        one(NEW, "add what is there", "apply_patch", files, "*** Begin Patch\n*** Add File: a.py\n+n = 1\n*** End Patch", refused=["exists"]),
        one(NEW, "add what is there in another case", "apply_patch", files, "*** Begin Patch\n*** Add File: A.PY\n+n = 1\n*** End Patch", refused=["exists"]),
        one(NEW, "add an empty file", "apply_patch", files, "*** Begin Patch\n*** Add File: pkg/__init__.py\n*** End Patch", {"pkg/__init__.py": ""}, refused=["truncated"]),
        one(NEW, "add with blank lines", "apply_patch", files, "*** Begin Patch\n*** Add File: pkg/new.py\n+n = 1\n+\n+m = 2\n*** End Patch", {"pkg/new.py": "n = 1\n\nm = 2\n"}),
        one(NEW, "the base name of another file", "apply_patch", {"src/a.py": "x = 1\n"}, "*** Begin Patch\n*** Add File: a.py\n+n = 1\n*** End Patch", {"a.py": "n = 1\n"}),
        one(NEW, "the base name of another file, in a folder", "whole", {"src/a.py": "x = 1\n"}, listing("lib/a.py", "n = 1\n"), {"lib/a.py": "n = 1\n"}),
        one(NEW, "a base name that is common", "whole", {"src/__init__.py": "from src.core import everything\n"}, listing("__init__.py", "n = 1\n"), {"__init__.py": "n = 1\n"}, refused=["ambiguous"]),
        one(NEW, "a file below a file", "whole", files, listing("a.py/b.py", "n = 1\n"), refused=["malformed", "exists"]),
        one(NEW, "a file where a folder is", "whole", {"pkg/x.py": "x = 1\n"}, listing("./pkg", "n = 1\n"), refused=["exists", "malformed", "missing"]),
        one(NEW, "two new files", "whole", files, listing("b.py", "b = 1\n") + listing("c.py", "c = 1\n"), {"b.py": "b = 1\n", "c.py": "c = 1\n"}),
        one(NEW, "a new file and an edit", "search_replace", files, f"b.py\n<<<<<<< SEARCH\n=======\nb = 1\n>>>>>>> REPLACE\n\na.py\n{block('x = 1', 'x = 2')}", {"b.py": "b = 1\n", "a.py": "x = 2\n"}),
        one(NEW, "made and then edited", "search_replace", files, f"b.py\n<<<<<<< SEARCH\n=======\nb = 1\n>>>>>>> REPLACE\n\nb.py\n{block('b = 1', 'b = 2')}", {"b.py": "b = 2\n"}),
        one(NEW, "an empty search on a file with text", "search_replace", files, "a.py\n<<<<<<< SEARCH\n=======\nb = 1\n>>>>>>> REPLACE\n", refused=["exists", "no_op"]),
        one(NEW, "an empty old text on a file with text", "edit_tool", files, '{"path": "a.py", "old_string": "", "new_string": "b = 1"}', refused=["exists", "no_op"]),
        one(NEW, "an empty search on an empty file", "search_replace", {"a.py": ""}, "a.py\n<<<<<<< SEARCH\n=======\nb = 1\n>>>>>>> REPLACE\n", {"a.py": "b = 1\n"}),
        one(NEW, "a file as bytes", "whole", {"a.py": b"x = 1\n"}, listing("b.py", "s = 'é'\n"), {"b.py": "s = 'é'\n".encode()}),
        one(NEW, "the first file of all", "whole", {}, listing("b.py", "b = 1\n"), {"b.py": "b = 1\n"}),
    ]


OUTSIDE = (
    "../app.py", "../../etc/app.py", "src/../../app.py", "src/../app.py", "/etc/passwd", "/app.py", "/src/app.py", "~/app.py", "~/.ssh/config",
    "C:\\src\\app.py", "C:/src/app.py", "\\\\host\\share\\app.py", "..\\app.py", "file:///src/app.py", "$HOME/app.py", "src/..\\../app.py",
)
OURS = (
    ".git/config", ".git/hooks/pre-commit", ".GIT/config", ".Git/hooks/app.py", "src/.git/config", ".git", ".git./config", ".git /config",
    "git~1/config", ".g\u200cit/config", ".git::$INDEX_ALLOCATION/config", "./.git/config", "a/.git/config", ".hg/hgrc", ".git\\config",
)


def _safety() -> list[Case]:
    cases: list[Case] = []
    for format in ALL:
        for path in OUTSIDE:
            cases.append(
                one(
                    SAFE,
                    f"outside: {path}",
                    format,
                    TREE,
                    _write(format, path, "x = 1", "x = 2"),
                    refused=["outside_root", "malformed", "missing"],
                )
            )
        for path in OURS:
            cases.append(
                one(
                    SAFE,
                    f"git's: {path!r}",
                    format,
                    {**TREE, ".git/config": "x = 1\n"},
                    _write(format, path, "x = 1", "x = 2"),
                    refused=["protected", "malformed", "missing"],
                )
            )
    made = "*** Begin Patch\n*** Add File: {}\n+x = 2\n*** End Patch"
    moved = "*** Begin Patch\n*** Update File: src/app.py\n*** Move to: {}\n@@\n-x = 1\n+x = 2\n*** End Patch"
    gone = "*** Begin Patch\n*** Delete File: {}\n*** End Patch"
    for path in (*OUTSIDE, *OURS):
        reasons = ["outside_root", "protected", "malformed"]
        cases.append(one(SAFE, f"made: {path!r}", "apply_patch", TREE, made.format(path), refused=reasons))
        cases.append(one(SAFE, f"moved: {path!r}", "apply_patch", TREE, moved.format(path), refused=reasons))
        cases.append(
            one(
                SAFE,
                f"gone: {path!r}",
                "apply_patch",
                {**TREE, ".git/config": "x"},
                gone.format(path),
                refused=[*reasons, "missing"],
            )
        )
    cases.append(
        one(
            SAFE,
            "a good edit beside a bad one",
            "search_replace",
            TREE,
            f"src/app.py\n{block('x = 1', 'x = 2')}\n../b.py\n{block('x = 1', 'x = 2')}",
            refused=["outside_root"],
        )
    )
    cases.append(
        one(
            SAFE,
            "git's ignore file is the user's",
            "whole",
            TREE,
            listing(".gitignore", "*.pyc\n"),
            {".gitignore": "*.pyc\n"},
        )
    )
    cases.append(
        one(
            SAFE,
            "a workflow is the user's",
            "whole",
            TREE,
            listing(".github/workflows/ci.yml", "on: push\n"),
            {".github/workflows/ci.yml": "on: push\n"},
        )
    )
    return cases


CASES = [*_names(), *_new(), *_safety()]

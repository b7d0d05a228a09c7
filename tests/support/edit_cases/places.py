"""Ambiguity, elisions, truncation: where the answer does not say enough, and must not be guessed at."""

# One case a line, however long.
# ruff: noqa: E501
# fmt: off

from support.edit_cases.case import LINE_FORMATS, Case, block, every, listing, one

WHERE = "ambiguity"
LEFT_OUT = "elision"
CUT = "truncation"

TWICE = "def a():\n    x = 1\n    return x\n\n\ndef b():\n    x = 1\n    return x\n"
BLOCKS = ("search_replace", "udiff", "apply_patch")


def _second(text: str) -> str:
    head, tail = text.split("def b")
    return f"{head}def b{tail.replace('x = 1', 'x = 2')}"


def _ambiguity() -> list[Case]:
    files = {"app.py": TWICE}
    many = "".join(f"step({number})\n" * 2 for number in range(3)) + "end()\n"
    return [
        *every(WHERE, "twice", TWICE, "    x = 1", "    x = 2", refused=["ambiguous"]),
        *every(WHERE, "twice, two lines", TWICE, "    x = 1\n    return x", "    x = 2\n    return x", refused=["ambiguous"]),
        *every(WHERE, "context makes it one", TWICE, "def b():\n    x = 1", "def b():\n    x = 2", _second(TWICE)),
        *every(WHERE, "twice but for trailing blanks", "x = 1  \ny = 2\nx = 1 \n", "x = 1", "x = 3", refused=["ambiguous"]),
        *every(WHERE, "one exact, one with trailing blanks", "x = 1\ny = 2\nx = 1 \n", "x = 1", "x = 3", "x = 3\ny = 2\nx = 1 \n",
               formats=BLOCKS),
        *every(WHERE, "a closing brace", "a {\n}\nb {\n}\n", "}", "};", refused=["ambiguous"]),
        *every(WHERE, "overlapping places", many, "step(1)\nstep(1)", "step(9)", "step(0)\nstep(0)\nstep(9)\nstep(2)\nstep(2)\nend()\n"),
        *every(WHERE, "places that overlap each other", "a\na\na\n", "a\na", "b", refused=["ambiguous"]),
        *every(WHERE, "only within a longer number", "limit = 10\n", "limit = 1", "limit = 2", refused=["not_found"]),
        *every(WHERE, "only within a longer name", "total_count = 5\n", "count = 5", "count = 6", refused=["not_found"]),
        *every(WHERE, "a whole line, and part of others", "x = 1\nx = 10\nmax = 1\n", "x = 1", "x = 2", "x = 2\nx = 10\nmax = 1\n"),
        *every(WHERE, "only part of a line", "value = compute(a) + rest\n", "value = compute(a)", "value = compute(b)",
               refused=["not_found"], formats=BLOCKS),
        one(WHERE, "part of a line", "edit_tool", {"app.py": "value = compute(a) + rest\n"},
            '{"path": "app.py", "old_string": "compute(a)", "new_string": "compute(b)"}', {"app.py": "value = compute(b) + rest\n"}),
        one(WHERE, "a word that is also part of longer ones", "edit_tool", {"app.py": "count = 0\ncounter = 1\nrecount = 2\n"},
            '{"path": "app.py", "old_string": "count", "new_string": "number"}', {"app.py": "number = 0\ncounter = 1\nrecount = 2\n"},
            refused=["ambiguous"]),
        one(WHERE, "a fraction", "edit_tool", {"app.py": "delay = 3.5\n"},
            '{"path": "app.py", "old_string": "delay = 3", "new_string": "delay = 4"}', refused=["not_found"]),
        one(WHERE, "everywhere, said so", "edit_tool", files,
            '{"path": "app.py", "old_string": "x = 1", "new_string": "x = 2", "replace_all": true}', {"app.py": TWICE.replace("x = 1", "x = 2")}),
        one(WHERE, "everywhere, but another number", "edit_tool", files,
            '{"path": "app.py", "old_string": "x = 1", "new_string": "x = 2", "expected_replacements": 3}', refused=["ambiguous"]),
        one(WHERE, "everywhere, and nowhere", "edit_tool", files,
            '{"path": "app.py", "old_string": "y = 1", "new_string": "y = 2", "replace_all": true}', refused=["not_found"]),
        one(WHERE, "a line number", "edit_tool", files,
            '{"path": "app.py", "old_string": "    x = 1", "new_string": "    x = 2", "line": 7}', {"app.py": _second(TWICE)}),
        one(WHERE, "a line number that is none", "edit_tool", files,
            '{"path": "app.py", "old_string": "    x = 1", "new_string": "    x = 2", "line": 4}', refused=["ambiguous"]),
        one(WHERE, "a line hint in the block", "search_replace", files,
            "app.py\n<<<<<<< SEARCH\n:start_line:7\n-------\n    x = 1\n=======\n    x = 2\n>>>>>>> REPLACE\n", {"app.py": _second(TWICE)}),
        one(WHERE, "the right line number", "udiff", files,
            "--- a/app.py\n+++ b/app.py\n@@ -7,2 +7,2 @@\n-    x = 1\n+    x = 2\n     return x\n", {"app.py": _second(TWICE)}),
        one(WHERE, "a line number between both", "udiff", files,
            "--- a/app.py\n+++ b/app.py\n@@ -5,2 +5,2 @@\n-    x = 1\n+    x = 2\n     return x\n", refused=["ambiguous"]),
        one(WHERE, "a wrong line number does no harm", "udiff", files,
            "--- a/app.py\n+++ b/app.py\n@@ -99,2 +99,2 @@\n def b():\n-    x = 1\n+    x = 2\n     return x\n", {"app.py": _second(TWICE)}),
        one(WHERE, "the function named behind the numbers", "udiff", files,
            "--- a/app.py\n+++ b/app.py\n@@ -99,2 +99,2 @@ def b():\n-    x = 1\n+    x = 2\n     return x\n", {"app.py": _second(TWICE)}),
        one(WHERE, "an anchor", "apply_patch", files,
            "*** Begin Patch\n*** Update File: app.py\n@@ def b():\n-    x = 1\n+    x = 2\n     return x\n*** End Patch", {"app.py": _second(TWICE)}),
        one(WHERE, "an anchor with both places below it", "apply_patch", {"app.py": f"import os\n\n\n{TWICE}"},
            "*** Begin Patch\n*** Update File: app.py\n@@ import os\n-    x = 1\n+    x = 2\n     return x\n*** End Patch", refused=["ambiguous"]),
        one(WHERE, "nested anchors", "apply_patch",
            {"app.py": "class A:\n    def f(self):\n        return 1\n\nclass B:\n    def f(self):\n        return 1\n"},
            "*** Begin Patch\n*** Update File: app.py\n@@ class B:\n@@     def f(self):\n-        return 1\n+        return 2\n*** End Patch",
            {"app.py": "class A:\n    def f(self):\n        return 1\n\nclass B:\n    def f(self):\n        return 2\n"}),
        one(WHERE, "text below another anchor than the one named", "apply_patch",
            {"app.py": "def f():\n    return 1\n\n\ndef g():\n    return 2\n"},
            "*** Begin Patch\n*** Update File: app.py\n@@ def f():\n-    return 2\n+    return 3\n*** End Patch", refused=["not_found"]),
        one(WHERE, "new lines below an anchor", "apply_patch", {"app.py": "import os\nx = 1\n"},
            "*** Begin Patch\n*** Update File: app.py\n@@ import os\n+import re\n*** End Patch", {"app.py": "import os\nimport re\nx = 1\n"}, refused=["ambiguous", "exists"]),
        one(WHERE, "new lines below a function's first", "apply_patch", {"app.py": TWICE},
            "*** Begin Patch\n*** Update File: app.py\n@@ def a():\n+    y = 1\n*** End Patch", refused=["ambiguous"]),
        one(WHERE, "new lines at the end", "apply_patch", {"app.py": "x = 1\n"},
            "*** Begin Patch\n*** Update File: app.py\n@@\n+y = 1\n*** End of File\n*** End Patch", {"app.py": "x = 1\ny = 1\n"}),
        one(WHERE, "new lines, nobody says where", "apply_patch", {"app.py": "x = 1\n"},
            "*** Begin Patch\n*** Update File: app.py\n@@\n+y = 1\n*** End Patch", refused=["exists", "ambiguous"]),
        one(WHERE, "an update of a missing file", "apply_patch", {"app.py": "x = 1\n"},
            "*** Begin Patch\n*** Update File: new.py\n@@\n+y = 1\n*** End Patch", refused=["missing"]),
        one(WHERE, "the end of the file", "apply_patch", {"app.py": "x = 1\ny = 2\nx = 1\n"},
            "*** Begin Patch\n*** Update File: app.py\n@@\n-x = 1\n+x = 3\n*** End of File\n*** End Patch", {"app.py": "x = 1\ny = 2\nx = 3\n"}),
    ]


FUNCTION = "def load(path):\n    with open(path) as file:\n        data = file.read()\n    check(data)\n    return data\n\n\ndef save(path):\n    pass\n"
MARKS = (
    "# ... existing code ...", "# rest of the function unchanged", "    # ...", "// ... rest of code ...", "# (unchanged)",
    "# existing code here", "... rest of the function ...", "# remaining code stays the same", "/* ... existing code ... */",
    "# [previous code remains]", "    ...", "# … unchanged …", "# same as before",
)


def _elision() -> list[Case]:
    files = {"app.py": FUNCTION}
    body = FUNCTION.split("\n\n\n")[0]
    cases = [
        case
        for mark in MARKS
        for case in every(LEFT_OUT, f"replaced by {mark.strip()!r}", FUNCTION, body, f"def load(path, mode):\n{mark}\n    return data",
                          refused=["elided"])
    ]
    cases += [
        one(LEFT_OUT, f"whole file with {mark.strip()!r}", "whole", files, listing("app.py", f"import os\n\n\ndef load(path):\n{mark}\n"),
            refused=["elided"])
        for mark in MARKS
    ]
    expanded = FUNCTION.replace("def load(path)", "def load(path, mode)").replace("return data", "return data, mode")
    cases += [
        *every(LEFT_OUT, "dots on both sides", FUNCTION, "def load(path):\n    ...\n    return data", "def load(path, mode):\n    ...\n    return data, mode",
               expanded, refused=["elided"]),
        *every(LEFT_OUT, "a comment on both sides", FUNCTION, "def load(path):\n    # ... existing code ...\n    return data",
               "def load(path, mode):\n    # ... existing code ...\n    return data, mode", expanded, refused=["elided"]),
        *every(LEFT_OUT, "dots in the search alone", FUNCTION, "def load(path):\n    ...\n    return data", "def load(path):\n    return None",
               refused=["elided"]),
        *every(LEFT_OUT, "dots that are a statement", "class P:\n    def f(self):\n        ...\n\n    x = 1\n",
               "    def f(self):\n        ...", "    def f(self, a):\n        ...", "class P:\n    def f(self, a):\n        ...\n\n    x = 1\n"),
        *every(LEFT_OUT, "a new stub", "class P:\n    x = 1\n", "    x = 1", "    x = 1\n\n    def g(self):\n        ...",
               "class P:\n    x = 1\n\n    def g(self):\n        ...\n"),
        *every(LEFT_OUT, "a stub gets its body", "def f():\n    ...\n", "def f():\n    ...", "def f():\n    return 1", "def f():\n    return 1\n"),
        *every(LEFT_OUT, "a comment that only sounds so", "x = 1\n", "x = 1", "# Keep existing users signed in\nx = 2",
               "# Keep existing users signed in\nx = 2\n"),
        *every(LEFT_OUT, "a comment that ends in dots", "x = 1\n", "x = 1", "# loading...\nx = 2", "# loading...\nx = 2\n"),
        *every(LEFT_OUT, "such a comment that is in the file", "# ... rest of code ...\nx = 1\n", "# ... rest of code ...\nx = 1",
               "# ... rest of code ...\nx = 2", "# ... rest of code ...\nx = 2\n"),
        *every(LEFT_OUT, "spread is no elision", "f({\n  a,\n});\n", "  a,", "  ...a,\n  b,", "f({\n  ...a,\n  b,\n});\n", path="a.js"),
        one(LEFT_OUT, "a new file that leaves lines out", "whole", files, listing("new.py", "import os\n# ... existing code ...\nx = 1\n"),
            refused=["elided"]),
    ]
    return cases


def _truncation() -> list[Case]:
    files = {"app.py": FUNCTION, "b.py": "x = 1\n"}
    good = f"b.py\n```\n{block('x = 1', 'x = 2')}```\n"
    return [
        one(CUT, "no end mark", "search_replace", files, "app.py\n```\n<<<<<<< SEARCH\n    check(data)\n=======\n    check(data, 1)\n", refused=["truncated"]),
        one(CUT, "no divider", "search_replace", files, "app.py\n```\n<<<<<<< SEARCH\n    check(data)\n", refused=["truncated"]),
        one(CUT, "a good block before", "search_replace", files, f"{good}\napp.py\n```\n<<<<<<< SEARCH\n    check(data)\n=======\n    che", refused=["truncated"]),
        one(CUT, "a good block after", "search_replace", files,
            f"app.py\n```\n<<<<<<< SEARCH\n    check(data)\n=======\n    check(data, 1)\n```\n\n{good}", refused=["truncated", "malformed"]),
        one(CUT, "end mark but no divider", "search_replace", files, "app.py\n<<<<<<< SEARCH\n    check(data)\n>>>>>>> REPLACE\n", refused=["malformed", "truncated"]),
        one(CUT, "the fence is closed, the block is not", "search_replace", files,
            "app.py\n```\n<<<<<<< SEARCH\n    check(data)\n=======\n    check(data, 1)\n```\n", refused=["truncated"]),
        one(CUT, "no closing fence", "whole", files, "app.py\n```python\ndef load(path):\n    with open(pa", refused=["truncated"]),
        one(CUT, "no closing fence, second file", "whole", files, f"{listing('b.py', 'x = 2')}\napp.py\n```python\ndef load(path):\n", refused=["truncated"]),
        one(CUT, "no closing fence, first file", "whole", files, f"app.py\n```python\ndef load(path):\n    with\n\n{listing('b.py', 'x = 2')}", refused=["truncated"]),
        one(CUT, "an empty listing", "whole", files, listing("app.py", ""), refused=["truncated"]),
        one(CUT, "a listing of blank lines", "whole", files, listing("app.py", "\n\n"), refused=["truncated"]),
        one(CUT, "an empty new file", "whole", files, listing("c.py", ""), {"c.py": ""}, refused=["truncated"]),
        one(CUT, "ends in an open bracket", "whole", files, listing("app.py", "def load(path):\n    return open(\n"), refused=["truncated"]),
        one(CUT, "ends where a block begins", "whole", files, listing("app.py", "def load(path):\n    with open(path) as file:\n"), refused=["truncated"]),
        one(CUT, "ends within a line", "whole", files, listing("app.py", FUNCTION[:62]), refused=["truncated"]),
        one(CUT, "a tenth of a long file", "whole", {"app.py": "".join(f"x{n} = {n}\n" for n in range(100))},
            listing("app.py", "".join(f"x{n} = {n}\n" for n in range(10))), refused=["truncated"]),
        one(CUT, "ends within a block", "whole", files, listing("app.py", "import os\n\n\n" + FUNCTION.split("        data")[0] + "        data = file.read()\n"), refused=["truncated"]),
        one(CUT, "ends within a block, mid-function", "whole", {"app.py": FUNCTION + "\n\ndef more():\n    pass\n"}, listing("app.py", "import os\n\n\n" + FUNCTION.split("    return data")[0]), refused=["truncated"]),
        one(CUT, "the last function goes", "whole", files, listing("app.py", FUNCTION.split("\n\n\n")[0]), {"app.py": FUNCTION.split("\n\n\n")[0] + "\n"}),
        one(CUT, "no end of the patch", "apply_patch", files, "*** Begin Patch\n*** Update File: app.py\n@@\n-    check(data)\n+    check(da", refused=["truncated"]),
        one(CUT, "no end of the patch, with fence", "apply_patch", files,
            "```\n*** Begin Patch\n*** Update File: app.py\n@@\n-    check(data)\n+    check(data, 1)\n```\n", refused=["truncated"]),
        one(CUT, "an update that changes nothing", "apply_patch", files, "*** Begin Patch\n*** Update File: app.py\n*** End Patch", refused=["malformed"]),
        one(CUT, "a diff without its end", "udiff", files, "```diff\n--- a/app.py\n+++ b/app.py\n@@ -4,2 +4,2 @@\n-    check(data)\n", refused=["truncated"]),
        one(CUT, "a hunk cut before its additions", "udiff", files,
            "--- a/app.py\n+++ b/app.py\n@@ -2,4 +2,4 @@\n     with open(path) as file:\n-        data = file.read()\n-    check(data)", refused=["truncated"]),
        one(CUT, "only the head of a diff", "udiff", files, "--- a/app.py\n+++ b/app.py\n", refused=["truncated", "malformed"]),
        one(CUT, "the old text is cut", "edit_tool", files, '{"path": "app.py", "old_string": "    check(da', refused=["truncated"]),
        one(CUT, "the new text is cut", "edit_tool", files, '{"path": "app.py", "old_string": "    check(data)", "new_string": "    che', refused=["truncated"]),
        one(CUT, "the object is not closed", "edit_tool", files, '{"path": "app.py", "old_string": "    check(data)", "new_string": "    ok(data)"', refused=["truncated"]),
        one(CUT, "the list is not closed", "edit_tool", files,
            '{"path": "app.py", "edits": [{"old_string": "    check(data)", "new_string": "    ok(data)"}, ', refused=["truncated"]),
        one(CUT, "no new text", "edit_tool", files, '{"path": "app.py", "old_string": "    check(data)"}', refused=["malformed", "truncated"]),
        *[
            one(CUT, "nothing at all", format, files, "", refused=["malformed"])
            for format in (*LINE_FORMATS, "whole", "function", "auto")
        ],
        *[
            one(CUT, "only words", format, files, "I am sorry, but I cannot do that.\n", refused=["malformed", "missing"])
            for format in (*LINE_FORMATS, "whole", "function", "auto")
        ],
    ]


CASES = [*_ambiguity(), *_elision(), *_truncation()]

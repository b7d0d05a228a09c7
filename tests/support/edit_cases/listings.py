"""Marks within the content, fences, prose, whole files, diffs and their oddities."""

# One case a line, however long.
# ruff: noqa: E501
# fmt: off

from support.edit_cases.case import LINE_FORMATS, Case, block, every, hunk, listing, one, write_edit

MARKS = "marks in content"
FENCES = "fences and prose"
DIFF = "udiff"
LITERAL = "literal text"

CONFLICT = "a = 1\n<<<<<<< HEAD\nb = 2\n=======\nb = 3\n>>>>>>> topic\nc = 4\n"
TITLE = "Title\n=======\n\nSome text.\n\nOther\n=======\n"
DOCS = "# Edits\n\n<<<<<<< SEARCH\nold\n=======\nnew\n>>>>>>> REPLACE\n\nThe end.\n"
README = "# Tool\n\n```bash\npip install tool\n```\n\nUse it.\n"


def _marks() -> list[Case]:
    block_docs = block(
        "<<<<<<< SEARCH\nold\n=======\nnew\n>>>>>>> REPLACE", "<<<<<<< SEARCH\nold\n=======\nbetter\n>>>>>>> REPLACE"
    )
    return [
        *every(MARKS, "a conflict is resolved", CONFLICT, "<<<<<<< HEAD\nb = 2\n=======\nb = 3\n>>>>>>> topic", "b = 3", "a = 1\nb = 3\nc = 4\n"),
        *every(MARKS, "beside a conflict", CONFLICT, "c = 4", "c = 5", CONFLICT.replace("c = 4", "c = 5")),
        *every(MARKS, "an underlined title in the search", TITLE, "Title\n=======\n\nSome text.", "Title\n=======\n\nMore text.",
               TITLE.replace("Some", "More"), path="a.rst"),
        *every(MARKS, "an underlined title in the replacement", "Some text.\n", "Some text.", "Title\n=======\n\nSome text.",
               "Title\n=======\n\nSome text.\n", path="a.rst"),
        *every(MARKS, "a shorter underline", "Intro\n=====\n\nText.\n", "Intro\n=====\n\nText.", "Intro\n=====\n\nWords.", "Intro\n=====\n\nWords.\n", path="a.rst"),
        one(MARKS, "a block within a block", "search_replace", {"a.md": DOCS}, f"a.md\n{block_docs}", {"a.md": DOCS.replace("new", "better")}),
        *every(MARKS, "a block in the file", DOCS, "The end.", "Done.", DOCS.replace("The end", "Done"), path="a.md"),
        *every(MARKS, "a block is put into a file", "# Edits\n\nThe end.\n", "The end.", "<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n\nThe end.",
               "# Edits\n\n<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n\nThe end.\n", path="a.md"),
        *every(MARKS, "a fence in the search", README, "```bash\npip install tool\n```", "```bash\npipx install tool\n```",
               README.replace("pip ", "pipx "), path="README.md"),
        *every(MARKS, "a fence in the replacement", "# Tool\n\nUse it.\n", "Use it.", "```\nuse it\n```", "# Tool\n\n```\nuse it\n```\n", path="README.md"),
        *every(MARKS, "lines that look like a patch", "p = '''\n*** Begin Patch\n*** Update File: x\n'''\nq = 1\n", "q = 1", "q = 2",
               "p = '''\n*** Begin Patch\n*** Update File: x\n'''\nq = 2\n"),
        *every(MARKS, "lines that look like a diff", "--- a/x\n+++ b/x\n@@ -1 +1 @@\nend\n", "end", "END", "--- a/x\n+++ b/x\n@@ -1 +1 @@\nEND\n", path="a.txt"),
        *every(MARKS, "SQL comments", "-- old\nselect 1;\n", "-- old\nselect 1;", "-- new\nselect 2;", "-- new\nselect 2;\n", path="a.sql"),
        *every(MARKS, "plus and minus at the margin", "+ a\n- b\n  c\n", "- b", "- d", "+ a\n- d\n  c\n", path="a.txt"),
        *every(MARKS, "two pluses", "++i;\n--j;\n", "++i;\n--j;", "++i;\n--k;", "++i;\n--k;\n", path="a.c"),
        *every(MARKS, "at signs", "@@ x\n@decorated\ndef f(): pass\n", "@decorated\ndef f(): pass", "@other\ndef f(): pass", "@@ x\n@other\ndef f(): pass\n"),
        one(MARKS, "whole file with conflict marks", "whole", {"a.py": CONFLICT}, listing("a.py", CONFLICT.replace("c = 4", "c = 5")),
            {"a.py": CONFLICT.replace("c = 4", "c = 5")}),
        one(MARKS, "whole page with a fence within", "whole", {"README.md": README}, listing("README.md", README.replace("Use", "Try"), "markdown"),
            {"README.md": README.replace("Use", "Try")}),
        one(MARKS, "whole page with a bare fence within", "whole", {"README.md": "# T\n\n```\nx\n```\n\nUse it.\n"},
            listing("README.md", "# T\n\n```\ny\n```\n\nUse it.\n", "markdown"), {"README.md": "# T\n\n```\ny\n```\n\nUse it.\n"}),
        one(MARKS, "whole page in a longer fence", "whole", {"README.md": README},
            f"README.md\n````markdown\n{README.replace('Use', 'Try')}````\n", {"README.md": README.replace("Use", "Try")}),
        one(MARKS, "whole page in tildes", "whole", {"README.md": README}, f"README.md\n~~~markdown\n{README.replace('Use', 'Try')}~~~\n",
            {"README.md": README.replace("Use", "Try")}),
        one(MARKS, "whole module with a fence in its docstring", "whole", {"a.py": "x = 1\n"},
            listing("a.py", '"""Use:\n\n    ```\n    x\n    ```\n"""\nx = 2\n'), {"a.py": '"""Use:\n\n    ```\n    x\n    ```\n"""\nx = 2\n'}),
        one(MARKS, "whole page about blocks", "whole", {"a.md": DOCS}, listing("a.md", DOCS.replace("The end", "Done"), "markdown"),
            {"a.md": DOCS.replace("The end", "Done")}),
    ]


def _fences() -> list[Case]:
    files = {"src/app.py": "x = 1\ny = 2\n", "b.py": "z = 1\n"}
    done = {"src/app.py": "x = 1\ny = 3\n"}
    edit = block("y = 2", "y = 3")
    both = hunk("x = 1\ny = 2", "x = 1\ny = 3")
    whole = "x = 1\ny = 3\n"
    headings = (
        "src/app.py",
        "**src/app.py**",
        "`src/app.py`",
        "### `src/app.py`",
        "# src/app.py",
        "// src/app.py",
        "File: src/app.py",
        "src/app.py:",
        "**File: `src/app.py`**",
        "1. `src/app.py`",
        "- src/app.py",
        '"src/app.py"',
        "<!-- src/app.py -->",
        "`src/app.py` (modified)",
        "./src/app.py",
        "a/src/app.py",
        "path/to/src/app.py",
        "src\\app.py",
        "Filename: src/app.py",
        "[src/app.py]",
        "src/app.py (lines 1-2)",
    )
    cases = [
        one(FENCES, f"headed {head!r}", "search_replace", files, f"{head}\n```python\n{edit}```\n", done)
        for head in headings
    ]
    cases += [
        one(FENCES, f"headed {head!r}", "whole", files, f"{head}\n```python\n{whole}```\n", done) for head in headings
    ]
    infos = (
        "python src/app.py",
        "python:src/app.py",
        "src/app.py",
        'python title="src/app.py"',
        "python file=src/app.py",
        "py src/app.py",
        "pythonsrc/app.py",
    )
    cases += [
        one(FENCES, f"behind the fence {info!r}", "search_replace", files, f"```{info}\n{edit}```\n", done)
        for info in infos
    ]
    cases += [
        one(FENCES, f"behind the fence {info!r}", "whole", files, f"```{info}\n{whole}```\n", done) for info in infos
    ]
    for first in ("src/app.py", "# src/app.py", "# File: src/app.py", "# filename: src/app.py"):
        cases.append(one(FENCES, f"first line {first!r}", "whole", files, f"```python\n{first}\n{whole}```\n", done))
        cases.append(
            one(FENCES, f"first line {first!r}", "search_replace", files, f"```python\n{first}\n{edit}```\n", done)
        )
    return [
        *cases,
        one(FENCES, "dashes and pluses for marks", "search_replace", files, "src/app.py\n------- SEARCH\ny = 2\n=======\ny = 3\n+++++++ REPLACE\n", done),
        one(FENCES, "a name below the listing", "whole", files, f"```python\n{whole}```\n`src/app.py`\n", done),
        one(FENCES, "only a name", "whole", files, "src/app.py\n", refused=["truncated"]),
        one(FENCES, "no fence", "search_replace", files, f"src/app.py\n{edit}", done),
        one(FENCES, "longer fence", "search_replace", files, f"src/app.py\n`````python\n{edit}`````\n", done),
        one(FENCES, "tildes", "search_replace", files, f"src/app.py\n~~~\n{edit}~~~\n", done),
        one(FENCES, "wrong language", "search_replace", files, f"src/app.py\n```rust\n{edit}```\n", done),
        one(FENCES, "no closing fence", "search_replace", files, f"src/app.py\n```python\n{edit}", done),
        one(FENCES, "prose around", "search_replace", files, f"Sure! I will change it.\n\nsrc/app.py\n```python\n{edit}```\n\nNow `y` is 3. Enjoy!\n", done),
        one(FENCES, "a blank line below the name", "search_replace", files, f"src/app.py\n\n```python\n{edit}```\n", done),
        one(FENCES, "fences around both halves", "search_replace", files,
            "src/app.py\n<<<<<<< SEARCH\n```python\ny = 2\n```\n=======\n```python\ny = 3\n```\n>>>>>>> REPLACE\n", done),
        one(FENCES, "within a list", "search_replace", files, "1. Change it:\n\n   src/app.py\n   ```python\n" + "".join(f"   {row}\n" for row in edit.splitlines()) + "   ```\n", done),
        one(FENCES, "longer marks", "search_replace", files, f"src/app.py\n{edit.replace('<<<<<<<', '<<<<<<<<').replace('=======', '========').replace('>>>>>>>', '>>>>>>>>')}", done),
        one(FENCES, "the name before the mark", "search_replace", files, f"src/app.py{edit}", done),
        one(FENCES, "the name behind the mark", "search_replace", files, edit.replace("SEARCH", "SEARCH src/app.py"), done),
        one(FENCES, "a name in the sentence above", "search_replace", files, f"In `src/app.py` we change y:\n\n```python\n{edit}```\n", done),
        one(FENCES, "a name after the block", "search_replace", files, f"```python\n{edit}```\n\nThis goes into src/app.py.\n", done),
        one(FENCES, "a sample beside it", "search_replace", files, f"src/app.py\n```python\n{edit}```\n\nRun:\n```bash\npython src/app.py\n```\n", done),
        one(FENCES, "a sample beside it", "whole", files, f"src/app.py\n```python\n{whole}```\n\nRun:\n```bash\npython src/app.py\n```\n", done),
        one(FENCES, "a bare sample beside it", "whole", files, f"src/app.py\n```python\n{whole}```\n\nIt prints:\n\n```\n3\n```\n", done),
        one(FENCES, "a second closing fence", "whole", files, f"src/app.py\n```python\n{whole}```\n```\n", done),
        one(FENCES, "longer fence", "whole", files, f"src/app.py\n`````\n{whole}`````\n", done),
        one(FENCES, "within a list", "whole", files, "1. Do:\n\n   src/app.py\n   ```python\n   x = 1\n   y = 3\n   ```\n", done),
        one(FENCES, "name and fence glued", "whole", files, f"src/app.py```python\n{whole}```\n", done),
        one(FENCES, "no fence, a name above", "whole", files, f"src/app.py\n{whole}", done, refused=["malformed"]),
        one(FENCES, "no fence and prose", "whole", files, f"src/app.py\n{whole}\nI hope this helps you a lot!\n", refused=["malformed"]),
        one(FENCES, "only a closing fence", "whole", files, f"src/app.py\n{whole}```\n", done, refused=["truncated", "malformed"]),
        one(FENCES, "a comment that names the file stays", "whole", {"a.py": "# a.py\nx = 1\n"}, "a.py\n```python\n# a.py\nx = 2\n```\n", {"a.py": "# a.py\nx = 2\n"}),
        one(FENCES, "one nameless listing for one file", "whole", {"a.py": "x = 1\n"}, "```python\nx = 2\n```\n", {"a.py": "x = 2\n"}),
        one(FENCES, "one nameless listing and a sample", "whole", {"a.py": "x = 1\n"}, "```python\nx = 2\n```\n\nRun it:\n```bash\npython a.py\n```\n", {"a.py": "x = 2\n"}),
        one(FENCES, "two nameless listings", "whole", {"a.py": "x = 1\n"}, "```python\nx = 2\n```\nor\n```python\nx = 3\n```\n", refused=["ambiguous"]),
        one(FENCES, "a nameless listing for two files", "whole", files, "```python\nx = 2\n```\n", refused=["missing", "ambiguous"]),
        one(FENCES, "the same file twice", "whole", files, listing("b.py", "z = 2") + listing("b.py", "z = 3"), refused=["overlap"]),
        one(FENCES, "the same listing twice", "whole", files, listing("b.py", "z = 2") * 2, {"b.py": "z = 2\n"}),
        one(FENCES, "blocks in a whole answer", "whole", files, f"src/app.py\n```python\n{edit}```\n", done, refused=["malformed"]),
        one(FENCES, "a diff in a whole answer", "whole", files, f"```diff\n--- a/src/app.py\n+++ b/src/app.py\n@@ -1,2 +1,2 @@\n{both}```\n", done, refused=["malformed"]),
        one(FENCES, "a patch in a fence", "apply_patch", files, f"Here:\n```\n{write_edit('apply_patch', 'src/app.py', 'y = 2', 'y = 3')}```\nDone.", done),
        one(FENCES, "a patch in a here-document", "apply_patch", files, f"apply_patch <<'EOF'\n{write_edit('apply_patch', 'src/app.py', 'y = 2', 'y = 3')}EOF\n", done),
        one(FENCES, "a patch without its beginning", "apply_patch", files, write_edit("apply_patch", "src/app.py", "y = 2", "y = 3").removeprefix("*** Begin Patch\n"), done, refused=["malformed"]),
        one(FENCES, "JSON in a fence", "edit_tool", files, f"I call the tool:\n```json\n{write_edit('edit_tool', 'src/app.py', 'y = 2', 'y = 3')}\n```\n", done),
        one(FENCES, "JSON among prose with braces", "edit_tool", files, f"We use {{x}} and {{y}}.\n{write_edit('edit_tool', 'src/app.py', 'y = 2', 'y = 3')}\nDone {{z}}.", done),
        one(FENCES, "a tool call in tags", "edit_tool", files, f"<tool_call>\n{{\"name\": \"edit\", \"arguments\": {write_edit('edit_tool', 'src/app.py', 'y = 2', 'y = 3')}}}\n</tool_call>", done),
    ]


def _diffs() -> list[Case]:
    before = "def f(a):\n    b = a\n    if b:\n        return 1\n    return 2\n"
    after = before.replace("return 1", "return 9")
    files = {"app.py": before}
    head = "--- a/app.py\n+++ b/app.py\n"
    body = "     if b:\n-        return 1\n+        return 9\n     return 2\n"
    return [
        one(DIFF, "git's header", "udiff", files, f"diff --git a/app.py b/app.py\nindex 1234567..89abcde 100644\n{head}@@ -3,3 +3,3 @@ def f(a):\n{body}", {"app.py": after}),
        one(DIFF, "no hunk header", "udiff", files, f"{head}{body}", {"app.py": after}),
        one(DIFF, "a hunk header of dots", "udiff", files, f"{head}@@ ... @@\n{body}", {"app.py": after}),
        one(DIFF, "a bare hunk header", "udiff", files, f"{head}@@\n{body}", {"app.py": after}),
        one(DIFF, "wrong counts", "udiff", files, f"{head}@@ -30,9 +33,1 @@\n{body}", {"app.py": after}),
        one(DIFF, "context without its blank", "udiff", files, f"{head}@@ -3,3 +3,3 @@\n    if b:\n-        return 1\n+        return 9\n    return 2\n", {"app.py": after}),
        one(DIFF, "context at the margin without its blank", "udiff", files, f"{head}@@ -1,2 +1,2 @@\ndef f(a):\n-    b = a\n+    b = a + 1\n", {"app.py": before.replace("b = a", "b = a + 1")}),
        one(DIFF, "a blank after each sign", "udiff", {"app.py": "a = 1\nb = 2\n"}, f"{head}@@ -1,2 +1,2 @@\n a = 1\n- b = 2\n+ b = 3\n", {"app.py": "a = 1\nb = 3\n"}),
        one(DIFF, "blank context without its blank", "udiff", {"app.py": "a = 1\n\nb = 2\n"}, f"{head}@@ -1,3 +1,3 @@\n a = 1\n\n-b = 2\n+b = 3\n", {"app.py": "a = 1\n\nb = 3\n"}),
        one(DIFF, "dedented", "udiff", files, f"{head}@@ -3,3 +3,3 @@\n if b:\n-    return 1\n+    return 9\n return 2\n", {"app.py": after}),
        one(DIFF, "hunks out of order", "udiff", files, f"{head}@@ -5 +5 @@\n-    return 2\n+    return 8\n@@ -1,2 +1,2 @@\n def f(a):\n-    b = a\n+    b = 0\n", {"app.py": before.replace("return 2", "return 8").replace("b = a", "b = 0")}),
        one(DIFF, "two files", "udiff", {**files, "b.py": "x = 1\n"}, f"{head}@@ -3,3 +3,3 @@\n{body}--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n", {"app.py": after, "b.py": "x = 2\n"}),
        one(DIFF, "two files in two fences", "udiff", {**files, "b.py": "x = 1\n"}, f"```diff\n{head}@@ -3,3 +3,3 @@\n{body}```\nand\n```diff\n--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n```\n", {"app.py": after, "b.py": "x = 2\n"}),
        one(DIFF, "names without prefixes", "udiff", files, f"--- app.py\n+++ app.py\n@@ -3,3 +3,3 @@\n{body}", {"app.py": after}),
        one(DIFF, "names with a time", "udiff", files, f"--- a/app.py\t2024-01-01 10:00:00\n+++ b/app.py\t2024-01-01 10:00:01\n@@ -3,3 +3,3 @@\n{body}", {"app.py": after}),
        one(DIFF, "named above its fence", "udiff", {**files, "b.py": "x = 1\n"}, f"app.py\n```diff\n@@ -3,3 +3,3 @@\n{body}```\n", {"app.py": after}),
        one(DIFF, "no name, one file", "udiff", files, f"```diff\n@@ -3,3 +3,3 @@\n{body}```\n", {"app.py": after}),
        one(DIFF, "a new file", "udiff", files, "--- /dev/null\n+++ b/new.py\n@@ -0,0 +1,2 @@\n+x = 1\n+y = 2\n", {"new.py": "x = 1\ny = 2\n"}),
        one(DIFF, "a new file that is there", "udiff", files, "--- /dev/null\n+++ b/app.py\n@@ -0,0 +1 @@\n+x = 1\n", refused=["exists"]),
        one(DIFF, "a file goes", "udiff", {**files, "b.py": "x = 1\ny = 2\n"}, "--- a/b.py\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-x = 1\n-y = 2\n", {"b.py": None}),
        one(DIFF, "a file goes that holds more", "udiff", {**files, "b.py": "x = 1\ny = 2\nz = 3\n"}, "--- a/b.py\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-x = 1\n-y = 2\n", refused=["not_found"]),
        one(DIFF, "a file is renamed", "udiff", {"old.py": "x = 1\n"}, "diff --git a/old.py b/new.py\nsimilarity index 100%\nrename from old.py\nrename to new.py\n", {"old.py": None, "new.py": "x = 1\n"}),
        one(DIFF, "a file is renamed and changed", "udiff", {"old.py": "x = 1\ny = 2\n"}, "diff --git a/old.py b/new.py\nrename from old.py\nrename to new.py\n--- a/old.py\n+++ b/new.py\n@@ -1,2 +1,2 @@\n-x = 1\n+x = 3\n y = 2\n", {"old.py": None, "new.py": "x = 3\ny = 2\n"}),
        one(DIFF, "an insertion", "udiff", files, f"{head}@@ -2,2 +2,3 @@\n     b = a\n+    c = b\n     if b:\n", {"app.py": before.replace("b = a\n", "b = a\n    c = b\n")}),
        one(DIFF, "only additions, no place", "udiff", files, f"{head}@@ -2,0 +3 @@\n+    c = b\n", refused=["exists", "not_found", "malformed", "ambiguous"]),
        one(DIFF, "a commented line of SQL goes", "udiff", {"a.sql": "-- one\nselect 1;\n-- two\n"}, "--- a/a.sql\n+++ b/a.sql\n@@ -1,3 +1,2 @@\n--- one\n select 1;\n -- two\n", {"a.sql": "select 1;\n-- two\n"}),
        one(DIFF, "the context is of another place", "udiff", files, f"{head}@@ -3,3 +3,3 @@\n     while b:\n-        yield 7\n+        yield 8\n     return 2\n", refused=["not_found"]),
        one(DIFF, "a mode change around it", "udiff", files, f"diff --git a/app.py b/app.py\nold mode 100644\nnew mode 100755\n{head}@@ -3,3 +3,3 @@\n{body}", {"app.py": after}),
        one(DIFF, "heads within one another", "udiff", {"app.py": "class A:\n    def f(self):\n        return 1\n\nclass B:\n    def f(self):\n        return 1\n"},
            f"{head}@@ class B:\n@@     def f(self):\n-        return 1\n+        return 2\n", {"app.py": "class A:\n    def f(self):\n        return 1\n\nclass B:\n    def f(self):\n        return 2\n"}),
        one(DIFF, "a head that names another place", "udiff", {"app.py": "def f():\n    return 1\n\n\ndef g():\n    return 2\n"}, f"{head}@@ def f():\n-    return 2\n+    return 3\n", refused=["not_found"]),
        one(DIFF, "one name alone", "udiff", {**files, "b.py": "x = 1\n"}, f"--- a/app.py\n@@ -3,3 +3,3 @@\n{body}", {"app.py": after}),
        one(DIFF, "deleted below prose", "udiff", files, f"I changed one line.\n\n{head}@@ -3,3 +3,3 @@\n{body}", {"app.py": after}),
    ]


TEXTS = ("$&", "$1 $$ $`", r"\1 \g<0> \\", r"a\nb", "%s %d {0} {x}", "[a-z]+(.*)?^$", "&amp; <b> &lt;", "\\", "'\"`")


def _literal() -> list[Case]:
    cases: list[Case] = []
    for text in TEXTS:
        cases += every(
            LITERAL, f"put in {text!r}", "x = TOKEN\n", "x = TOKEN", f"x = {text}", f"x = {text}\n", path="a.txt"
        )
        cases += every(
            LITERAL, f"taken out {text!r}", f"a\nx = {text}\nb\n", f"x = {text}", "x = 1", "a\nx = 1\nb\n", path="a.txt"
        )
    cases += [
        one(LITERAL, "everywhere", "edit_tool", {"a.txt": "T and T\n"}, '{"path": "a.txt", "old_string": "T", "new_string": "$&\\\\1", "replace_all": true}',
            {"a.txt": "$&\\1 and $&\\1\n"}),
        one(LITERAL, "a line end in quotes", "edit_tool", {"a.py": 'print("a")\n'}, r'{"path": "a.py", "old_string": "print(\"a\")", "new_string": "print(\"a\\n\")"}',
            {"a.py": 'print("a\\n")\n'}),
        one(LITERAL, "whole file", "whole", {"a.txt": "x\n"}, listing("a.txt", "$& \\1 %s &lt;\n", ""), {"a.txt": "$& \\1 %s &lt;\n"}),
    ]
    assert set(LINE_FORMATS) <= {case.format for case in cases}
    return cases


CASES = [*_marks(), *_fences(), *_diffs(), *_literal()]

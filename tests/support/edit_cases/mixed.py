"""Several formats in one answer, placeholders of keys, names in tags, thoughts between other marks, and single findings of an examiner."""

# One case a line, however long.
# ruff: noqa: E501
# fmt: off

import json

from support.edit_cases.case import LINE_FORMATS, Case, block, every, listing, one, write_edit

BESIDE = "beside the edits"
KEYS = "placeholder of a key"
TAGS = "names in tags"
FOUND = "found by examination"

SUMS = "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n"
FILES = {"a.py": SUMS, "b.py": "x = 1\n"}
DONE = {"a.py": SUMS.replace("a + b", "b + a")}
SECRET = 'KEY = "sk-live-1"\nN = 1\n'
SHOWN = 'KEY = "<redacted: openai>"\nN = 1\n'
CALLS = 'import json\n\n\ndef send(path):\n    return json.dumps({"path": path, "content": 1, "changes": [{"old": path}]})\n'
BRACKETS = "import re\n\nx = re.compile(r'[(]\\\\\'')\n"
TOTALS = "class Order:\n    def tax(self):\n        return self.sum * 0.2\n\n    def total(self):\n        return self.sum + self.tax()\n"
GO = "package a\n\nfunc f() {\n\tg()\n\tif x {\n\t\th()\n\t}\n}\n"
INNER = "def outer():\n    def inner(x):\n        return x\n    return inner\n"


def _write(format: str) -> str:
    return write_edit(format, "a.py", "    return a + b", "    return b + a")


def _beside() -> list[Case]:
    return [
        *(one(BESIDE, "a new file", form, FILES, f"{_write(form)}\nlib/new.py\n```python\nz = 1\n```\n", {**DONE, "lib/new.py": "z = 1\n"}) for form in ("search_replace", "udiff", "apply_patch")),
        *(one(BESIDE, "the file before and after", form, FILES, f"Now:\n\n{listing('a.py', SUMS)}\n{_write(form)}\nThen:\n\n{listing('a.py', DONE['a.py'])}", DONE) for form in ("search_replace", "udiff", "apply_patch")),
        one(BESIDE, "a command and a use", "search_replace", FILES, f"{_write('search_replace')}\n```bash\npython a.py\n```\n\n```python\nfrom a import add\n```\n", DONE),
        one(BESIDE, "a heading that looks like a file", "search_replace", FILES, f"{_write('search_replace')}\n### Node.js\n```js\nf()\n```\n", DONE),
        one(BESIDE, "a piece of a file without its folders", "search_replace", {"src/app/main.py": SUMS}, f"{write_edit('search_replace', 'src/app/main.py', '    return a + b', '    return b + a')}\n{listing('app/main.py', 'def sub(a, b):')}",
            {"src/app/main.py": DONE["a.py"]}),
        one(BESIDE, "a piece of one of two files", "search_replace", {**FILES, "x/u.py": "p = 1\n", "y/u.py": "q = 1\n"}, f"{_write('search_replace')}\n{listing('u.py', 'p = 1')}", refused=["ambiguous"]),
        one(BESIDE, "another file, whole", "auto", FILES, f"{_write('search_replace')}\n{listing('b.py', 'x = 2')}", refused=["malformed"]),
        *(one(BESIDE, f"blocks and {other}", "auto", FILES, f"{_write('search_replace')}\n{answer}", refused=["malformed"]) for other, answer in (
            ("a patch", "*** Begin Patch\n*** Update File: b.py\n@@\n-x = 1\n+x = 2\n*** End Patch\n"), ("a diff", "```diff\n--- a/b.py\n+++ b/b.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n```\n"),
            ("a call", f"```json\n{write_edit('edit_tool', 'b.py', 'x = 1', 'x = 2')}\n```\n"))),
        one(BESIDE, "a call that nobody knows", "edit_tool", FILES, json.dumps([{"name": "delete_file", "arguments": {"path": "b.py"}}, {"name": "edit", "arguments": {"path": "a.py", "old_string": "a + b", "new_string": "b + a"}}]),
            refused=["malformed"]),
    ]


def _keys() -> list[Case]:
    return [
        *every(KEYS, "in the new text", SECRET, "N = 1", 'N = "<redacted: aws>"', refused=["redacted"]),
        *every(KEYS, "in lines that are only shown", SECRET, SHOWN[:-1], SHOWN[:-1].replace("1", "2"), refused=["redacted"]),
        *every(KEYS, "cut", SECRET, "N = 1", 'N = "<redacted: aws', refused=["redacted"]),
        *every(KEYS, "that the file holds", SHOWN, SHOWN[:-1], SHOWN[:-1].replace("N = 1", "N = 2"), SHOWN.replace("N = 1", "N = 2")),
        *every(KEYS, "other than the file holds", SHOWN, "N = 1", 'N = "<redacted: aws>"', refused=["redacted"]),
        one(KEYS, "whole", "whole", {"k.py": SECRET}, listing("k.py", SHOWN.replace("N = 1", "N = 2")), refused=["redacted"]),
        one(KEYS, "whole, held", "whole", {"k.py": SHOWN}, listing("k.py", SHOWN.replace("N = 1", "N = 2")), {"k.py": SHOWN.replace("N = 1", "N = 2")}),
        one(KEYS, "whole, escaped for HTML", "whole", {"k.ts": 'const k = "x";\nconst a: Map<string, X> = f();\n'},
            listing("k.ts", 'const k = "&lt;redacted: aws&gt;";\nconst a: Map&lt;string, X&gt; = f();\n'), refused=["redacted"]),
        one(KEYS, "new file", "whole", FILES, listing("k.py", SHOWN), refused=["redacted"]),
        one(KEYS, "added file", "apply_patch", FILES, '*** Begin Patch\n*** Add File: k.py\n+K = "<redacted: aws>"\n*** End Patch\n', refused=["redacted"]),
        one(KEYS, "function", "function", {"k.py": 'def f():\n    return "sk"\n'}, 'k.py::f\n```python\ndef f():\n    return "<redacted: aws>"\n```\n', refused=["redacted"]),
        one(KEYS, "inserted", "edit_tool", FILES, json.dumps({"command": "insert", "path": "a.py", "insert_line": 0, "new_str": "K = '<redacted: aws>'"}), refused=["redacted"]),
        one(KEYS, "escaped in JSON", "edit_tool", FILES, '{"path": "a.py", "old_string": "a + b", "new_string": "\\u003credacted: aws>"}', refused=["redacted"]),
    ]


def _tags() -> list[Case]:
    def tagged(path: str, body: str) -> str:
        return f"<replace_in_file>\n<path>{path}</path>\n<diff>\n{body}</diff>\n</replace_in_file>\n"

    edit = block("    return a + b", "    return b + a")
    return [
        one(TAGS, "a file", "search_replace", FILES, tagged("a.py", edit), DONE),
        one(TAGS, "no such file", "search_replace", {"a.py": SUMS}, tagged("lib/calc.py", edit), refused=["missing"]),
        one(TAGS, "outside", "search_replace", {"a.py": SUMS}, tagged("../a.py", edit), refused=["outside_root"]),
        one(TAGS, "a new file", "search_replace", {"a.py": SUMS}, tagged("lib/new.py", block("", "x = 1")), {"lib/new.py": "x = 1\n"}),
        one(TAGS, "quoted in JSON", "edit_tool", FILES, json.dumps({"path": '"a.py"', "old_string": "a + b", "new_string": "b + a"}), DONE),
    ]


def _thoughts() -> list[Case]:
    marks = (("<seed:think>", "</seed:think>"), ("<|begin_of_thought|>", "<|end_of_thought|>"), ("\u25c1think\u25b7", "\u25c1/think\u25b7"), ("[THINK]", "[/THINK]"))
    draft = write_edit("search_replace", "a.py", "    return a - b", "    return 0")
    return [one("reasoning", f"between {begin}", "search_replace", FILES, f"{begin}\n{draft}\n{end}\n{_write('search_replace')}", DONE) for begin, end in marks]


def _found() -> list[Case]:
    method = "def tax(self):\n    if not self.sum:\n        return 0\n    return self.sum * 0.2"
    deep = "\n".join(f"    {line}" for line in method.split("\n"))
    taxed = TOTALS.replace("        return self.sum * 0.2\n", "        if not self.sum:\n            return 0\n        return self.sum * 0.2\n")
    create, delete = "def test_create_user_ok():\n    client.post('/users', json=USER)\n    assert status == 201", "def test_delete_user_ok():\n    client.post('/users', json=USER)\n    assert status == 201"
    patched = "P = '''\n*** Begin Patch\n*** End Patch\n'''\nN = 1\n"
    return [
        *every(FOUND, "the replacement alone at the margin", TOTALS, "    def tax(self):\n        return self.sum * 0.2", method, taxed, formats=["search_replace", "edit_tool"]),
        *every(FOUND, "moved to the margin and nothing else", INNER, "    def inner(x):\n        return x", "def inner(x):\n    return x", "def outer():\ndef inner(x):\n    return x\n    return inner\n", formats=["search_replace", "edit_tool"]),
        *every(FOUND, "a test named nearly alike", f"{create}\n", delete, delete.replace("201", "204"), refused=["not_found"]),
        *every(FOUND, "blanks below a tab", GO, "\tg()", "\tif y {\n        g()\n    }", GO.replace("\tg()\n", "\tif y {\n\t\tg()\n\t}\n"), formats=["search_replace", "udiff", "apply_patch"], path="a.go"),
        *every(FOUND, "the end of a patch as context", patched, "*** End Patch\n'''\nN = 1", "*** End Patch\n'''\nN = 2", patched.replace("N = 1", "N = 2"), formats=LINE_FORMATS),
        *every(FOUND, "one line of the search a blank too shallow", TOTALS, "    def tax(self):\n       return self.sum * 0.2", "    def tax(self, rate):\n        return self.sum * 0.2", TOTALS.replace("tax(self):", "tax(self, rate):"), formats=["search_replace", "edit_tool"]),
        one(FOUND, "a diff that calls its file otherwise", "udiff", FILES, "--- a/a.py\n+++ b/lib/c.py\n@@ -1,2 +1,2 @@\n def add(a, b):\n-    return a + b\n+    return b + a\n", refused=["ambiguous"]),
        one(FOUND, "a diff cut in the name of its file", "udiff", FILES, "--- a/a.py\n+++ b", refused=["ambiguous", "truncated"]),
        one(FOUND, "a fence closed a line too early", "search_replace", FILES, "a.py\n```python\n<<<<<<< SEARCH\n    return a + b\n=======\n    return b + a\n```\n>>>>>>> REPLACE\n", DONE),
        one(FOUND, "a patch by mail", "udiff", FILES, "Subject: [PATCH] Swap\n\n---\n a.py | 2 +-\n\ndiff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n def add(a, b):\n-    return a + b\n+    return b + a\n-- \n2.40.0\n", DONE),
        one(FOUND, "a picture in a diff", "udiff", FILES, "diff --git a/x.png b/x.png\nnew file mode 100644\nindex 0..1\nBinary files /dev/null and b/x.png differ\n", refused=["binary"]),
        one(FOUND, "a diff of what looks like a call", "udiff", {"a.rs": "struct L {\n    source: u8,\n}\n"}, "```diff\n--- a/a.rs\n+++ b/a.rs\n@@ @@\n struct L {\n     source: u8,\n+    at: u8,\n }\n```\n", {"a.rs": "struct L {\n    source: u8,\n    at: u8,\n}\n"}),
        one(FOUND, "a bracket that is not where it is said to be", "search_replace", {"a.go": GO}, "a.go\n<<<<<<< SEARCH\n:start_line:4\n-------\n}\n=======\n\th()\n}\n>>>>>>> REPLACE\n", refused=["ambiguous"]),
        one(FOUND, "a bracket that is where it is said to be", "search_replace", {"a.go": GO}, "a.go\n<<<<<<< SEARCH\n:start_line:8\n-------\n}\n=======\n\th()\n}\n>>>>>>> REPLACE\n", {"a.go": GO[:-2] + "\th()\n}\n"}),
        *every(FOUND, "a protocol", "x = 1\n", "x = 1", "class P(Protocol):\n    def f(self) -> int:\n        \"\"\"Say.\"\"\"\n        ...\n\n    def g(self) -> int:\n        ...\n\n\nx = 2",
               "class P(Protocol):\n    def f(self) -> int:\n        \"\"\"Say.\"\"\"\n        ...\n\n    def g(self) -> int:\n        ...\n\n\nx = 2\n"),
        *(one(FOUND, "code that looks like a call", form, {"a.py": CALLS}, listing("a.py", CALLS.replace("1", "2")), {"a.py": CALLS.replace("1", "2")}) for form in ("whole", "auto")),
        *(one(FOUND, "a pattern with brackets", form, {"a.py": BRACKETS}, listing("a.py", BRACKETS + "y = ')'\n"), {"a.py": BRACKETS + "y = ')'\n"}) for form in ("whole", "auto")),
        one(FOUND, "a diff of a file about blocks", "auto", {"a.md": f"x\n{block('a', 'b')}y\n"}, "--- a/a.md\n+++ b/a.md\n@@ @@\n x\n-<<<<<<< SEARCH\n a\n", {"a.md": f"x\n{block('a', 'b')}y\n".replace("<<<<<<< SEARCH\n", "")}),
        one(FOUND, "a second divider", "search_replace", FILES, "a.py\n<<<<<<< SEARCH\n    return a + b\n=======\n    return b + a\n=======\n    return 0\n>>>>>>> REPLACE\n", refused=["malformed"]),
        one(FOUND, "small marks", "search_replace", FILES, _write("search_replace").replace("SEARCH", "search").replace("REPLACE", "replace"), DONE),
        one(FOUND, "marks within a call", "auto", FILES, json.dumps({"path": "b.py", "old_string": "x = 1", "new_string": 'x = "<<<<<<< SEARCH"'}), {"b.py": 'x = "<<<<<<< SEARCH"\n'}),
        one(FOUND, "a comment in JSON", "edit_tool", FILES, '{ // swap\n"path": "a.py", "old_string": "a + b", "new_string": "b + a"}', DONE),
        one(FOUND, "half a character", "edit_tool", FILES, '{"path": "a.py", "old_string": "a + b", "new_string": "\\ud83d"}', refused=["encoding"]),
        one(FOUND, "a method within its class", "function", {"o.py": TOTALS}, f"o.py::Order.tax\n```python\nclass Order:\n{deep}\n```\n", {"o.py": taxed}),
        one(FOUND, "a function among all of its file", "function", {"a.py": SUMS}, f"a.py::add\n```python\n{DONE['a.py']}```\n", DONE),
        one(FOUND, "a definition that does not parse", "function", {"a.py": f"import os\n\n\n{SUMS}"}, "a.py::add\n```python\ndef add(a, b):\n    return (a\n```\n", refused=["malformed"]),
    ]


CASES = [*_beside(), *_keys(), *_tags(), *_thoughts(), *_found()]

"""Whole files that are not what they seem: parts of one, edits, outputs, listings with numbers or marks; and such as only look suspicious."""

# One case a line, however long.
# ruff: noqa: E501
# fmt: off

from support.edit_cases.case import Case, block, listing, one, write_edit

DRESSED = "whole file in disguise"
PART = "part of a file as a whole"
LEGIT = "unusual but whole"
HOLLOW = "comment in the place of code"

SHOP = '''"""Orders."""

import logging
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass
class Line:
    sku: str
    price: float

    def total(self):
        return self.price


class Order:
    def __init__(self, lines):
        self.lines = lines

    def total(self):
        result = 0.0
        for line in self.lines:
            result += line.total()
        return result


def load(path):
    lines = []
    with open(path) as handle:
        for row in handle:
            sku, price = row.split(",")
            lines.append(Line(sku, float(price)))
    return Order(lines)


def save(order, path):
    with open(path, "w") as handle:
        for line in order.lines:
            handle.write(f"{line.sku},{line.price}")
'''
NEW = SHOP.replace("0.0", "0")
FILES = {"shop.py": SHOP}
DONE = {"shop.py": NEW}
MAKE = "CC = cc\n\nall: demo\n\ndemo: main.c\n\t$(CC) -o $@ main.c\n\nclean:\n\trm -f demo\n"
CODE = {"a.ts": "const m = new Map<string, User>();\nexport function f(x: Map<string, User>): number {\n  return x.size;\n}\n"}
YAML = "name: ci\non: push\njobs:\n  test:\n    steps:\n      - run: a\n      - run: b\n  lint:\n    steps:\n      - run: c\n"
SUMS = "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n"
OWN = "class Counter {\n  private value = 0;\n\n  more(): number {\n    this.value += 1;\n    return this.value;\n  }\n}\n"


def _numbered(sign: str) -> str:
    return "".join(sign.format(number, text) for number, text in enumerate(NEW.splitlines(True), 1))


def _dressed() -> list[Case]:
    lines = NEW.splitlines(True)
    hunk = " def add(a, b):\n-    return a + b\n+    return b + a\n \n \n def sub(a, b):\n     return a - b\n"
    return [
        *(one(DRESSED, f"numbered as {sign!r}", "whole", FILES, listing("shop.py", _numbered(sign)), DONE)
          for sign in ("{:>4}|{}", "{:>3} | {}", "{:6d}\t{}", "{}: {}", "{:6d}\u2192{}", "{}. {}", "{}) {}", "L{}: {}", "{} {}")),
        one(DRESSED, "each line with a plus", "whole", FILES, listing("shop.py", "".join(f"+{line}" for line in lines), "diff"), DONE),
        one(DRESSED, "a new file, each line with a plus", "whole", FILES, listing("b.py", "+x = 1\n+y = 2\n", "diff"), {"b.py": "x = 1\ny = 2\n"}),
        one(DRESSED, "each line quoted", "whole", FILES, listing("shop.py", "".join(f"> {line}" for line in lines)), DONE),
        one(DRESSED, "the marks of a diff", "whole", {"a.py": SUMS}, listing("a.py", hunk, "diff"), {"a.py": SUMS.replace("a + b", "b + a")}),
        one(DRESSED, "the marks of a diff, said to be Python", "whole", {"a.py": SUMS}, listing("a.py", hunk), {"a.py": SUMS.replace("a + b", "b + a")}),
        one(DRESSED, "all deeper by a level", "whole", {"a.py": SUMS}, listing("a.py", "".join(f"    {line}" if line.strip() else line for line in SUMS.replace("a + b", "b + a").splitlines(True))),
            {"a.py": SUMS.replace("a + b", "b + a")}),
        one(DRESSED, "blanks where a Makefile has tabs", "whole", {"Makefile": MAKE}, listing("Makefile", MAKE.replace("\t", "    ").replace("rm -f", "rm -rf"), "make"),
            {"Makefile": MAKE.replace("rm -f", "rm -rf")}),
        one(DRESSED, "escaped for HTML", "whole", CODE, listing("a.ts", CODE["a.ts"].replace("x.size", "x.size + 1").replace("<", "&lt;").replace(">", "&gt;")),
            {"a.ts": CODE["a.ts"].replace("x.size", "x.size + 1")}),
        one(DRESSED, "between tags", "whole", FILES, f"<write_to_file>\n<path>shop.py</path>\n<content>\n{NEW}</content>\n</write_to_file>\n", DONE),
        one(DRESSED, "between tags, with a count of lines", "whole", FILES, f"<write_to_file>\n<path>shop.py</path>\n<content>\n{NEW}</content>\n<line_count>38</line_count>\n</write_to_file>\n", DONE),
        one(DRESSED, "between tags, a new file", "whole", FILES, "<write_to_file>\n<path>lib/b.py</path>\n<content>\nx = 1\n</content>\n</write_to_file>\n", {"lib/b.py": "x = 1\n"}),
        one(DRESSED, "between tags and fences", "whole", FILES, f'<file path="shop.py">\n```python\n{NEW}```\n</file>\n', DONE),
        one(DRESSED, "between tags, cut", "whole", FILES, f"<write_to_file>\n<path>shop.py</path>\n<content>\n{NEW[:200]}\n", refused=["truncated"]),
        one(DRESSED, "between tags, outside", "whole", FILES, "<write_to_file>\n<path>../b.py</path>\n<content>\nx = 1\n</content>\n</write_to_file>\n", refused=["outside_root"]),
        one(DRESSED, "line ends escaped", "whole", FILES, listing("shop.py", NEW.replace("\n", "\\n")), refused=["malformed"]),
        one(DRESSED, "a call of a tool", "whole", {"a.py": SUMS}, f"a.py\n```json\n{write_edit('edit_tool', 'a.py', 'a + b', 'b + a')}\n```\n", {"a.py": SUMS.replace("a + b", "b + a")}),
        one(DRESSED, "marks escaped for HTML", "whole", {"a.py": SUMS}, listing("a.py", block("    return a + b", "    return b + a").replace("<", "&lt;").replace(">", "&gt;")), refused=["malformed"]),
        one(DRESSED, "a sentence behind the last line", "whole", {"a.py": SUMS}, listing("a.py", f"{SUMS}\nThis version is easier to read.\n"), refused=["malformed"]),
    ]


def _parts() -> list[Case]:
    load = NEW[NEW.index("def load"):NEW.index("def save")].replace("lines = []", "lines: list[Line] = []").rstrip()
    order = NEW[NEW.index("class Order"):NEW.index("def load")].rstrip()
    unrelated = {"a command": ("", "pip install shop\n"), "its use": ("python", "from shop import load\nprint(load('x'))\n"), "its output": ("", "3\n"),
                 "data": ("json", '{"ok": true}\n'), "a drawing": ("mermaid", "graph TD\n")}
    return [
        one(PART, "a function", "whole", FILES, listing("shop.py", load), refused=["malformed"]),
        one(PART, "a class", "whole", FILES, listing("shop.py", order), refused=["malformed"]),
        one(PART, "the imports and a function", "whole", FILES, listing("shop.py", f"import logging\n\n\n{load}"), refused=["malformed"]),
        one(PART, "one of two functions", "whole", {"a.py": SUMS}, listing("a.py", "def add(a, b):\n    return b + a"), refused=["malformed"]),
        one(PART, "a job", "whole", {"ci.yml": YAML}, listing("ci.yml", "  lint:\n    steps:\n      - run: d\n", "yaml"), refused=["malformed"]),
        one(PART, "a member of an object", "whole", {"p.json": '{\n  "name": "x",\n  "scripts": {\n    "a": "1",\n    "b": "2"\n  }\n}\n'},
            listing("p.json", '"scripts": {\n  "a": "3",\n  "b": "2"\n}\n', "json"), refused=["malformed"]),
        one(PART, "a method without its module, format not named", "auto", FILES, f"```python\n{load}\n```\n", refused=["malformed"]),
        one(PART, "cut within a line, and closed all the same", "whole", FILES, listing("shop.py", NEW[:NEW.index("result\n\n")]), refused=["truncated"]),
        one(PART, "syntax broken on the way", "whole", FILES, listing("shop.py", NEW.replace("def load(path):", "def load(path:")), refused=["truncated", "malformed"]),
        *(one(PART, f"{what}, and no name", "whole", {"a.py": SUMS}, f"You can try:\n\n```{info}\n{text}```\n", refused=["malformed"]) for what, (info, text) in unrelated.items()),
        one(PART, "what it prints, below its name in a sentence", "whole", {"a.py": SUMS}, "`a.py` prints:\n```\n3\n```\n", refused=["malformed"]),
        one(PART, "a folder's name above it", "whole", {"a.py": SUMS}, "src/\n```python\nx = 1\n```\n", refused=["malformed"]),
    ]


def _hollow() -> list[Case]:
    body = NEW[NEW.index("        result = 0"):NEW.index("def load")].rstrip()
    tails = ("load and save remain unchanged", "continue with the rest of the original code", "see original for the rest", "no changes below this line",
             "Remaining code stays as it was", "...load, save", "TODO: keep the remaining functions as they are", "code below is identical")
    bodies = ("pass  # unchanged", "# keep as is", "...  # existing code", "raise NotImplementedError  # unchanged", "# ... sum up ...", "# implementation here")
    return [
        *(one(HOLLOW, f"tail: {text}", "whole", FILES, listing("shop.py", f"{NEW[:NEW.index('def load')]}# {text}\n"), refused=["elided"]) for text in tails),
        *(one(HOLLOW, f"body: {text}", "whole", FILES, listing("shop.py", NEW.replace(body, f"        {text}")), refused=["elided"]) for text in bodies),
        one(HOLLOW, "in a block", "search_replace", FILES, write_edit("search_replace", "shop.py", body.replace(" 0\n", " 0.0\n"), "        # keep as is"), refused=["elided"]),
        one(HOLLOW, "in braces", "whole", {"a.ts": OWN}, listing("a.ts", OWN.replace("    this.value += 1;\n    return this.value;\n", "    // implementation here\n").replace("value = 0", "value = 2"), "ts"), refused=["elided"]),
        one(HOLLOW, "a comment of another kind", "whole", {"a.py": "a()\nb()\nc()\nprint('done')\n"}, listing("a.py", "# the calls moved to setup.py\nprint('done')\n"), {"a.py": "# the calls moved to setup.py\nprint('done')\n"}),
    ]


def _legit() -> list[Case]:
    whole = {
        "a loop made short": ("a.py", "def f(xs):\n    found = []\n    for x in xs:\n        found.append(x)\n    return found\n", "def f(xs):\n    return list(xs)\n"),
        "one of two functions removed": ("a.py", SUMS, "def add(a, b):\n    return a + b\n"),
        "stubs": ("a.py", SUMS, SUMS.replace("return a + b", "raise NotImplementedError").replace("return a - b", "pass")),
        "a list for a page": ("R.md", "# Steps\n\ndo a\n\ndo b\n", "1. do a\n2. do b\n"),
        "a quoted page": ("R.md", "Hello\nthere\n", "> Hello\n> there\n"),
        "data that counts": ("d.tsv", "x\ty\n", "1\ta\n2\tb\n"),
        "a diff": ("x.patch", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+c\n"),
        "marks of a block, which the file holds": ("x.txt", "<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\nend\n", "<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\nEND\n"),
        "tabs for blanks": ("a.py", SUMS, SUMS.replace("    ", "\t")),
        "entities": ("i.html", "<p>a</p>\n<p>b</p>\n", "<p>a &lt; b</p>\n<p>b</p>\n"),
        "commented JSON": ("tsconfig.json", '{\n  // why\n  "a": 1\n}\n', '{\n  // why\n  "a": 2\n}\n'),
        "Python 2": ("old.py", 'import os\nprint "a"\n', 'import os\nprint "b"\n'),
        "deeper on purpose": ("a.yml", "a: 1\nb: 2\n", "root:\n  a: 1\n  b: 2\n"),
        "a facade": ("shop.py", SHOP, '"""Moved."""\n\nfrom shop_orders import Order, load, save  # noqa: F401\n'),
    }
    return [
        *(one(LEGIT, name, "whole", {path: before}, listing(path, after, ""), {path: after}) for name, (path, before, after) in whole.items()),
        one(LEGIT, "unnamed and much changed", "whole", {"a.py": SUMS}, f"```python\n{SUMS.replace('(a, b):', '(a: int, b: int) -> int:')}```\n", {"a.py": SUMS.replace("(a, b):", "(a: int, b: int) -> int:")}),
    ]


CASES = [*_dressed(), *_parts(), *_hollow(), *_legit()]

"""Indentation: a block that stands at another depth, or in another unit, lands where its match stands."""

# One case a line, however long.
# ruff: noqa: E501
# fmt: off

from support.edit_cases.case import Case, every, one

KIND = "indentation"
TYPING = "near match"

CLASS = "class Cart:\n    def total(self):\n        amount = 0\n        for item in self.items:\n            amount += item.price\n        return amount\n"
TABS = CLASS.replace("    ", "\t")
TWO = CLASS.replace("    ", "  ")


def _indentation() -> list[Case]:
    old = "for item in self.items:\n    amount += item.price\nreturn amount"
    new = "for item in self.items:\n    if item.active:\n        amount += item.price\nreturn amount"
    deep = "        for item in self.items:\n            amount += item.price\n        return amount"
    deep_new = "        for item in self.items:\n            if item.active:\n                amount += item.price\n        return amount"
    after = CLASS.replace(
        "            amount += item.price", "            if item.active:\n                amount += item.price"
    )
    method = "def total(self):"
    added = "def count(self):\n    return len(self.items)\n\ndef total(self):"
    with_count = CLASS.replace("    def total", "    def count(self):\n        return len(self.items)\n\n    def total")
    return [
        *every(KIND, "dedented to the margin", CLASS, old, new, after),
        *every(KIND, "exact depth", CLASS, deep, deep_new, after),
        *every(KIND, "dedented, tabs in the file", TABS, old, new, after.replace("    ", "\t")),
        *every(KIND, "blanks for tabs", TABS, deep, deep_new, after.replace("    ", "\t")),
        *every(KIND, "tabs for blanks", CLASS, deep.replace("    ", "\t"), deep_new.replace("    ", "\t"), after),
        *every(KIND, "four for two", TWO, deep, deep_new, after.replace("    ", "  ")),
        *every(KIND, "two for four", CLASS, deep.replace("    ", "  "), deep_new.replace("    ", "  "), after),
        *every(KIND, "four for two, dedented", TWO, old, new, after.replace("    ", "  ")),
        *every(KIND, "too deep", CLASS, deep.replace("        ", "            ", 1).replace("\n        ", "\n            "),
               deep_new.replace("        ", "            ", 1).replace("\n        ", "\n            "), after),
        *every(KIND, "one blank too many", CLASS, "         amount = 0", "         amount = 1", CLASS.replace("amount = 0", "amount = 1")),
        *every(KIND, "an insertion lands at the depth of the match", CLASS, method, added, with_count),
        *every(KIND, "an insertion into a file with tabs", TABS, method, added, with_count.replace("    ", "\t")),
        *every(KIND, "an insertion into a file with two blanks", TWO, method, added, with_count.replace("    ", "  ")),
        *every(KIND, "an insertion below a dedented line", CLASS, "amount = 0", "amount = 0\ncount = 0",
               CLASS.replace("amount = 0", "amount = 0\n        count = 0")),
        *every(KIND, "only the first line is dedented", CLASS, "def total(self):\n        amount = 0", "def total(self):\n        amount = 1",
               CLASS.replace("amount = 0", "amount = 1")),
        *every(KIND, "only the first line is dedented, the second as deep", CLASS, "for item in self.items:\n            amount += item.price\n        return amount",
               "for item in self.stock:\n            amount += item.price\n        return amount", CLASS.replace("in self.items", "in self.stock")),
        *every(KIND, "only the search is dedented", CLASS, old, deep_new, after),
        *every(KIND, "only the search is too deep", CLASS, "            amount = 0\n            for item in self.items:", "        amount = 1\n        for item in self.items:",
               CLASS.replace("amount = 0", "amount = 1")),
        *every(KIND, "a dedented line is wrapped", CLASS, "return amount", "if amount:\n    return amount", CLASS.replace("        return amount", "        if amount:\n            return amount")),
        one(KIND, "a blank line before the old text only", "edit_tool", {"app.py": CLASS},
            '{"path": "app.py", "old_string": "\\n        return amount", "new_string": "        log(amount)\\n        return amount"}',
            {"app.py": CLASS.replace("        return", "        log(amount)\n        return")}),
        one(KIND, "two lines become one", "edit_tool", {"a.js": "x = items\n    .map(f);\n"}, '{"path": "a.js", "old_string": "\\n    .map(f)", "new_string": ".map(f)"}',
            {"a.js": "x = items.map(f);\n"}),
        one(KIND, "half the indentation", "edit_tool", {"app.py": CLASS}, '{"path": "app.py", "old_string": "    return amount", "new_string": "    log(amount)\\n    return amount"}',
            {"app.py": CLASS.replace("        return", "        log(amount)\n        return")}),
        *every(KIND, "lines to the left of a block that was moved", CLASS, "            amount = 0", "            amount = 1\n        # out\n            # in",
               CLASS.replace("amount = 0", "amount = 1\n    # out\n        # in")),
        *every(KIND, "a dedented block loses its first line", "class A:\n    def f(self):\n        return 1\n\n    x = 2\n", "def f(self):\n    return 1\n\nx = 2", "    return 1\n\nx = 2",
               "class A:\n        return 1\n\n    x = 2\n"),
        *every(KIND, "a line before a block whose first line is dedented", CLASS, "for item in self.items:\n            amount += item.price",
               "count = 0\n        for item in self.items:\n            amount += item.price", CLASS.replace("        for", "        count = 0\n        for")),
        *every(KIND, "the same words at two depths", "if a:\n    x = 1\nif b:\n    if c:\n        x = 1\n", "x = 1", "x = 2",
               refused=["ambiguous"]),
        *every(KIND, "the exact depth decides", "if a:\n    x = 1\nif b:\n    if c:\n        x = 1\n", "    x = 1\nif b:", "    x = 2\nif b:",
               "if a:\n    x = 2\nif b:\n    if c:\n        x = 1\n"),
        *every(KIND, "another shape is another block", "if a:\n    x = 1\n    y = 2\n", "if a:\n    x = 1\ny = 2", "if a:\n    x = 1\ny = 3",
               refused=["not_found"]),
        *every(KIND, "a blank line within stays bare", CLASS, "amount = 0\nfor item in self.items:",
               "amount = 0\n\nfor item in self.items:", CLASS.replace("amount = 0\n", "amount = 0\n\n")),
        *every(KIND, "a Makefile keeps its tabs", "all:\n\tcc a.c\n", "all:\n    cc a.c", "all:\n    cc a.c\n    cc b.c",
               "all:\n\tcc a.c\n\tcc b.c\n", path="Makefile"),
        *every(KIND, "new lines below a line that needs no indentation", "all:\n\tcc a.c\n\nclean:\n\trm a\n", "clean:",
               "clean:\n    rm b", "all:\n\tcc a.c\n\nclean:\n\trm b\n\trm a\n", path="Makefile"),
        *every(KIND, "braces", "class A {\n    void f() {\n        g();\n    }\n}\n", "void f() {\n    g();\n}",
               "void f() {\n    g();\n    h();\n}", "class A {\n    void f() {\n        g();\n        h();\n    }\n}\n", path="A.java"),
        *every(KIND, "nested YAML", "a:\n  b:\n    c: 1\n", "b:\n  c: 1", "b:\n  c: 1\n  d: 2", "a:\n  b:\n    c: 1\n    d: 2\n",
               path="a.yaml"),
    ]


LONG = "def load_settings(path):\n    # Read the settings from disk\n    with open(path) as stream:\n        content = stream.read()\n    return parse(content)\n"


def _near() -> list[Case]:
    twice = LONG + "\n\n" + LONG.replace("load_settings", "load_setting2").replace("settings", "sets")
    return [
        *every(TYPING, "a typing error in a comment", LONG,
               "def load_settings(path):\n    # Read teh settings from disk\n    with open(path) as stream:\n        content = stream.read()\n    return parse(content)",
               "def load_settings(path):\n    # Read teh settings from disk\n    with open(path) as stream:\n        content = stream.read()\n    return parse(content, path)",
               [LONG.replace("parse(content)", "parse(content, path)"),
                LONG.replace("parse(content)", "parse(content, path)").replace("Read the", "Read teh")]),
        *every(TYPING, "a typing error in a name", LONG,
               "def load_settings(path):\n    # Read the settings from disk\n    with open(path) as stream:\n        contnet = stream.read()\n    return parse(content)",
               "def load_settings(path):\n    # Read the settings from disk\n    with open(path) as stream:\n        content = stream.read(9)\n    return parse(content)",
               LONG.replace("read()", "read(9)")),
        *every(TYPING, "a typing error in one long line", "total_amount = compute_total(items, discount)\n",
               "total_amount = compute_totla(items, discount)", "total_amount = compute_total(items, 0)",
               "total_amount = compute_total(items, 0)\n"),
        *every(TYPING, "two places alike", twice,
               "    # Read the setings from disk\n    with open(path) as stream:\n        content = stream.read()",
               "    # Read the settings from disk\n    with open(path) as stream:\n        content = stream.readline()",
               refused=["ambiguous", "not_found"]),
        *every(TYPING, "too far away", LONG, "def read_configuration(file):\n    data = file.load()\n    return data",
               "def read_configuration(file):\n    return file.load()", refused=["not_found"]),
        *every(TYPING, "another number", "timeout_in_seconds = 30\nretries_before_failure = 4\n", "timeout_in_seconds = 60", "timeout_in_seconds = 90",
               refused=["not_found"]),
        *every(TYPING, "another operator", "if amount_of_items <= maximum_amount:\n    accept(items)\n", "if amount_of_items >= maximum_amount:\n    accept(items)",
               "if amount_of_items >= maximum_amount:\n    reject(items)", refused=["not_found"]),
        *every(TYPING, "another name of the file", "def area_of_circle(radius):\n    return radius\n\n\nlength_of_sphere = 1\n",
               "def area_of_sphere(radius):\n    return radius", "def area_of_sphere(radius):\n    return 2 * radius", refused=["not_found"]),
        *every(TYPING, "a line of the file that the answer never saw", LONG + "x = 1\n",
               "def load_settings(path):\n    # Read the settings from disk\n    with open(path) as stream:\n    return parse(content)",
               "def load_settings(path):\n    return None", refused=["not_found"]),
        *every(TYPING, "a line is missing that the replacement shows", LONG,
               "def load_settings(path):\n    with open(path) as stream:\n        content = stream.read()\n    return parse(content)",
               "def load_settings(path, mode):\n    # Read the settings from disk\n    with open(path) as stream:\n        content = stream.read()\n    return parse(content)",
               LONG.replace("(path):\n", "(path, mode):\n", 1), refused=["not_found"]),
        *every(TYPING, "new lines beside a line that was not shown", LONG,
               "def load_settings(path):\n    with open(path) as stream:\n        content = stream.read()\n    return parse(content)",
               "def load_settings(path):\n    check(path)\n    with open(path) as stream:\n        content = stream.read()\n    return parse(content)", refused=["not_found"]),
        *every(TYPING, "nothing like it", LONG, "class Unrelated(Thing):\n    zzz = 5", "class Unrelated(Thing):\n    zzz = 6", refused=["not_found"]),
        one(TYPING, "already done", "search_replace", {"app.py": "def f():\n    return 2\n"},
            "app.py\n<<<<<<< SEARCH\ndef f():\n    return 1\n=======\ndef f():\n    return 2\n>>>>>>> REPLACE\n", refused=["not_found", "no_op"]),
    ]


CASES = [*_indentation(), *_near()]

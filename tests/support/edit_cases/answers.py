"""Reasoning, formats nobody named, and definitions rewritten by name."""

# One case a line, however long.
# ruff: noqa: E501
# fmt: off

from support.edit_cases.case import LINE_FORMATS, Case, block, listing, one, write_edit

THOUGHT = "reasoning"
AUTO = "format not named"
BY_NAME = "function"

BEFORE = "x = 1\ny = 2\n"
AFTER = "x = 1\ny = 3\n"
FILES = {"app.py": BEFORE, "b.py": "z = 1\n"}
DONE = {"app.py": AFTER}
ALL = (*LINE_FORMATS, "whole")

SHOP = '''import os


@cached
def price(item):
    """The price."""
    return item.cost


class Cart:
    # What is in it, summed up.
    def total(self):
        return sum(self.items)

    @property
    def empty(self):
        return not self.items


class Order:
    def total(self):
        return 0
'''


def _write(format: str, old: str, new: str, path: str = "app.py") -> str:
    return listing(path, AFTER) if format == "whole" else write_edit(format, path, old, new)


def _reasoning() -> list[Case]:
    cases: list[Case] = []
    for format in ALL:
        good = _write(format, "y = 2", "y = 3")
        bad = write_edit(format, "b.py", "z = 1", "z = 7") if format != "whole" else listing("b.py", "z = 7\n")
        cases += [
            one(
                THOUGHT, "an edit in thoughts", format, FILES, f"<think>\nMaybe:\n{bad}\nNo.\n</think>\n\n{good}", DONE
            ),
            one(THOUGHT, "thoughts in one line", format, FILES, f"<think>I change y.</think>\n{good}", DONE),
            one(
                THOUGHT, "thoughts without a beginning", format, FILES, f"Maybe:\n{bad}\nNo.\n</think>\n\n{good}", DONE
            ),
            one(
                THOUGHT,
                "thoughts without an end",
                format,
                FILES,
                f"<think>\nMaybe:\n{good}",
                refused=["malformed", "truncated"],
            ),
            one(THOUGHT, "only thoughts", format, FILES, f"<thinking>\n{good}\n</thinking>\n", refused=["malformed"]),
        ]
    good = _write("search_replace", "y = 2", "y = 3")
    bad = write_edit("search_replace", "b.py", "z = 1", "z = 7")
    cases += [
        one(THOUGHT, "in brackets", "search_replace", FILES, f"[THINK]\n{bad}\n[/THINK]\n{good}", DONE),
        one(THOUGHT, "with a remark in the mark", "search_replace", FILES, f'<think time="3">\n{bad}\n</think>\n{good}', DONE),
        one(THOUGHT, "in a channel", "search_replace", FILES, f"<|channel|>analysis<|message|>{bad}<|end|><|start|>assistant<|channel|>final<|message|>{good}<|return|>", DONE),
    ]
    tags = "a = '''\n<think>\nold\n</think>\n'''\n"
    cases += [
        one(THOUGHT, "such marks in the file", "search_replace", {"app.py": tags}, f"app.py\n```\n{block(chr(10).join(['<think>', 'old', '</think>']), chr(10).join(['<think>', 'new', '</think>']))}```\n",
            {"app.py": tags.replace("old", "new")}),
        one(THOUGHT, "such marks in a listing", "whole", {"app.py": tags}, listing("app.py", tags.replace("old", "new")), {"app.py": tags.replace("old", "new")}),
    ]
    return cases


def _auto() -> list[Case]:
    cases = [one(AUTO, format, "auto", FILES, _write(format, "y = 2", "y = 3"), DONE) for format in ALL]
    cases += [
        one(
            AUTO,
            f"{format} with prose",
            "auto",
            FILES,
            f"Of course.\n\n{_write(format, 'y = 2', 'y = 3')}\n\nDone.\n",
            DONE,
        )
        for format in ALL
    ]
    cases += [
        one(
            AUTO,
            f"{said} said, {written} written",
            said,
            FILES,
            _write(written, "y = 2", "y = 3"),
            DONE,
            refused=["malformed"],
        )
        for said in LINE_FORMATS
        for written in LINE_FORMATS
        if said != written
    ]
    return [
        *cases,
        one(AUTO, "function", "auto", {"a.py": SHOP}, "a.py::Order.total\n```python\ndef total(self):\n    return 1\n```\n", {"a.py": SHOP.replace("return 0", "return 1")}),
        one(AUTO, "a page about patches", "auto", {"a.md": "# P\n"}, "a.md\n````markdown\n# P\n\n*** Begin Patch\n*** Add File: x\n+y\n*** End Patch\n````\n",
            {"a.md": "# P\n\n*** Begin Patch\n*** Add File: x\n+y\n*** End Patch\n"}),
        one(AUTO, "a settings file", "auto", {"a.json": '{"old": 1}\n'}, 'a.json\n```json\n{"old": 2, "new": 3}\n```\n', {"a.json": '{"old": 2, "new": 3}\n'}),
    ]


def _functions() -> list[Case]:
    files = {"shop.py": SHOP, "b.py": "z = 1\n"}

    def said(name: str, answer: str, changed: object = (), refused: object = ()) -> Case:
        return one(BY_NAME, name, "function", files, answer, changed, refused=refused)  # type: ignore[arg-type]

    order = {"shop.py": SHOP.replace("return 0", "return 1")}
    return [
        said("by class and name", "shop.py::Order.total\n```python\ndef total(self):\n    return 1\n```\n", order),
        said("by class and name, indented", "shop.py::Order.total\n```python\n    def total(self):\n        return 1\n```\n", order),
        said("behind the fence", "```python shop.py::Order.total\ndef total(self):\n    return 1\n```\n", order),
        said("a heading with decoration", "### `shop.py::Order.total`\n```python\ndef total(self):\n    return 1\n```\n", order),
        said("a name two classes have", "shop.py::total\n```python\ndef total(self):\n    return 1\n```\n", refused=["ambiguous"]),
        said("a name nobody has", "shop.py::Order.sum\n```python\ndef sum(self):\n    return 1\n```\n", refused=["not_found"]),
        said("another name in the source", "shop.py::Order.total\n```python\ndef tally(self):\n    return 1\n```\n", refused=["malformed"]),
        said("a decorator that is not repeated stays", "shop.py::price\n```python\ndef price(item):\n    return 5\n```\n",
             {"shop.py": SHOP.replace('    """The price."""\n    return item.cost', "    return 5")}),
        said("a decorator that is repeated", "shop.py::price\n```python\n@cached\ndef price(item):\n    return 5\n```\n",
             {"shop.py": SHOP.replace('    """The price."""\n    return item.cost', "    return 5")}),
        said("another decorator", "shop.py::price\n```python\n@fresh\ndef price(item):\n    return 5\n```\n",
             {"shop.py": SHOP.replace('@cached\ndef price(item):\n    """The price."""\n    return item.cost', "@fresh\ndef price(item):\n    return 5")}),
        said("the comment above is repeated", "shop.py::Cart.total\n```python\n# What is in it, summed up.\ndef total(self):\n    return 3\n```\n", {"shop.py": SHOP.replace("sum(self.items)", "3")}),
        said("a class", "shop.py::Order\n```python\nclass Order:\n    pass\n```\n", {"shop.py": SHOP.replace("class Order:\n    def total(self):\n        return 0", "class Order:\n    pass")}),
        said("the source says which", "shop.py\n```python\ndef price(item):\n    return 5\n```\n", {"shop.py": SHOP.replace('    """The price."""\n    return item.cost', "    return 5")}),
        said("the body is left out", "shop.py::Order.total\n```python\ndef total(self):\n    # ... existing code ...\n```\n", refused=["elided"]),
        said("the listing is cut", "shop.py::Order.total\n```python\ndef total(self):\n    return", refused=["truncated"]),
        said("the listing is empty", "shop.py::Order.total\n```python\n```\n", refused=["truncated"]),
        said("no such file", "ghost.py::Order.total\n```python\ndef total(self):\n    return 1\n```\n", refused=["missing"]),
        said("two at once", "shop.py::Order.total\n```python\ndef total(self):\n    return 1\n```\n\nshop.py::Cart.total\n```python\ndef total(self):\n    return 3\n```\n",
             {"shop.py": SHOP.replace("return 0", "return 1").replace("sum(self.items)", "3")}),
        one(BY_NAME, "CRLF", "function", {"shop.py": SHOP.replace("\n", "\r\n")}, "shop.py::Order.total\n```python\ndef total(self):\n    return 1\n```\n",
            {"shop.py": SHOP.replace("return 0", "return 1").replace("\n", "\r\n")}),
        one(BY_NAME, "tabs", "function", {"shop.py": SHOP.replace("    ", "\t")}, "shop.py::Order.total\n```python\ndef total(self):\n    return 1\n```\n",
            {"shop.py": SHOP.replace("return 0", "return 1").replace("    ", "\t")}),
        one(BY_NAME, "by JSON", "edit_tool", files, '{"path": "shop.py", "symbol": "Order.total", "source": "def total(self):\\n    return 1\\n"}', order),
    ]


CASES = [*_reasoning(), *_auto(), *_functions()]

"""JSON as models break it, in calls of an edit tool."""

# One case a line, however long.
# ruff: noqa: E501
# fmt: off

import json

from support.edit_cases.case import Case, one

KIND = "JSON damage"

BEFORE = 'def greet(name):\n    print("hello")\n    return name\n'
AFTER = BEFORE.replace('"hello"', '"bye"')
FILES = {"app.py": BEFORE, "b.py": "z = 1\n"}
CHANGED = {"app.py": AFTER}
OLD, NEW = 'def greet(name):\n    print("hello")', 'def greet(name):\n    print("bye")'
GOOD = json.dumps({"path": "app.py", "old_string": OLD, "new_string": NEW})

SHAPES = {
    "plain": GOOD,
    "a list": f"[{GOOD}]",
    "edits of one path": json.dumps({"path": "app.py", "edits": [{"old_string": OLD, "new_string": NEW}]}),
    "edits with a path each": json.dumps({"edits": [{"path": "app.py", "old_string": OLD, "new_string": NEW}]}),
    "a call": json.dumps({"name": "edit_file", "arguments": {"path": "app.py", "old_string": OLD, "new_string": NEW}}),
    "a call with encoded arguments": json.dumps({"name": "edit_file", "arguments": GOOD}),
    "a call in OpenAI's form": json.dumps({"id": "1", "type": "function", "function": {"name": "edit", "arguments": GOOD}}),
    "a list of calls": json.dumps({"tool_calls": [{"function": {"name": "edit", "arguments": GOOD}}]}),
    "Anthropic's form": json.dumps({"type": "tool_use", "name": "edit", "input": {"path": "app.py", "old_str": OLD, "new_str": NEW}}),
    "str_replace": json.dumps({"command": "str_replace", "path": "app.py", "old_str": OLD, "new_str": NEW}),
    "camel case": json.dumps({"filePath": "app.py", "oldString": OLD, "newString": NEW}),
    "search and replace": json.dumps({"file": "app.py", "search": OLD, "replace": NEW}),
    "edits that are encoded": json.dumps({"path": "app.py", "edits": json.dumps([{"old_string": OLD, "new_string": NEW}])}),
    "encoded twice": json.dumps(GOOD),
    "encoded twice, without the outer quotes": json.dumps(GOOD)[1:-1],
    "lists of lines": json.dumps({"path": "app.py", "old_string": OLD.split("\n"), "new_string": NEW.split("\n")}),
    "other names beside": json.dumps({"path": "app.py", "old_string": OLD, "new_string": NEW, "explanation": "it is nicer"}),
    "trailing comma": GOOD[:-1] + ",}",
    "trailing commas in a list": f"[{GOOD[:-1]},}},]",
    "raw line ends": GOOD.replace("\\n", "\n"),
    "raw line ends and tabs around": "{\n\t\"path\": \"app.py\",\n\t\"old_string\": \"def greet(name):\n    print(\\\"hello\\\")\",\n\t\"new_string\": \"def greet(name):\n    print(\\\"bye\\\")\"\n}",
    "single quotes": "{'path': 'app.py', 'old_string': 'def greet(name):\\n    print(\"hello\")', 'new_string': 'def greet(name):\\n    print(\"bye\")'}",
    "names without quotes": GOOD.replace('"path"', "path").replace('"old_string"', "old_string").replace('"new_string"', "new_string"),
    "quotes within not escaped": GOOD.replace('\\"', '"'),
    "quotes within not escaped, raw line ends": GOOD.replace('\\"', '"').replace("\\n", "\n"),
    "a missing comma": GOOD.replace('", "new_string"', '" "new_string"'),
    "a missing comma and a line end": GOOD.replace('", "new_string"', '"\n"new_string"'),
    "comments": GOOD.replace('"old_string"', '// the old text\n"old_string"'),
    "curly quotes around": GOOD.replace('"path": "app.py"', "“path”: “app.py”"),
    "three quotes": '{"path": "app.py", "old_string": """def greet(name):\n    print("hello")""", "new_string": """def greet(name):\n    print("bye")"""}',
    "back-ticks": '{"path": "app.py", "old_string": `def greet(name):\n    print("hello")`, "new_string": `def greet(name):\n    print("bye")`}',
    "escaped once more": json.dumps({"path": "app.py", "old_string": OLD.replace("\n", "\\n"), "new_string": NEW.replace("\n", "\\n")}),
    "quotes and line ends escaped once more": json.dumps({"path": "app.py", "old_string": OLD.replace("\n", "\\n").replace('"', '\\"'), "new_string": NEW.replace("\n", "\\n").replace('"', '\\"')}),
    "a word before it": f"edit_file({GOOD})",
    "in a fence with prose": f"I will do it.\n\n```json\n{GOOD}\n```\n\nDone.",
    "two fences, one of them not JSON": f"```python\nprint(1)\n```\n```json\n{GOOD}\n```",
    "the constants of Python": GOOD[:-1] + ', "replace_all": False, "note": None}',
    "a number as text": GOOD[:-1] + ', "expected_replacements": "1"}',
}


def _backslashes() -> list[Case]:
    regex = 'PATTERN = r"\\d+\\s*"\nLINE = "a\\nb"\n'
    files = {"app.py": regex}
    return [
        one(KIND, "backslashes not escaped", "edit_tool", files, r'{"path": "app.py", "old_string": "PATTERN = r\"\d+\s*\"", "new_string": "PATTERN = r\"\d*\s*\""}', {"app.py": regex.replace("+", "*")}),
        one(KIND, "backslashes escaped", "edit_tool", files, r'{"path": "app.py", "old_string": "PATTERN = r\"\\d+\\s*\"", "new_string": "PATTERN = r\"\\d*\\s*\""}', {"app.py": regex.replace("+", "*")}),
        one(KIND, "an escape of the source, escaped", "edit_tool", files, r'{"path": "app.py", "old_string": "LINE = \"a\\nb\"", "new_string": "LINE = \"a\\nc\""}', {"app.py": regex.replace("nb", "nc")}),
        one(KIND, "an escape of the source, not escaped", "edit_tool", files, r'{"path": "app.py", "old_string": "LINE = \"a\nb\"", "new_string": "LINE = \"a\nc\""}', {"app.py": regex.replace("nb", "nc")}, refused=["not_found"]),
        one(KIND, "a Windows path", "edit_tool", {"app.py": "p = 'C:\\temp\\x'\n"}, r"""{"path": "app.py", "old_string": "p = 'C:\\temp\\x'", "new_string": "p = 'D:\\temp\\x'"}""", {"app.py": "p = 'D:\\temp\\x'\n"}),
        one(KIND, "letters by their numbers", "edit_tool", {"app.py": "s = 'é🎉'\n"}, '{"path": "app.py", "old_string": "s = \'\\u00e9\\ud83c\\udf89\'", "new_string": "s = \'\\u00e8\'"}', {"app.py": "s = 'è'\n"}),
    ]


def _bad() -> list[Case]:
    return [
        one(KIND, "a name twice", "edit_tool", FILES, '{"path": "b.py", "old_string": "z = 1", "new_string": "z = 2", "new_string": "z = 3"}', refused=["malformed"]),
        one(KIND, "a number where text belongs", "edit_tool", FILES, '{"path": "b.py", "old_string": 1, "new_string": "z = 3"}', refused=["malformed"]),
        one(KIND, "null where text belongs", "edit_tool", FILES, '{"path": "b.py", "old_string": "z = 1", "new_string": null}', refused=["malformed"]),
        one(KIND, "an empty list", "edit_tool", FILES, '{"path": "b.py", "edits": []}', refused=["malformed", "no_op"]),
        one(KIND, "another tool", "edit_tool", FILES, '{"name": "read_file", "arguments": {"path": "b.py"}}', refused=["malformed"]),
        one(KIND, "one of two is broken", "edit_tool", FILES, '[{"path": "b.py", "old_string": "z = 1", "new_string": "z = 2"}, {"path": "app.py", "old_string": "def greet"}]', refused=["malformed"]),
        one(KIND, "one is good, the next is cut", "edit_tool", FILES, '{"path": "b.py", "old_string": "z = 1", "new_string": "z = 2"}\n{"path": "app.py", "old_string": "def gr', refused=["truncated"]),
        one(KIND, "insert", "edit_tool", FILES, '{"command": "insert", "path": "b.py", "insert_line": 1, "new_str": "y = 2"}', {"b.py": "z = 1\ny = 2\n"}),
        one(KIND, "insert before all", "edit_tool", FILES, '{"command": "insert", "path": "b.py", "insert_line": 0, "insert_text": "y = 2\\n"}', {"b.py": "y = 2\nz = 1\n"}),
        one(KIND, "insert after the end", "edit_tool", FILES, '{"command": "insert", "path": "b.py", "insert_line": 9, "new_str": "y = 2"}', refused=["not_found"]),
    ]


CASES = [
    *(one(KIND, name, "edit_tool", FILES, answer, CHANGED) for name, answer in SHAPES.items()),
    *_backslashes(),
    *_bad(),
]

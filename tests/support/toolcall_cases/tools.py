"""The tools coding agents offer, as far as their schemas matter: six clients, each with its own names and turns."""

from fireside.core.messages import JsonSchema, Message, ToolSpec
from fireside.core.requests import ChatRequest

TEXT: JsonSchema = {"type": "string"}
DRAFT7 = "http://json-schema.org/draft-07/schema#"


def tool(name: str, required: dict[str, object], optional: dict[str, object] | None = None, **more: object) -> ToolSpec:
    properties = {**required, **(optional or {})}
    return ToolSpec(
        name, f"{name} of an agent", {"type": "object", "properties": properties, "required": list(required), **more}
    )


CODEX = (
    tool(
        "shell",
        {"command": {"type": "array", "items": TEXT}},
        {"workdir": TEXT, "timeout_ms": {"type": "number"}, "with_escalated_permissions": {"type": "boolean"}},
        additionalProperties=False,
    ),
    tool("apply_patch", {"input": TEXT}, additionalProperties=False),
    tool(
        "update_plan",
        {
            "plan": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"step": TEXT, "status": {"enum": ["pending", "in_progress", "completed"]}},
                    "required": ["step", "status"],
                    "additionalProperties": False,
                },
            }
        },
        {"explanation": TEXT},
        additionalProperties=False,
    ),
    tool("write_file", {"path": TEXT, "content": TEXT}, additionalProperties=False),
)
OPENCODE = (
    tool("bash", {"command": TEXT, "description": TEXT}, {"timeout": {"type": "number"}}, **{"$schema": DRAFT7}),
    tool(
        "edit",
        {"filePath": TEXT, "oldString": TEXT, "newString": TEXT},
        {"replaceAll": {"type": "boolean"}},
        additionalProperties=False,
        **{"$schema": DRAFT7},
    ),
    tool("write", {"filePath": TEXT, "content": TEXT}, additionalProperties=False, **{"$schema": DRAFT7}),
    tool("read", {"filePath": TEXT}, {"offset": {"type": "number"}, "limit": {"type": "number"}}),
    tool("todowrite", {"todos": {"type": "array", "items": {"type": "object"}}}),
)
QWEN_CODE = (
    tool("write_file", {"file_path": TEXT, "content": TEXT}),
    tool("read_file", {"absolute_path": TEXT}, {"offset": {"type": "number"}, "limit": {"type": "number"}}),
    tool("run_shell_command", {"command": TEXT, "is_background": {"type": "boolean"}}, {"directory": TEXT}),
    tool("list_directory", {"path": TEXT}, {"ignore": {"type": "array", "items": TEXT}}),
    tool(
        "edit", {"file_path": TEXT, "old_string": TEXT, "new_string": TEXT}, {"expected_replacements": {"minimum": 1}}
    ),
)
CLAUDE_CODE = (
    tool("Bash", {"command": TEXT}, {"timeout": {"type": "number"}, "run_in_background": {"type": "boolean"}}),
    tool("Write", {"file_path": TEXT, "content": TEXT}, additionalProperties=False, **{"$schema": DRAFT7}),
    tool("Read", {"file_path": TEXT}, {"offset": {"type": "integer"}, "limit": {"type": "integer"}}),
    tool("Glob", {"pattern": TEXT}, {"path": {"anyOf": [TEXT, {"type": "null"}]}}),
    tool("mcp__github__create_issue", {"title": TEXT, "body": TEXT}, {"labels": {"type": "array", "items": TEXT}}),
)
CONTINUE = (
    tool("create_new_file", {"filepath": TEXT, "contents": TEXT}),
    tool("read_file", {"filepath": TEXT}),
    tool("run_terminal_command", {"command": TEXT}, {"waitForCompletion": {"type": "boolean"}}),
    tool("list_files", {}, {"recursive": {"type": "boolean"}}),
)
NANOCODER = (
    tool("write_file", {"path": TEXT, "content": TEXT}),
    tool("string_replace", {"path": TEXT, "old_str": TEXT, "new_str": TEXT}),
    tool("execute_bash", {"command": TEXT}),
    tool("read_file", {"path": TEXT}, {"start_line": {"type": "integer"}, "end_line": {"type": "integer"}}),
)
CLIENTS = {
    "codex": (CODEX, "write_file", ("path", "content")),
    "opencode": (OPENCODE, "write", ("filePath", "content")),
    "qwen-code": (QWEN_CODE, "write_file", ("file_path", "content")),
    "Claude Code": (CLAUDE_CODE, "Write", ("file_path", "content")),
    "Continue": (CONTINUE, "create_new_file", ("filepath", "contents")),
    "Nanocoder": (NANOCODER, "write_file", ("path", "content")),
}
# For answers that only show something: whatever they name is offered, and takes anything.
ANY: JsonSchema = {"type": "object"}
EVERYTHING = (
    tool("read_file", {"path": TEXT}, {"limit": {"type": "integer"}}),
    tool("write_file", {"path": TEXT, "content": TEXT}),
    tool("edit", {"path": TEXT, "old": TEXT, "new": TEXT}),
    tool("bash", {"command": TEXT}),
    tool("shell", {"command": {"type": "array", "items": TEXT}}),
    tool("get_weather", {"city": TEXT}),
    tool("list_files", {}),
    ToolSpec("search", "", ANY),
    ToolSpec("run", "", ANY),
    ToolSpec("test", "", {}),
)


def offering(tools: tuple[ToolSpec, ...], **fields: object) -> ChatRequest:
    return ChatRequest((Message("user", "go on"),), tools=tools, **fields)

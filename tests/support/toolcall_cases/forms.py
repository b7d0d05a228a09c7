"""Tool calls as model families print them, and what each of them means."""

READ = [("read_file", {"path": "a.py"})]
BOTH = [*READ, ("bash", {"command": "ls"})]
FORMS: dict[str, tuple[str, list[tuple[str, dict[str, object]]]]] = {
    "name and arguments": ('{"name": "read_file", "arguments": {"path": "a.py"}}', READ),
    "name and parameters": ('{"name": "read_file", "parameters": {"path": "a.py"}}', READ),
    "tool and input": ('{"tool": "read_file", "input": {"path": "a.py"}}', READ),
    "arguments first": ('{"arguments": {"path": "a.py"}, "name": "read_file"}', READ),
    "arguments as text": ('{"name": "read_file", "arguments": "{\\"path\\": \\"a.py\\"}"}', READ),
    "a function": ('{"function": {"name": "read_file", "arguments": {"path": "a.py"}}}', READ),
    "a typed function": ('{"type": "function", "function": {"name": "read_file", "arguments": {"path": "a.py"}}}', READ),
    "a typed name": ('{"type": "function", "name": "read_file", "parameters": {"path": "a.py"}}', READ),
    "a function by name": ('{"function": "read_file", "arguments": {"path": "a.py"}}', READ),
    "a tool_call": ('{"tool_call": {"name": "read_file", "arguments": {"path": "a.py"}}}', READ),
    "tool_calls": ('{"tool_calls": [{"id": "1", "function": {"name": "read_file", "arguments": {"path": "a.py"}}}]}', READ),
    "a list": ('[{"name": "read_file", "arguments": {"path": "a.py"}}, {"name": "bash", "arguments": {"command": "ls"}}]', BOTH),
    "lines": ('{"name": "read_file", "arguments": {"path": "a.py"}}\n{"name": "bash", "arguments": {"command": "ls"}}', BOTH),
    "Python's quotes": ("{'name': 'read_file', 'arguments': {'path': 'a.py',},}", READ),
    "not closed": ('{"name": "read_file", "arguments": {"path": "a.py"}', READ),
    "a bracket too many": ('{"name": "read_file", "arguments": {"path": "a.py"}}}', READ),
    "with white space": ('\n\n  {"name": "read_file", "arguments": {"path": "a.py"}}\n \n', READ),
    "with the end of a turn": ('{"name": "read_file", "arguments": {"path": "a.py"}}<|im_end|>', READ),
    "with the closing tag only": ('{"name": "read_file", "arguments": {"path": "a.py"}}\n</tool_call>', READ),
    "in a fence": ('```json\n{"name": "read_file", "arguments": {"path": "a.py"}}\n```', READ),
    "in a plain fence": ('```\n{"name": "read_file", "arguments": {"path": "a.py"}}\n```\n', READ),
    "in a fence of its own": ('```tool_call\n{"name": "read_file", "arguments": {"path": "a.py"}}\n```', READ),
    "in an open fence": ('```json\n{"name": "read_file", "arguments": {"path": "a.py"}}', READ),
    "Gemma": ('```tool_code\ndefault_api.read_file(path="a.py")\n```', READ),
    "a fence in the file": (
        '```json\n{"name": "write_file", "arguments": {"path": "a.md", "content": "```py\\nx\\n```"}}\n```',
        [("write_file", {"path": "a.md", "content": "```py\nx\n```"})],
    ),
    "Hermes": ('<tool_call>\n{"name": "read_file", "arguments": {"path": "a.py"}}\n</tool_call>', READ),
    "Hermes, two": (
        '<tool_call>\n{"name": "read_file", "arguments": {"path": "a.py"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>',
        BOTH,
    ),
    "Hermes, the last not closed": (
        '<tool_call>{"name": "read_file", "arguments": {"path": "a.py"}}</tool_call>'
        '<tool_call>{"name": "bash", "arguments": {"command": "ls"}}',
        BOTH,
    ),
    "Hermes without arguments": ('<tool_call>{"name": "list_files"}</tool_call>', [("list_files", {})]),
    "Hermes about itself": (
        '<tool_call>\n{"name": "bash", "arguments": {"command": "echo \'</tool_call>\'"}}\n</tool_call>',
        [("bash", {"command": "echo '</tool_call>'"})],
    ),
    "Qwen-Coder": ("<tool_call>\n<function=read_file>\n<parameter=path>\na.py\n</parameter>\n</function>\n</tool_call>", READ),
    "Qwen-Coder without the outer tag": ("<function=read_file>\n<parameter=path>\na.py\n</parameter>\n</function>", READ),
    "Qwen-Coder with a number": (
        "<tool_call>\n<function=read_file>\n<parameter=path>\n5\n</parameter>\n<parameter=limit>\n5\n</parameter>\n</function>\n</tool_call>",
        [("read_file", {"path": "5", "limit": 5})],
    ),
    "Qwen-Coder with a list": (
        '<tool_call>\n<function=shell>\n<parameter=command>\n["ls", "-l"]\n</parameter>\n</function>\n</tool_call>',
        [("shell", {"command": ["ls", "-l"]})],
    ),
    "Qwen-Coder with markup": (
        "<tool_call>\n<function=write_file>\n<parameter=path>\na.html\n</parameter>\n"
        "<parameter=content>\n<p>a < b &amp; c</p>\n\n</parameter>\n</function>\n</tool_call>",
        [("write_file", {"path": "a.html", "content": "<p>a < b &amp; c</p>\n"})],
    ),
    "Qwen-Coder, two": (
        "<tool_call>\n<function=read_file>\n<parameter=path>\na.py\n</parameter>\n</function>\n</tool_call>\n"
        "<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n</function>\n</tool_call>",
        BOTH,
    ),
    "pythonic": ("[read_file(path='a.py')]", READ),
    "pythonic, two": ("[read_file(path='a.py'), bash(command=\"ls\")]", BOTH),
    "pythonic without brackets": ("read_file(path='a.py')", READ),
    "pythonic with JSON's words": ('[search(deep=true, q=None, tags=["a", "b"], at={"x": 1})]',
                                   [("search", {"deep": True, "q": None, "tags": ["a", "b"], "at": {"x": 1}})]),
    "pythonic with a long text": (
        "write_file(path='a.py', content='''it's\n(a \"b\")\n''')",
        [("write_file", {"path": "a.py", "content": "it's\n(a \"b\")\n"})],
    ),
    "pythonic without arguments": ("[list_files()]", [("list_files", {})]),
    "Mistral": ('[TOOL_CALLS][{"name": "read_file", "arguments": {"path": "a.py"}}]', READ),
    "Mistral with a blank": ('[TOOL_CALLS] [{"name": "read_file", "arguments": {"path": "a.py"}}]</s>', READ),
    "Mistral, newer": ('[TOOL_CALLS]read_file[ARGS]{"path": "a.py"}[TOOL_CALLS]bash[ARGS]{"command": "ls"}', BOTH),
    "Mistral with an id": ('[TOOL_CALLS]read_file[CALL_ID]abc123[ARGS]{"path": "a.py"}', READ),
    "Mistral, name and object": ('[TOOL_CALLS]read_file{"path": "a.py"}', READ),
    "Llama": ('<|python_tag|>{"name": "read_file", "parameters": {"path": "a.py"}}<|eom_id|>', READ),
    "Llama, pythonic": ('<|python_tag|>read_file(path="a.py")<|eom_id|>', READ),
    "Llama, function tag": ('<function=read_file>{"path": "a.py"}</function>', READ),
    "DeepSeek": (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>read_file\n```json\n"
        '{"path": "a.py"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        READ,
    ),
    "DeepSeek, newer": (
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>read_file<｜tool▁sep｜>{"path": "a.py"}<｜tool▁call▁end｜>'
        '<｜tool▁call▁begin｜>bash<｜tool▁sep｜>{"command": "ls"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        BOTH,
    ),
    "Kimi": (
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.read_file:0<|tool_call_argument_begin|>"
        '{"path": "a.py"}<|tool_call_end|><|tool_calls_section_end|>',
        READ,
    ),
    "Granite": ('<|tool_call|>[{"name": "read_file", "arguments": {"path": "a.py"}}]', READ),
    "Phi": ('<|tool_call|>[{"name": "read_file", "arguments": {"path": "a.py"}}]<|/tool_call|>', READ),
    "Command-R": (
        '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "read_file", "parameters": {"path": "a.py"}}]<|END_ACTION|>',
        READ,
    ),
    "GLM": ("<tool_call>read_file\n<arg_key>path</arg_key>\n<arg_value>a.py</arg_value>\n</tool_call>", READ),
    "GLM without arguments": ("<tool_call>list_files\n</tool_call>", [("list_files", {})]),
    "MiniMax": (
        '<minimax:tool_call>\n<invoke name="read_file">\n<parameter name="path">a.py</parameter>\n</invoke>\n</minimax:tool_call>',
        READ,
    ),
    "invoke, two": (
        '<function_calls>\n<invoke name="read_file">\n<parameter name="path">a.py</parameter>\n</invoke>\n'
        '<invoke name="bash">\n<parameter name="command">ls</parameter>\n</invoke>\n</function_calls>',
        BOTH,
    ),
    "gpt-oss": ('<|channel|>commentary to=functions.read_file <|constrain|>json<|message|>{"path": "a.py"}<|call|>', READ),
    "Nemotron": ('<TOOLCALL>[{"name": "read_file", "arguments": {"path": "a.py"}}]</TOOLCALL>', READ),
    "InternLM": ('<|action_start|><|plugin|>{"name": "read_file", "parameters": {"path": "a.py"}}<|action_end|>', READ),
    "LM Studio": ('[TOOL_REQUEST]\n{"name": "read_file", "arguments": {"path": "a.py"}}\n[END_TOOL_REQUEST]', READ),
    "Seed": ("<seed:tool_call>\n<function=read_file>\n<parameter=path>a.py</parameter>\n</function>\n</seed:tool_call>", READ),
}  # fmt: skip

"""How big a room may be, and how it is signed."""

import ast
from collections import defaultdict

from support.source import Module, functions, modules

FILE_LINES = 500
FUNCTION_LINES = 60
DUPLICATE_LINES = 5
EMPTY_NAMES = frozenset(("utils", "util", "helpers", "helper", "manager", "service", "base", "common", "misc"))


def test_no_file_is_longer_than_500_lines():
    lengths = {module.where: len(module.path.read_text(encoding="utf-8").splitlines()) for module in modules()}
    assert {where: lines for where, lines in lengths.items() if lines > FILE_LINES} == {}


def test_no_function_is_longer_than_60_lines():
    long = {
        f"{module.where}:{function.lineno} {function.name}": _lines(function)
        for module in modules()
        for function in functions(module)
        if _lines(function) > FUNCTION_LINES
    }
    assert long == {}


def test_every_function_is_fully_typed():
    untyped = [
        f"{module.where}:{function.lineno} {function.name}"
        for module in modules()
        for function in functions(module)
        if function.returns is None or _untyped(function)
    ]
    assert untyped == []


def test_every_module_says_what_it_knows():
    silent = [module.where for module in modules() if not ast.get_docstring(module.tree)]
    assert silent == []


def test_no_file_hides_behind_an_empty_name():
    assert [module.where for module in modules() if module.path.stem in EMPTY_NAMES] == []


def test_no_two_functions_have_the_same_body():
    twins = defaultdict(list)
    for module in modules():
        for function in functions(module):
            body = _body(function)
            if body and body[-1].end_lineno - body[0].lineno + 1 > DUPLICATE_LINES:
                twins["\n".join(ast.dump(statement) for statement in body)].append(_place(module, function))
    assert [places for places in twins.values() if len(places) > 1] == []


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _untyped(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    extra = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    bound = 1 if named and named[0].arg in ("self", "cls") else 0
    return any(argument.annotation is None for argument in [*named[bound:], *extra])


def _body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
    return function.body[1:] if ast.get_docstring(function) else function.body


def _place(module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return f"{module.where}:{function.lineno} {function.name}"

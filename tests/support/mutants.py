"""Programs with one small mistake planted in each: an operator or a number changed, as a tired programmer would."""

import ast
from collections.abc import Iterator

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
}


def mutants(code: str) -> list[str]:
    """Every way to make one mistake, as source, in the order of the places."""
    count = sum(1 for _ in _places(ast.parse(code)))
    found = []
    for number in range(count):
        tree = ast.parse(code)
        place = next(place for index, place in enumerate(_places(tree)) if index == number)
        _spoil(place)
        found.append(ast.unparse(ast.fix_missing_locations(tree)))
    return found


def _places(tree: ast.AST) -> Iterator[ast.AST]:
    return filter(_spoilable, ast.walk(tree))


def _spoilable(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        return type(node.ops[0]) in COMPARED
    if isinstance(node, ast.BinOp):
        return type(node.op) in COMPUTED
    return isinstance(node, ast.BoolOp) or (isinstance(node, ast.Constant) and type(node.value) in (int, bool))


def _spoil(node: ast.AST) -> None:
    if isinstance(node, ast.Compare):
        node.ops[0] = COMPARED[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp):
        node.op = COMPUTED[type(node.op)]()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
    elif isinstance(node, ast.Constant):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1

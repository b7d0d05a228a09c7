"""``fim-syntax``: whole syntax nodes are hidden (a body, an expression, a call's arguments) and to be written again.

Harder than the rest of a line, and nearer to what a model is for. Spans on syntax nodes follow the reasoning of "Structure-aware
fill-in-the-middle" (Gong et al., 2024): a hole that ends where syntax ends has one end that can be known.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from fireside.core.values import replace
from fireside.evals.copying import plain_copy
from fireside.evals.corpus import nothing_to_cut, texts
from fireside.evals.fill import Completer, Filled, Hole, ask, compare, fills, likeness, outcome_of
from fireside.evals.fim_line import COPY, MODEL
from fireside.evals.statistics import mean, quantile, share
from fireside.evals.suite import CaseSettings, Outcome, Score, Subject
from fireside.evals.syntax import tree_of

if TYPE_CHECKING:
    from tree_sitter import Node

LINES = range(20, 4001)
SIZES = range(8, 601)
MAX_TOKENS = 192
PATIENCE = 200
# Nodes somebody would write in one go, by a part of their grammar's name, and what the report calls them.
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "block": "body",
        "statement_block": "body",
        "compound_statement": "body",
        "function_body": "body",
        "declaration_list": "body",
        "argument_list": "arguments",
        "arguments": "arguments",
        "parenthesized_expression": "expression",
        "call": "expression",
        "call_expression": "expression",
        "binary_operator": "expression",
        "binary_expression": "expression",
        "boolean_operator": "expression",
        "comparison_operator": "expression",
        "conditional_expression": "expression",
        "list_comprehension": "expression",
        "dictionary": "literal",
        "object": "literal",
        "list": "literal",
        "array": "literal",
        "composite_literal": "literal",
        "return_statement": "statement",
        "if_statement": "statement",
        "for_statement": "statement",
        "expression_statement": "statement",
    }
)


class FimSyntax:
    """``rivals``: who else fills the same holes, by name."""

    name = "fim-syntax"
    about = "hidden bodies, statements and expressions of real files, to be written again"

    def __init__(self, rivals: Mapping[str, Completer] = MappingProxyType({})) -> None:
        self._rivals: dict[str, Completer] = {COPY: plain_copy, **rivals}

    def cases(self, settings: CaseSettings) -> Sequence[Hole]:
        """First a kind is drawn, then a node of that kind: otherwise nearly all would be small expressions."""
        rng = random.Random(settings.seed)
        found: dict[str, Hole] = {}
        known: dict[str, dict[str, list[tuple[int, int]]]] = {}
        missed = 0
        for source, text in texts(settings.sources, rng, LINES):
            place = f"{source.folder}/{source.path}"
            if place not in known:
                known[place] = _nodes(text, source.language)
            hole = _cut(source.folder, source.path, source.language, text, known[place], rng)
            if hole is None or hole.id in found:
                missed += 1
                if missed > PATIENCE + 4 * len(found):
                    break
                continue
            found[hole.id] = hole
            if len(found) >= (settings.cases or 300):
                break
        if not found:
            raise nothing_to_cut(settings.sources, "source file with syntax to hide")
        return list(found.values())

    async def run(self, case: Hole, subject: Subject) -> Outcome:
        async def model(hole: Hole) -> Filled:
            return await ask(subject, hole, max_tokens=MAX_TOKENS, line=False)

        fillers = {MODEL: model, **self._rivals} if await fills(subject) else self._rivals
        found = await compare(case, fillers, whole=True)
        for scores, filled in found.values():
            if scores:
                scores["alike"] = likeness(filled.text.strip(), case.target.strip())
        return outcome_of(case, found, MODEL)

    def score(self, outcomes: Sequence[Outcome]) -> tuple[Score, ...]:
        if not any(outcome.scores or outcome.failed for outcome in outcomes):
            return ()
        groups = sorted({outcome.group for outcome in outcomes if outcome.group})
        return (
            share("exact", outcomes),
            mean("edit similarity", outcomes, key="alike", unit="%", scale=100.0),
            share("parses", outcomes, failed=None),
            share("offered", outcomes, better="neither"),
            *(replace(share("exact", _of(group, outcomes)), name=f"exact: {group}") for group in groups),
            quantile("p50", outcomes, 0.5, key="ms"),
            quantile("p95", outcomes, 0.95, key="ms"),
        )


def _of(group: str, outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.group == group]


def _nodes(text: str, language: str) -> dict[str, list[tuple[int, int]]]:
    """Kind -> spans in characters. None in a file that does not parse."""
    tree = tree_of(text, language)
    if tree is None or tree.root_node.has_error:
        return {}
    found: dict[str, list[tuple[int, int]]] = {}
    plain = text.isascii()
    data = b"" if plain else text.encode("utf-8", "surrogatepass")
    for node in _walk(tree.root_node):
        kind = KINDS.get(node.type)
        if kind is not None and node.end_byte - node.start_byte in SIZES:
            first, last = node.start_byte, node.end_byte
            if not plain:
                first, last = (len(data[:at].decode("utf-8", "surrogatepass")) for at in (first, last))
            found.setdefault(kind, []).append((first, last))
    return found


def _walk(root: "Node") -> Iterator["Node"]:
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(node.children))


def _cut(
    folder: str,
    path: str,
    language: str,
    text: str,
    nodes: Mapping[str, Sequence[tuple[int, int]]],
    rng: random.Random,
) -> Hole | None:
    if not nodes:
        return None
    kind = rng.choice(sorted(nodes))
    start, end = rng.choice(nodes[kind])
    line = text.count("\n", 0, start) + 1
    column = start - (text.rfind("\n", 0, start) + 1) + 1
    return Hole(
        f"{path}:{line}:{column}-{end - start}",
        kind,
        path=path,
        folder=folder,
        language=language,
        text=text,
        start=start,
        end=end,
    )

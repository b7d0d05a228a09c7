"""Fit the weights of ``fireside.assist.ranking`` on the Python standard library: ``python -m benchmarks.ranking``.

Prints both tables to be put there. Each case tells what share of its target the best candidate is: all of it where one is exact, else
what both begin with in common, and none takes the rest. Cross-entropy against these shares, a little weight decay, L-BFGS. Half of the
cases are told their neighbours, half are not. Needs torch (the extra ``train``). Not a measurement: that is ``benchmarks.completion``.
"""

import argparse
from collections.abc import Iterator
from itertools import zip_longest

from benchmarks.completion import beside, cases, standard_library
from fireside.assist.candidates import candidates
from fireside.assist.cursor import cursor_between, in_common
from fireside.assist.ranking import NONE, WEIGHTS, doubt, evidence

SEED = 11
DECAY = 1e-3

Example = tuple[list[tuple[float, ...]], tuple[float, ...], list[float]]


def examples(count: int) -> Iterator[Example]:
    """Evidence of every candidate, doubt, and the share each deserves, that of none of them first."""
    for number, case in enumerate(cases(standard_library(), count, SEED)):
        cursor = cursor_between(case.prefix, case.suffix, beside(case.path) if number % 2 else [])
        found = candidates(cursor)
        common = [in_common(one.text, case.wanted) for one in found]
        exact = [float(one.text == case.wanted) for one in found]
        most = max(common, default=0)
        shares = exact
        if not any(exact) and most:
            best = [float(one == most) for one in common]
            shares = [one / sum(best) * most / len(case.wanted) for one in best]
        yield list(evidence(cursor, found)), doubt(cursor, found), [1 - sum(shares), *shares]


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=10_000)
    rows, doubts, shares = zip(*examples(parser.parse_args().cases), strict=True)
    most = max(map(len, rows))
    empty = (0.0,) * len(next(filter(None, rows))[0])
    evidences = torch.tensor(
        [[*map(list, row), *([list(empty)] * (most - len(row)))] for row in rows], dtype=torch.float
    )
    against = torch.tensor(doubts, dtype=torch.float)
    wanted = torch.tensor(list(zip_longest(*shares, fillvalue=0.0)), dtype=torch.float).T
    missing = torch.tensor([[0.0] * len(row) + [-1e9] * (most - len(row)) for row in rows])
    weights = torch.zeros(len(empty), requires_grad=True)
    none = torch.zeros(len(doubts[0]), requires_grad=True)
    descent = torch.optim.LBFGS([weights, none], max_iter=400, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        descent.zero_grad()
        scores = torch.cat([(against @ none)[:, None], evidences @ weights + missing], 1)
        value = torch.nn.functional.cross_entropy(scores, wanted)
        (value + DECAY * (weights.square().sum() + none.square().sum())).backward()  # type: ignore[no-untyped-call]
        return value

    descent.step(loss)  # type: ignore[no-untyped-call]
    print(f"cross-entropy {loss().item():.4f}")
    for name, table, fitted in (("WEIGHTS", WEIGHTS, weights), ("NONE", NONE, none)):
        print(f"{name} = {{")
        for key, value in zip_longest(table, fitted.tolist()):
            print(f'    "{key}": {value:.2f},')
        print("}")


if __name__ == "__main__":
    main()

"""Fit the weights of ``fireside.assist.ranking`` on the Python standard library: ``python -m benchmarks.ranking``.

Prints both tables to be put there. How likely: each case tells what share of its target the best candidate is, all of it where one is
exact, else what both begin with in common, and none takes the rest; cross-entropy against these shares, a little weight decay, L-BFGS.
Worth: from there on, most reward of the one drawn, which is the characters right and ``EXACT`` more where all of them are; Adam. Of the
targets half have 12 characters and more; half of the cases are told their neighbours. Needs torch (the extra ``train``). Not a
measurement: that is ``benchmarks.completion``.
"""

import argparse
from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

from benchmarks.completion import Case, beside, cases, standard_library
from fireside.assist.candidates import Candidate, candidates
from fireside.assist.cursor import cursor_between, in_common
from fireside.assist.ranking import NONE, WEIGHTS, doubt, evidence

if TYPE_CHECKING:
    from torch import Tensor

SEED = 11
DECAY = 1e-3
LONG = 12
EXACT = 15
ROUNDS = 15
BATCH = 256
STEP = 1e-2
ABSENT = -1e9

Example = tuple[list[tuple[float, ...]], tuple[float, ...], list[float], list[float]]


def examples(count: int) -> Iterator[Example]:
    """Evidence of every candidate, doubt, the share each deserves, that of none of them first, and the reward of each."""
    for shortest in (1, LONG):
        for number, case in enumerate(cases(standard_library(), count // 2, SEED, shortest)):
            cursor = cursor_between(case.prefix, case.suffix, beside(case.path) if number % 2 else [])
            found = candidates(cursor)
            if found:
                yield list(evidence(cursor, found)), doubt(cursor, found), *_deserved(case, found)


def _deserved(case: Case, found: list[Candidate]) -> tuple[list[float], list[float]]:
    common = [in_common(one.text, case.wanted) for one in found]
    exact = [float(one.text == case.wanted) for one in found]
    most, shares = max(common), exact
    if not any(exact) and most:
        best = [float(one == most) for one in common]
        shares = [one / sum(best) * most / len(case.wanted) for one in best]
    return [1 - sum(shares), *shares], [
        right + EXACT * all_of_it for right, all_of_it in zip(common, exact, strict=True)
    ]


def fitted(chosen: list[Example]) -> "tuple[Tensor, Tensor, Tensor]":
    """Weights of likelihood, of none, and of worth."""
    import torch

    torch.manual_seed(SEED)
    rows, doubts, shares, rewards = zip(*chosen, strict=True)
    most, width = max(map(len, rows)), len(WEIGHTS)
    evidences = torch.zeros(len(rows), most, width)
    absent = torch.full((len(rows), most), ABSENT)
    for at, row in enumerate(rows):
        evidences[at, : len(row)] = torch.tensor([list(map(float, one)) for one in row])
        absent[at, : len(row)] = 0
    against = torch.tensor([list(map(float, one)) for one in doubts])
    wanted = torch.tensor(list(zip_longest(*shares, fillvalue=0.0))).T
    reward = torch.tensor(list(zip_longest(*rewards, fillvalue=0.0))).T
    scale = evidences[absent == 0].std(0) + 1e-6
    evidences /= scale
    weights, none = torch.zeros(width, requires_grad=True), torch.zeros(len(NONE), requires_grad=True)
    descent = torch.optim.LBFGS([weights, none], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        descent.zero_grad()
        scores = torch.cat([(against @ none)[:, None], evidences @ weights + absent], 1)
        value = torch.nn.functional.cross_entropy(scores, wanted)
        (value + DECAY * (weights.square().sum() + none.square().sum())).backward()  # type: ignore[no-untyped-call]
        return value

    descent.step(loss)  # type: ignore[no-untyped-call]
    worth = weights.detach().clone().requires_grad_()
    ascent = torch.optim.Adam([worth], lr=STEP)
    for _ in range(ROUNDS):
        for some in torch.randperm(len(rows)).split(BATCH):
            ascent.zero_grad()
            drawn = torch.softmax(evidences[some] @ worth + absent[some], 1)
            (-(drawn * reward[some]).sum(1).mean()).backward()  # type: ignore[no-untyped-call]
            ascent.step()
    return weights.detach() / scale, none.detach(), worth.detach() / scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=10_000)
    likely, none, worth = fitted(list(examples(parser.parse_args().cases)))
    print("WEIGHTS = {")
    for key, one, other in zip(WEIGHTS, likely.tolist(), worth.tolist(), strict=True):
        print(f'    "{key}": ({one:.2f}, {other:.2f}),')
    print("}\nNONE = {")
    for key, one in zip(NONE, none.tolist(), strict=True):
        print(f'    "{key}": {one:.2f},')
    print("}")


if __name__ == "__main__":
    main()

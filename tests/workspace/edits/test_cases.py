"""Every way a model's answer can go wrong that we know of, in every format: what is right is applied, what is not sure is refused."""

from collections import Counter, defaultdict

import pytest

from support.edit_cases import Case, all_cases, verdict

CASES = all_cases()
# One test a class of failure and format: a thousand tests of a millisecond each would take ten times as long to run.
GROUPS: dict[str, list[Case]] = defaultdict(list)
for one in CASES:
    GROUPS[f"{one.kind}, {one.format}"].append(one)


@pytest.mark.parametrize("group", GROUPS)
def test_an_answer_does_what_it_means_or_nothing(group: str):
    verdicts = {case.id: verdict(case) for case in GROUPS[group]}
    assert {case: said for case, said in verdicts.items() if said != "right"} == {}


def test_the_suite_is_large_and_covers_all_formats():
    formats = Counter(case.format for case in CASES)
    assert len(CASES) >= 250
    assert len({case.id for case in CASES}) == len(CASES)
    assert min(formats[name] for name in ("search_replace", "whole", "udiff", "apply_patch", "edit_tool")) >= 30

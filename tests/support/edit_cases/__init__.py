"""Answers of models, the files they are for, and what must come of them: worked out by hand, one module for each few failure classes."""

from support.edit_cases.case import Case, verdict

__all__ = ["Case", "all_cases", "verdict"]


def all_cases() -> list[Case]:
    from support.edit_cases import answers, depth, listings, mixed, names, places, several, spelling, tools, wholes

    modules = (spelling, depth, places, listings, names, several, tools, answers, wholes, mixed)
    return [case for module in modules for case in module.CASES]

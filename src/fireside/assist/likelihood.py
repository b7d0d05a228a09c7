"""How sure a model was of what it wrote: the mean log-probability of the tokens that would be shown. Knows answers, no engine.

A model that fills a hole always says something; the mean tells guesses from knowledge. Tokens an engine says nothing of count for nothing,
among them those that were only written again (token healing).
"""

from dataclasses import dataclass

from fireside.core.requests import Delta


@dataclass(frozen=True, slots=True)
class Told:
    """One token's place among the characters of the answer, and its natural logarithm."""

    begin: int
    end: int
    logprob: float


class Likelihood:
    """Collects an answer's pieces."""

    def __init__(self) -> None:
        self._told: list[Told] = []
        self._length = 0

    def take(self, delta: Delta) -> None:
        end = self._length + len(delta.text)
        # Tokens are laid out from the end: what healing took off stood at the beginning.
        begin = end - sum(len(each.token) for each in delta.logprobs)
        for each in delta.logprobs:
            self._told.append(Told(max(begin, self._length), begin + len(each.token), each.logprob))
            begin += len(each.token)
        self._length = end

    def mean(self, begin: int, end: int) -> float | None:
        """Of the tokens that touch these characters; ``None`` when nothing is told of any."""
        touched = [told.logprob for told in self._told if told.begin < end and told.end > begin]
        return sum(touched) / len(touched) if touched else None

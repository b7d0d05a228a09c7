"""Text of an answer that may still become a tool call is held back, no longer than it takes to know; everything else passes at once.

A call is the whole answer (bare, or in a fence, or in a fence behind a sentence or two), or stands in an envelope of its model, at the
beginning of a line, with nothing behind it. What stands in a code fence otherwise is shown, not meant. Knows text and offered names;
arguments are the business of ``calls``.
"""

import re
from typing import Literal

from fireside.core.requests import FinishReason
from fireside.gateway.calls import Mended, Offered
from fireside.gateway.showing import shows, shows_fenced
from fireside.wire.envelopes import FORMS, LONGEST, OPENER, TOKENS
from fireside.wire.textcalls import CALLS_IN_FENCES, Glimpse, glimpse, glimpse_envelope, read_calls
from fireside.wire.tracking import Tracker

# How much of what may be a call is looked at for the name of its tool; how much white space may begin an answer that is one.
HEAD = 512
BLANK = 64
# Characters of prose: before a fenced call in all, before an envelope as far as they are looked at.
LEAD_IN = 600
NEAR = 300
# Whoever names so many marks that begin no call writes about them.
MISSES = 64
FENCE = re.compile(r"`{3,}|~{3,}")
MARK = re.compile(f"{FENCE.pattern}|{OPENER.pattern}")
# What one of those may begin with.
SIGN = re.compile(r"[<\[`~]")
FENCE_SIGN = re.compile(r"[`~]")
LABEL = re.compile(r"[ \t]*+([\w+-]*+)[ \t]*+(\r?\n)?")
SPACE = re.compile(r"\s*+")
THOUGHT, THOUGHT_ENDS = "<think>", "</think>"
SENTENCE_ENDS = (".", ":", "!", "?", "…", "。", "：", "！", "？")
INDENT = 4


class Hold:
    """One answer. ``bare``: it may be a call without an envelope (not when the answer itself was asked for as JSON)."""

    def __init__(self, offered: Offered, *, bare: bool) -> None:
        self._offered = offered
        self._bare = bare
        self._started = False
        self._thinking = False
        self._thought = False
        self._said: list[str] = []
        self._length = 0
        self._fence = ""
        self._fences = 0
        self._misses = 0
        self._tracker: Tracker | None = None
        self._held: list[str] = []
        self.over = False

    def feed(self, text: str) -> str:
        """The text that may go: what was held and this, or a part of it, or nothing."""
        if self.over:
            return text
        if self._tracker is not None:
            self._held.append(text)
            return "" if self._tracker.feed(text) else self.give_up()
        if self._held:
            text = self._held.pop() + text
        elif self._started and (FENCE_SIGN if self._fence else SIGN).search(text) is None:
            self._said.append(text)
            self._length += len(text)
            return text
        return self._look_at(text)

    def give_up(self) -> str:
        """From now on everything passes; what was held goes now."""
        self.over, self._tracker = True, None
        held, self._held = "".join(self._held), []
        return held

    def end(self, finish: FinishReason) -> tuple[str, list[Mended]]:
        """The answer is over: the text that remains, or the calls it was. A text that was cut off is no call, whatever it looks like."""
        tracked = self._tracker is not None and finish in ("stop", "tool_calls")
        held = self.give_up()
        calls = self._offered.accept(read_calls(held)) if tracked else []
        if len(calls) > 1 and self._length and held.lstrip()[:1] in ("`", "~"):
            # Behind prose only one fenced call is believed.
            calls = []
        return ("", calls) if calls else (held, [])

    def _look_at(self, text: str) -> str:
        begins = "prose" if self._started else self._beginning(text)
        if begins == "thought":
            return self._pass_thought(text)
        end = self._prose(text, 0) if begins == "prose" else 0
        if self.over:
            return text
        if end < len(text):
            self._held.append(text[end:])
        if end:
            self._said.append(text[:end])
            self._length += end
        return text[:end]

    def _beginning(self, text: str) -> Literal["prose", "thought", "held"]:
        """What an answer begins with. Behind a thought it begins anew."""
        at = _space(text)
        if self._thinking:
            return "thought"
        if at == len(text):
            return "prose" if at > BLANK else "held"
        if not self._thought and THOUGHT.startswith(text[at : at + len(THOUGHT)]):
            self._thinking = self._thought = len(text) - at >= len(THOUGHT)
            return "thought" if self._thinking else "held"
        if self._bare and text[at] not in "<`~" and self._may_be_call(glimpse(text[at : at + HEAD], 0), text, at, at):
            return "held"
        self._started = True
        return "prose"

    def _pass_thought(self, text: str) -> str:
        end = text.find(THOUGHT_ENDS)
        if end < 0:
            end = _without_beginning(text, THOUGHT_ENDS)
            self._held = [text[end:]] if end < len(text) else []
            return text[:end]
        self._thinking = False
        end += len(THOUGHT_ENDS)
        return text[:end] + (self.feed(text[end:]) if end < len(text) else "")

    def _prose(self, text: str, at: int) -> int:
        """How much of the text may go; what is left may become a call."""
        while True:
            mark = (FENCE if self._fence else MARK).search(text, at)
            if mark is None:
                return self._without_unfinished(text, at)
            place = mark.start()
            at = self._pass_fence(text, mark) if text[place] in "`~" else self._pass_mark(text, mark)
            if at < 0:
                return place
            self.over = self.over or self._misses > MISSES
            if self.over:
                return len(text)

    def _without_unfinished(self, text: str, at: int) -> int:
        """The length of the text without what may be the beginning of a mark at its end."""
        for sign in (FENCE_SIGN if self._fence else SIGN).finditer(text, max(at, len(text) - LONGEST)):
            rest = text[sign.start() :]
            if sign[0] in "`~":
                begun = rest == sign[0] * len(rest) and self._at_line_start(text, sign.start())
            else:
                marks = [mark for mark in FORMS if mark.startswith(rest)]
                begun = any(self._stands_right(mark, text, sign.start()) for mark in marks)
            if begun:
                return sign.start()
        return len(text)

    def _pass_mark(self, text: str, mark: re.Match[str]) -> int:
        """Behind a mark; -1 to hold the text from there on."""
        place = mark.start()
        if not self._stands_right(mark[0], text, place):
            return mark.end()
        if shows(self._before(text, place)):
            # Whoever shows one shows what is in it, too, and may go on showing.
            self.over = True
            return mark.end()
        if self._may_be_call(glimpse_envelope(text[place : place + HEAD], 0), text, place, place):
            return -1
        self._misses += 1
        return mark.end()

    def _pass_fence(self, text: str, run: re.Match[str]) -> int:
        """Behind a fence, or signs that are none; -1 to hold the text from there on."""
        place = run.start()
        if not self._at_line_start(text, place):
            return run.end()
        if run.end() == len(text):
            return -1
        label = LABEL.match(text, run.end())
        assert label is not None
        if self._fence:
            return self._close_fence(text, run[0], label)
        before = self._before(text, place)
        if self._bare and not self._fences and self._length + place <= LEAD_IN and not shows_fenced(before):
            if label.end() == len(text) and not label[2]:
                return -1
            if label[2] and label[1].lower() in CALLS_IN_FENCES:
                inside = label.end()
                if inside == len(text) or self._may_be_call(
                    glimpse(text[inside : inside + HEAD], 0), text, place, inside
                ):
                    return -1
        self._fence = run[0]
        self._fences += 1
        return run.end()

    def _close_fence(self, text: str, run: str, label: re.Match[str]) -> int:
        if not run.startswith(self._fence) or label[1]:
            return label.end()
        if not label[2] and label.end() == len(text):
            return -1
        if label[2]:
            self._fence = ""
        return label.end()

    def _may_be_call(self, seen: Glimpse, text: str, place: int, inside: int) -> bool:
        """Whether to hold the text from ``place`` on. One whose tool is known is followed from there, its value beginning at ``inside``."""
        if seen.verdict == "never":
            return False
        if seen.verdict == "perhaps" or not seen.whole:
            known = seen.verdict == "perhaps" or self._offered.may_begin(seen.name)
            return known and len(text) - place < HEAD
        if seen.name and self._offered.match(seen.name) is None:
            return False
        self._tracker = Tracker(self._offered.may_begin)
        if not self._tracker.feed(text[inside:]):
            self._tracker, self.over = None, True
        return True

    def _stands_right(self, mark: str, text: str, place: int) -> bool:
        """Whether a call may begin here with this mark: on a line of its own, a token of a template behind a sentence, too."""
        if self._at_line_start(text, place):
            return True
        return mark in TOKENS and _ends_a_sentence(self._before(text, place))

    def _at_line_start(self, text: str, place: int) -> bool:
        """Whether only a few blanks stand before it; four make it code."""
        before = text[max(0, place - INDENT) : place]
        if len(before) < INDENT:
            before = (self._recent()[-INDENT:] + before)[-INDENT:]
        blank = before.rstrip(" ")
        return blank.endswith("\n") or (not blank and len(before) < INDENT)

    def _before(self, text: str, place: int) -> str:
        """The prose before a place, its end at least."""
        before = text[max(0, place - LEAD_IN) : place]
        return before if place >= LEAD_IN else (self._recent() + before)[-LEAD_IN:]

    def _recent(self) -> str:
        recent = "".join(self._said)[-LEAD_IN:]
        self._said = [recent]
        return recent


def _ends_a_sentence(before: str) -> bool:
    """Whether a token may follow here, on the line of the prose; not within quotes, and not named by them."""
    line = before[-NEAR:].rpartition("\n")[2]
    return line.count("`") % 2 == 0 and line.rstrip().endswith(SENTENCE_ENDS)


def _without_beginning(text: str, word: str) -> int:
    """The length of the text without what may be the beginning of the word at its end."""
    for length in range(min(len(word) - 1, len(text)), 0, -1):
        if text.endswith(word[:length]):
            return len(text) - length
    return len(text)


def _space(text: str) -> int:
    found = SPACE.match(text)
    return found.end() if found else 0

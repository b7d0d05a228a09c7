"""What must hold for every file and every answer, tried on many."""

# ruff: noqa: PT017

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fireside.workspace.edits import EditRefused, apply_edits
from support.edit_cases import all_cases
from support.edit_cases.case import LINE_FORMATS, listing, write_edit

FORMATS = (*LINE_FORMATS, "whole", "function", "auto")
WORDS = st.sampled_from(
    ["alpha", "beta = 2", "gamma(1)", "    delta", "    if x:", "        eta()", "", "}", "zeta, 'q'", "α–ω"]
)
TEXTS = st.lists(WORDS, min_size=1, max_size=12)
ENDS = st.sampled_from(["\n", "\r\n"])
PIECES = [
    "a.py", "b/c.py", "```", "```python", "```diff", "~~~", "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE", "*** Begin Patch",
    "*** End Patch", "*** Update File: a.py", "*** Add File: n.py", "*** Delete File: a.py", "*** Move to: z.py", "@@",
    "@@ -1,2 +1,2 @@", "@@ def f():", "--- a/a.py", "+++ b/a.py", "--- /dev/null", "+x = 1", "-alpha", " alpha", "alpha", "beta = 2",
    "...", "# ... rest", "<think>", "</think>", '{"path": "a.py",', '"old_string": "alpha",', '"new_string": "x"}', "{'a': [", "]}",
    "\\", '"', "\x00", "\ud800", "é", "rename to q.py", "diff --git a/a.py b/q.py", "rename from a.py", "a.py::f", "    def f():", "",
    "../x", ".git/config", "\t", "*** End of File", "**",
]  # fmt: skip
MARKED = ("search_replace", "apply_patch", "edit_tool")
# Thoughts whose only mark is their end cannot be told from an answer before it has come.
SAFE = [
    case
    for case in all_cases()
    if case.accept and not case.refused and case.format in MARKED and case.kind != "reasoning"
]
WHOLE = [
    case
    for case in all_cases()
    if case.accept and not case.refused and case.format == "whole" and case.answer.endswith("```\n")
]


@given(before=TEXTS, ends=st.lists(ENDS, min_size=12, max_size=12), last=st.booleans(), data=st.data())
@settings(max_examples=150, deadline=None)
def test_only_the_lines_that_are_replaced_change(before, ends, last, data):
    start = data.draw(st.integers(0, len(before) - 1))
    stop = data.draw(st.integers(start + 1, len(before)))
    old = before[start:stop]
    new = data.draw(st.lists(WORDS, max_size=4))
    places = [at for at in range(len(before)) if before[at : at + len(old)] == old]
    assume(
        len(places) == 1
        and any(text.strip() for text in old)
        and any(text.strip() for text in (*new, "x"))
        and old != new
    )
    assume(new == [] or new[-1].strip())
    rows = [text + end for text, end in zip(before, ends, strict=False)]
    if not last and before[-1]:
        rows[-1] = before[-1]
    format = data.draw(st.sampled_from(["search_replace", "udiff", "apply_patch"]))
    answer = write_edit(format, "a.py", "\n".join(old), "\n".join(new))
    assume(old[-1].strip() and (format == "search_replace" or old[0].strip()))
    try:
        after = apply_edits(answer, {"a.py": "".join(rows)}, format=format)["a.py"]
    except EditRefused as error:
        assert error.refusals[0].reason in ("no_op", "malformed")
        assert "\n".join(new).strip() == "" or "".join(rows).replace("\r", "") == "".join(rows)
        return
    head, tail = "".join(rows[:start]), "".join(rows[stop:])
    assert after.startswith(head)
    assert after.endswith(tail)
    inserted = after[len(head) : len(after) - len(tail)] if tail else after[len(head) :]
    assert inserted.replace("\r\n", "\n").rstrip("\n").split("\n") == ("\n".join(new).split("\n") if new else [""])


@given(before=st.text("abc (\n", max_size=40), data=st.data())
@settings(max_examples=200, deadline=None)
def test_an_edit_of_text_is_the_replacement_of_that_text(before, data):
    assume(before.strip())
    start = data.draw(st.integers(0, len(before) - 1))
    stop = data.draw(st.integers(start + 1, len(before)))
    old = before[start:stop]
    new = data.draw(st.text("xyz)", min_size=1, max_size=6))
    assume(old.strip() and old.strip("\n") == old and sum(before.startswith(old, at) for at in range(len(before))) == 1)
    answer = write_edit("edit_tool", "a.txt", old, new)
    try:
        after = apply_edits(answer, {"a.txt": before}, format="edit_tool")["a.txt"]
    except EditRefused as error:
        reasons = {refusal.reason for refusal in error.refusals}
        cuts = (before[start - 1 : start] + old[0]).isalnum() or (old[-1] + before[stop : stop + 1]).isalnum()
        assert cuts, reasons
        return
    assert after == before.replace(old, new)


@given(case=st.sampled_from(SAFE), data=st.data())
@settings(max_examples=300, deadline=None)
def test_an_answer_that_breaks_off_does_all_or_nothing_of_its_last_edit(case, data):
    cut = data.draw(st.integers(0, len(case.answer)))
    try:
        after = apply_edits(case.answer[:cut], case.files, format=case.format)
    except EditRefused:
        return
    touched = {name for one in case.accept for name in {*one, *case.files} if one.get(name) != case.files.get(name)}
    for name in {*after, *case.files}:
        allowed = [one.get(name) for one in case.accept] + [case.files.get(name)]
        # The first of several edits may be whole where the answer breaks off between them.
        several = case.kind in ("several edits", "no-ops") or case.answer.count("SEARCH\n") > 1
        assert after.get(name) in allowed or (several and name in touched)


@given(case=st.sampled_from(WHOLE), data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_listing_that_breaks_off_is_never_written(case, data):
    cut = data.draw(st.integers(0, len(case.answer.rstrip("`~\n"))))
    try:
        after = apply_edits(case.answer[:cut], case.files, format="whole")
    except EditRefused:
        return
    assert any(after == dict(one) for one in case.accept) or case.answer.count("```") > 2


@given(answer=st.lists(st.sampled_from(PIECES), max_size=25).map("\n".join), format=st.sampled_from(FORMATS))
@settings(max_examples=500, deadline=None)
def test_no_answer_raises_anything_but_a_refusal_or_touches_the_files(answer, format):
    files = {"a.py": "alpha\nbeta = 2\n\ndef f():\n    return 1\n", "b/c.py": "alpha\r\n"}
    before = dict(files)
    try:
        after = apply_edits(answer, files, format=format)
    except EditRefused as error:
        assert all(refusal.message and "\n" not in refusal.message for refusal in error.refusals)
    else:
        assert after != before
        assert not any(name.startswith((".", "/")) for name in after)
    assert files == before


@given(text=TEXTS, format=st.sampled_from([*LINE_FORMATS, "whole"]))
@settings(max_examples=60, deadline=None)
def test_what_was_written_can_be_written_back(text, format):
    before, after = "keep = 1\n" + "\n".join(text) + "\nkeep = 2\n", "keep = 1\nnew = 1\nkeep = 2\n"
    assume(all(word.strip() for word in text))
    there = listing("a.py", after) if format == "whole" else write_edit(format, "a.py", before[:-1], after[:-1])
    back = listing("a.py", before) if format == "whole" else write_edit(format, "a.py", after[:-1], before[:-1])
    assert apply_edits(back, apply_edits(there, {"a.py": before}, format=format), format=format) == {"a.py": before}

"""The metrics by hand-worked examples, and what is made of them."""

from dataclasses import fields
from math import log2

import pytest

from fireside.core.values import replace
from fireside.index.chunks import Chunk, Hit
from fireside.index.evaluate import (
    ALL,
    WORDS_ALONE,
    Question,
    Score,
    Target,
    Verdict,
    measure,
    rows,
    score,
    variants,
)
from fireside.index.lexical import Words, bm25, query_terms
from fireside.index.rank import Weights
from fireside.index.search import Searcher
from fireside.index.store import Store

SECOND = 1 / log2(3)


def hit(path: str, start: int = 1, end: int = 10) -> Hit:
    return Hit(Chunk(path, start, end, ""), 1.0)


def question(*targets: Target) -> Question:
    return Question("?", targets)


def plain(ndcg: float, seconds: float = 0.001) -> Score:
    return Score(ndcg, 1.0, 1.0, ndcg, None, 10, seconds)


def test_a_file_found_first_is_a_perfect_answer():
    found = score(question(Target("a.py")), [hit("a.py"), hit("b.py")])
    assert (found.ndcg, found.hit, found.reciprocal, found.file_ndcg, found.lines) == (1.0, 1.0, 1.0, 1.0, 20)
    assert found.span_ndcg is None


def test_a_later_rank_is_worth_less_and_the_sixth_is_no_early_hit():
    second = score(question(Target("a.py")), [hit("b.py"), hit("a.py")])
    assert second.ndcg == pytest.approx(SECOND)
    assert second.reciprocal == 0.5
    sixth = score(question(Target("a.py")), [*(hit(f"{number}.py") for number in range(5)), hit("a.py")])
    assert (sixth.hit, sixth.reciprocal) == (0.0, pytest.approx(1 / 6))


def test_hits_after_the_tenth_do_not_count():
    found = score(question(Target("a.py")), [*(hit(f"{number}.py") for number in range(10)), hit("a.py")])
    assert (found.ndcg, found.hit, found.reciprocal) == (0.0, 0.0, 0.0)


def test_lines_are_met_by_a_hit_that_overlaps_them():
    wanted = question(Target("a.py", 20, 30))
    assert score(wanted, [hit("a.py", 1, 19)]).span_ndcg == 0.0
    assert score(wanted, [hit("a.py", 1, 20)]).span_ndcg == 1.0
    assert score(wanted, [hit("a.py", 30, 40)]).ndcg == 1.0
    right_file = score(wanted, [hit("a.py", 1, 19)])
    assert (right_file.ndcg, right_file.file_ndcg) == (0.0, 1.0)


def test_one_hit_that_meets_two_targets_counts_once():
    both = question(Target("a.py", 1, 5), Target("a.py", 8, 9))
    assert score(both, [hit("a.py")]).ndcg == pytest.approx(1 / (1 + SECOND))
    assert score(both, [hit("a.py", 1, 5), hit("a.py", 8, 9)]).ndcg == 1.0


def test_a_secondary_target_adds_to_ndcg_and_is_no_hit():
    found = score(question(Target("a.py"), Target("b.py", main=False)), [hit("b.py")])
    assert found.ndcg == pytest.approx(1 / (1 + SECOND))
    assert (found.hit, found.reciprocal) == (0.0, 0.0)


def test_a_hit_of_a_whole_long_file_counts_for_its_first_120_lines():
    found = score(question(Target("a.py", 500, 510)), [hit("a.py", 1, 1_000)])
    assert (found.ndcg, found.lines) == (0.0, 120)


def test_every_fractional_weight_and_every_penalty_is_a_signal():
    names = set(variants(Weights()))
    for one in fields(Weights):
        value = getattr(Weights(), one.name)
        if isinstance(value, float):
            assert one.name.replace("_", " ") in names
    assert {f"penalties: {kind}" for kind in Weights().penalties} < names
    assert {"joined lines", ALL, WORDS_ALONE} < names
    assert "file depth" not in names


def test_a_variant_differs_from_all_in_its_signal_only():
    made = variants(Weights())
    assert made[ALL] == Weights()
    assert made["damping"] == replace(Weights(), damping=1.0)
    assert made["stem"] == replace(Weights(), stem=0.0)
    assert made["penalties: test"].penalties == {**Weights().penalties, "test": 1.0}


@pytest.mark.parametrize("query", ["price", "read an amount as cents", "with_tax", "total price", "parse_price test"])
def test_words_alone_are_the_order_of_bm25(index, tmp_path, query):
    store = Store.open(tmp_path / "index")
    assert isinstance(store, Store)
    hits = Searcher(store, weights=variants(Weights())[WORDS_ALONE]).search(query, 10)
    layout = store.layout()
    terms = query_terms(query, Words())
    scores = bm25(store.postings(terms, layout), terms, layout.lengths)
    best = sorted((int(one) for one in scores.nonzero()[0]), key=lambda one: (-scores[one], one))
    spans = [
        store.connection.execute(
            "SELECT path, start_line FROM chunks JOIN files ON files.id = file WHERE chunks.id = ?",
            (one + layout.first,),
        ).fetchone()
        for one in best
    ]
    store.close()
    assert [(one.chunk.path, one.chunk.start_line) for one in hits] == spans[:10]


def test_every_variant_answers_every_question(index, tmp_path):
    store = Store.open(tmp_path / "index")
    assert isinstance(store, Store)
    asked: list[Question] = []
    questions = [
        Question("read an amount as cents", (Target("shop/prices.py", 12, 15),)),
        Question("total price of an order", (Target("shop/orders.py"),)),
    ]
    scores = measure(store, questions, asked=asked.append)
    store.close()
    assert asked == questions
    assert set(scores) == set(variants(Weights()))
    assert {len(found) for found in scores.values()} == {2}
    assert all(one.seconds > 0 for found in scores.values() for one in found)
    assert scores[ALL][0].span_ndcg == 1.0
    assert scores[ALL][1].hit == 1.0


def test_a_signal_is_judged_by_its_gain_question_by_question():
    whole = [plain(number / 40) for number in range(40)]
    table = rows(
        {
            ALL: whole,
            "good": [plain(one.ndcg - 0.1) for one in whole],
            "bad": [plain(one.ndcg + 0.1) for one in whole],
            "idle": whole[:],
            "uneven": [plain(one.ndcg + (0.2 if number % 2 else -0.19)) for number, one in enumerate(whole)],
            "tiny": [plain(one.ndcg + 0.004) for one in whole],
        }
    )
    assert {row.name: row.verdict for row in table} == {
        ALL: "",
        "good": Verdict.HELPS,
        "bad": Verdict.WORSE,
        "idle": Verdict.UNUSED,
        "uneven": Verdict.NOISE,
        "tiny": Verdict.NOISE,
    }
    good = table[1]
    assert good.gain == pytest.approx(0.1)
    assert good.gain_error == pytest.approx(0.0, abs=1e-12)
    assert good.error == pytest.approx(0.0462, abs=1e-4)


def test_a_row_is_the_mean_over_the_questions_and_the_tail_of_the_times():
    (row,) = rows({ALL: [plain(0.0, 0.001), plain(1.0, 0.002), plain(0.5, 0.009)]})
    assert (row.questions, row.ndcg, row.lines, row.p50_ms, row.p95_ms) == (3, 0.5, 10, 2.0, 9.0)
    assert row.span_ndcg is None


def test_one_question_has_no_error_and_nothing_asked_has_no_rows():
    assert rows({ALL: [plain(1.0)]})[0].error == 0.0
    assert rows({ALL: []}) == []

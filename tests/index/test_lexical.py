"""Words and how well they match."""

import numpy as np
import pytest

from fireside.index.lexical import Words, bm25, fold, query_terms, stem


@pytest.mark.parametrize(
    ("word", "terms"),
    [
        ("name", ("name",)),
        ("readHTTPBody2", ("read", "http", "body", "2", "readhttpbody2")),
        ("parse_config", ("pars", "config", "parse_config")),
        ("_hidden", ("hidden",)),
        ("XMLParser", ("xml", "pars", "xmlparser")),
        ("日本語", ("日本語",)),
    ],
)
def test_identifiers_are_split_and_kept_whole(word, terms):
    assert Words().of(word) == terms


@pytest.mark.parametrize(
    "family",
    [
        "validate validates validated validation validator",
        "serialize serializer serialization",
        "format formatter formatting",
        "query queries",
        "stop stopped",
        "cache cached caching",
    ],
)
def test_forms_of_a_word_meet(family):
    assert len({stem(word) for word in family.split()}) == 1


def test_different_words_stay_apart():
    words = ["string", "ring", "king", "user", "used", "process", "press", "class", "classify", "set"]
    assert len({stem(word) for word in words}) == len(words)


def test_questions_lose_their_small_words_unless_nothing_else_is_left():
    words = Words()
    assert set(query_terms("where is the tax added?", words)) == {stem("tax"), stem("added")}
    assert query_terms("how does it do this", words)
    assert query_terms("?!", words) == {}


def test_rarer_words_and_shorter_chunks_score_higher():
    lengths = np.array([10, 100, 10, 0], np.uint32)
    postings = {
        "rare": (np.array([0, 1], np.uint32), np.array([1, 1], np.uint8)),
        "common": (np.array([0, 1, 2, 3], np.uint32), np.array([1, 1, 1, 9], np.uint8)),
    }
    scores = bm25(postings, {"rare": 1.0, "common": 1.0}, lengths)
    assert scores[0] > scores[1] > scores[2] > 0
    assert scores[3] == 0, "a dead chunk answers nothing"


def test_bm25_agrees_with_the_textbook():
    lengths = np.array([4, 8], np.uint32)
    postings = {"a": (np.array([0], np.uint32), np.array([3], np.uint8))}
    idf = np.log(1 + (2 - 1 + 0.5) / (1 + 0.5))
    expected = idf * 3 * 2.5 / (3 + 1.5 * (0.25 + 0.75 * 4 / 6))
    assert bm25(postings, {"a": 1.0}, lengths)[0] == pytest.approx(expected, rel=1e-6)


def test_spellings_of_one_name_fold_together():
    assert fold("parse_config") == fold("parseConfig") == fold("_ParseConfig")

"""Pairs of questions and code."""

import random

import pytest

from fireside.training.archives import SourceFile
from fireside.training.embedding.pairs import mine
from fireside.training.embedding.questions import question

PYTHON = '''"""Talking to the mail server over and over again."""

import time


class Sender:
    """Sends letters in the background."""

    def wait_before_retry(self, tries):
        """Return how long to pause before the next attempt."""
        # the server bans clients that come back too quickly
        delay = 2 ** tries
        if delay > 60:
            raise RuntimeError("gave up after too many attempts")
        return delay

    def open_connection_again(self, address):
        connection = self.pool.get(address)
        connection.close()
        time.sleep(1)
        return connection
'''
GO = """package mail

// Pause computes the time until the next attempt is made.
func Pause(tries int) int {
\t// twice as long each time, as the protocol wants it
\treturn 1 << tries
}
"""


def pairs_of(text, language, path, seed="a"):
    found = list(mine(SourceFile(path, text, language), random.Random(seed)))
    return {kind: [one for one in found if one.kind == kind] for kind in {one.kind for one in found}}


@pytest.fixture
def python_pairs():
    return pairs_of(PYTHON, "python", "mail/sender.py")


def test_a_docstring_asks_for_its_function_which_no_longer_holds_it(python_pairs):
    [pair] = [one for one in python_pairs["doc"] if "pause" in one.question]
    assert pair.question == "Return how long to pause before the next attempt."
    assert "2 ** tries" in pair.passage.text
    assert "how long to pause" not in pair.passage.text
    assert pair.passage.path == "mail/sender.py"


def test_a_comment_asks_for_the_lines_below_it(python_pairs):
    [pair] = python_pairs["comment"]
    assert pair.question == "the server bans clients that come back too quickly"
    assert "2 ** tries" in pair.passage.text
    assert "bans clients" not in pair.passage.text


def test_a_message_asks_for_the_code_that_gives_it(python_pairs):
    [pair] = python_pairs["message"]
    assert pair.question == "gave up after too many attempts"
    assert "RuntimeError" in pair.passage.text
    assert "gave up" not in pair.passage.text


def test_documentation_comments_of_other_languages_ask_too():
    found = pairs_of(GO, "go", "mail/pause.go")
    [pair] = found["doc"]
    assert pair.question == "computes the time until the next attempt is made."
    assert "1 << tries" in pair.passage.text
    assert "computes the time" not in pair.passage.text


def test_a_name_asks_for_the_body_without_the_name():
    seeds = (pairs_of(PYTHON, "python", "mail/sender.py", seed) for seed in range(40))
    found = next(one["name"] for one in seeds if "name" in one)
    assert found[0].question == "open connection again"
    assert "open_connection_again" not in found[0].passage.text


def test_the_same_file_gives_the_same_pairs():
    assert pairs_of(PYTHON, "python", "x.py") == pairs_of(PYTHON, "python", "x.py")


@pytest.mark.parametrize(
    ("documentation", "asked"),
    [
        ("Foo reads {@link Bar the bar} and `closes` it.", "reads Bar and closes it."),
        ("See the other one for details.", ""),
        ("Deprecated: use another function.", ""),
        ("ok", ""),
        ("== 1 + 2 * (3 - 4) == a b c", ""),
        ("A Foo is the place where letters wait.", "the place where letters wait."),
    ],
)
def test_only_sentences_become_questions(documentation, asked):
    assert question(documentation, "Foo") == asked

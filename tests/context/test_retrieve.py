"""What search adds to a question: after mentions, for follow-ups, for the whole project, and without keys."""

import os
from pathlib import Path

import pytest

from fireside.context.meaning import Resolved, resolve
from fireside.context.mentions import find
from fireside.context.project import Project
from fireside.context.retrieve import WHOLE, Retrieved, query_of, refers_back, retrieve, topic_of
from fireside.context.screen import Screen
from fireside.context.spans import beyond, merged
from fireside.core.turns import Citation
from fireside.index.chunks import Chunk, Hit
from support.knowing import open_project
from support.project import FILES

KEY = "AKIA" + "Z7Q4MKRT2WXE5VNB"
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEAv5r0Yy1hZs8kq2TgXw9bN4uLcE7JdF3oPmRiSaWxQzKtVn6B\n" * 40


@pytest.fixture
def project(tmp_path: Path):
    made = open_project(
        tmp_path, {**FILES, "harbour/config.py": f'REGION = "north"\nHARBOUR_KEY = "{KEY}"\nPIERS = 3\n'}
    )
    yield made
    made.close()


def look_up(project: Project, question: str, topic: str = "", screen: Screen | None = None) -> Retrieved:
    named = resolve(find(question), project, screen=screen)
    return retrieve(question, project, named, topic=topic, screen=screen)


def paths(found: Retrieved) -> list[str]:
    return [hit.chunk.path for hit in found.hits]


def test_a_question_finds_its_lines(project):
    assert paths(look_up(project, "how is a berth chosen for a ship?"))[0] == "harbour/berths.py"


def test_a_question_that_refers_back_is_looked_up_with_the_one_before(project):
    first = look_up(project, "how high is the tide at noon?")
    second = look_up(project, "and where is it used?", first.topic)
    assert paths(second)[0] == "harbour/tides.py"
    third = look_up(project, "why?", second.topic)
    assert paths(third)[0] == "harbour/tides.py"


def test_a_new_subject_is_looked_up_alone(project):
    topic = look_up(project, "how high is the tide at noon?").topic
    assert query_of("how is the shortest free berth allocated for a ship?", Resolved(), topic).startswith("how is the")
    assert "tide" not in query_of("how is the shortest free berth allocated for a ship?", Resolved(), topic)
    assert "tide" not in query_of("allocate_berth", Resolved(), topic)


@pytest.mark.parametrize(
    "question", ["why?", "and where is it called?", "show me an example", "what about tests?", "und warum?"]
)
def test_short_questions_and_those_that_point_refer_back(question):
    assert refers_back(question)


def test_a_question_about_a_part_of_the_whole_is_looked_up_too(project):
    found = look_up(project, "what is the architecture of the berth allocation?")
    assert found.whole
    assert paths(found)[0] == "harbour/berths.py"


def test_courtesy_is_not_looked_up(project):
    assert look_up(project, "ok thanks!", "how high is the tide?") == Retrieved(topic="how high is the tide?")


@pytest.mark.parametrize(
    "question",
    [
        "allocate_berth",
        "Berth.number",
        "where are settings validated and merged from files?",
        "parse_config()",
        "where is the code that computes the retry delay?",
        "is there a parser for toml files?",
        "why does the index rebuild on start?",
        "what is this project?",
    ],
)
def test_a_name_and_a_full_question_stand_for_themselves(question):
    assert not refers_back(question)


def test_a_topic_never_grows_without_end():
    topic = ""
    for number in range(200):
        topic = topic_of(f"and {number}?", [], topic)
    assert len(topic) <= 600


def test_after_a_mention_the_rest_of_the_question_is_looked_up(project):
    named = resolve(find("what calls @allocate_berth in the tests"), project)
    assert query_of("what calls @allocate_berth in the tests", named) == "what calls in the tests"
    assert query_of("explain @allocate_berth", resolve(find("explain @allocate_berth"), project)) == "allocate_berth"
    assert query_of("explain @harbour/tides.py", resolve(find("explain @harbour/tides.py"), project)) == ""
    assert "tests/test_berths.py" in paths(look_up(project, "explain @allocate_berth"))
    assert look_up(project, "explain @harbour/tides.py").hits == ()


def test_inside_a_mentioned_folder_is_looked_first(project):
    assert paths(look_up(project, "where is a berth allocated in @tests/ ?"))[0] == "tests/test_berths.py"


@pytest.mark.parametrize(
    "question",
    [
        "what is this project?",
        "What does this repository do",
        "explain the codebase",
        "where do I start?",
        "the architecture",
        "what is this?",
    ],
)
def test_a_question_about_the_whole_comes_with_the_map(project, question):
    found = look_up(project, question)
    drawn, readme = found.whole
    assert "harbour/berths.py" in drawn.text
    assert readme.text.startswith("# Harbour")
    assert found.hits == ()


@pytest.mark.parametrize(
    "question",
    ["what does this function do?", "where do I start the timer?", "how is a berth chosen?", "what is this error?"],
)
def test_other_questions_do_not(question):
    assert WHOLE.search(question) is None


def test_a_question_in_another_language_that_finds_nothing_gets_the_map(project):
    found = look_up(project, "船の停泊場所はどこで選ばれますか")
    assert found.hits == ()
    assert found.whole[0].name == "map of the project"
    assert look_up(project, "hello!") == Retrieved()


def test_a_question_of_100_kilobytes_is_looked_up_by_its_beginning(project):
    assert paths(look_up(project, "how is a berth chosen for a ship? " + "noise " * 20_000))[0] == "harbour/berths.py"


def test_a_file_gone_since_it_was_indexed_is_left_out_and_named(project):
    os.unlink(project.root / "harbour/tides.py")
    found = look_up(project, "how high is the tide at an hour of the day?")
    assert "harbour/tides.py" not in paths(found)
    assert any("harbour/tides.py" in note for note in found.notes)


def test_keys_are_kept_out_of_excerpts_and_it_is_said_where(project):
    screen = Screen(project.workspace)
    found = look_up(project, "which REGION and HARBOUR_KEY and PIERS are there?", screen=screen)
    texts = "\n".join(hit.chunk.text for hit in found.hits)
    assert "PIERS = 3" in texts
    assert KEY not in texts
    assert screen.notes() == ["a value that looks like a key: harbour/config.py:2 (aws-access-token)"]
    unguarded = look_up(
        project, "which REGION and HARBOUR_KEY and PIERS are there?", screen=Screen(project.workspace, on=False)
    )
    assert KEY in "\n".join(hit.chunk.text for hit in unguarded.hits)


def test_keys_are_kept_out_of_what_is_mentioned(project):
    screen = Screen(project.workspace)
    for question in ("@harbour/config.py", "@harbour/config.py:2", "@HARBOUR_KEY", "@harbour/", "@map"):
        named = resolve(find(question), project, screen=screen)
        assert named.attachments, question
        assert not any(KEY in one.text + one.outline for one in named.attachments), question
    assert screen.notes()


def test_the_middle_of_a_key_of_many_lines_is_kept_out_although_it_looks_like_nothing(tmp_path):
    made = open_project(tmp_path, {"deploy.py": f'KEY = """{PEM}-----END RSA PRIVATE KEY-----"""\n'})
    screen = Screen(made.workspace)
    middle = Chunk("deploy.py", 10, 20, "\n".join((made.root / "deploy.py").read_text().split("\n")[9:20]), "python")
    shown = screen.chunk(middle)
    made.close()
    assert "MIIE" in middle.text
    assert shown is not None
    assert "MIIE" not in shown.text
    assert len(screen.notes()) == 1
    assert "deploy.py:1 (" in screen.notes()[0]


def test_what_changed_since_it_was_indexed_is_screened_as_the_index_has_it(project):
    stale = Chunk("harbour/config.py", 1, 2, f'OLD = 1\nKEY = "{KEY}"', "python")
    shown = Screen(project.workspace).chunk(stale)
    assert shown is not None
    assert shown.text.startswith("OLD = 1")
    assert KEY not in shown.text


def test_what_the_user_typed_is_only_warned_about(project):
    assert "line 2 (aws-access-token)" in Screen(project.workspace).typed(f"why is this\n{KEY} refused?")[0]
    assert Screen(project.workspace).typed("why?") == []


def chunk(path: str, first: int, last: int) -> Chunk:
    return Chunk(path, first, last, "\n".join(f"{path} {number}" for number in range(first, last + 1)))


def test_hits_that_overlap_or_touch_become_one():
    hits = [
        Hit(chunk("a", 1, 5), 3.0, ("x",)),
        Hit(chunk("b", 1, 2), 2.5),
        Hit(chunk("a", 10, 12), 2.0),
        Hit(chunk("a", 4, 9), 1.0, ("y",)),
    ]
    joined, other = merged(hits)
    assert joined.chunk == chunk("a", 1, 12)
    assert joined.reasons == ("x", "y")
    assert other.chunk.path == "b"


def test_a_hit_inside_another_adds_nothing():
    assert [one.chunk for one in merged([Hit(chunk("a", 3, 4), 2.0), Hit(chunk("a", 1, 9), 1.0)])] == [chunk("a", 1, 9)]


def test_only_what_was_not_shown_is_left():
    shown = [Citation("a", 3, 4), Citation("b", 1, 99), Citation("a", 8, 20)]
    assert beyond(chunk("a", 1, 10), shown) == [chunk("a", 1, 2), chunk("a", 5, 7)]
    assert beyond(chunk("b", 5, 6), shown) == []
    assert beyond(chunk("c", 5, 6), shown) == [chunk("c", 5, 6)]

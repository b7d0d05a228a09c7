"""What is named with @: found in a question, looked up in a project, told where it cannot be shown."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fireside.context.meaning import Resolved, resolve
from fireside.context.mentions import find, without
from fireside.context.project import Project
from fireside.context.screen import Screen
from support.knowing import open_project

KEY = "AKIA" + "Z7Q4MKRT2WXE5VNB"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "MIIEpAIBAAKCAQEAv5r0Yy1hZs8kq2TgXw9bN4uLcE7JdF3oPmRiSaWxQzKtVn6B\n" * 9
    + "-----END RSA PRIVATE KEY-----"
)

FILES = {
    "app/main.py": '''\
"""Start here."""

import os


@cached
def start(port: int) -> None:
    """Open the port and serve."""
    serve(port)


class Door:
    """A way in."""

    # Rings twice.
    def open(self, key: str) -> bool:
        return bool(key)

    def close(self) -> None:
        self.shut = True
''',
    "app/routes.py": "def route(path):\n    return path\n",
    "lib/routes.py": "def other():\n    return 1\n",
    "lib/deep/engine.go": "package deep\n\n// Run starts it.\nfunc Run(n int) error {\n\treturn nil\n}\n",
    "docs/a guide.md": "# Guide\n\nRead this.\n",
    "empty.py": "",
    ".gitignore": "build/\n*.gen.py\n",
    "build/made.py": "made = 1\n",
    "x.gen.py": "generated = 1\n",
    "tests/test_door.py": "def open():\n    pass\n",
}


@pytest.fixture
def project(tmp_path: Path):
    (tmp_path / "outside.py").write_text("outside = 1\n")
    made = open_project(tmp_path, FILES)
    (tmp_path / "root" / "logo.dat2").write_bytes(b"\0\1\2")
    (tmp_path / "root" / "huge.txt").write_text("word " * 300_000)
    (tmp_path / "root" / ".env").write_text("TOKEN=abc\n")
    (tmp_path / "root" / ".git").mkdir()
    (tmp_path / "root" / ".git" / "config").write_text("[core]\n")
    (tmp_path / "root" / "link.py").symlink_to(tmp_path / "outside.py")
    (tmp_path / "root" / "alias.py").symlink_to(tmp_path / "root" / ".env")
    made.update()
    yield made
    made.close()


def look_up(project: Project, question: str) -> Resolved:
    return resolve(find(question), project)


def shown(resolved: Resolved) -> list[str]:
    return [str(one.place or one.name) for one in resolved.attachments if not one.optional]


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("explain @src/a.py, please", ["src/a.py"]),
        ("@a.py.", ["a.py"]),
        ("(@a.py)", ["a.py"]),
        ("see @\"a b.py\" and @'c d.py'", ["a b.py", "c d.py"]),
        ("@`x y.py`", ["x y.py"]),
        ("@app/(group)/[id]/page.tsx:", ["app/(group)/[id]/page.tsx"]),
        ("compare @a.py with @b.py", ["a.py", "b.py"]),
        ("what does @Door.open() do?", ["Door.open()"]),
        ("@größe.py", ["größe.py"]),
        ("@diff:main", ["diff:main"]),
        ("write to me@example.com or a.b+c@example.com", []),
        ("node_modules/@types/x and //@ts-check", []),
        ("an @ alone and @@twice", []),
        ("```python\n@property\n```\nand @a.py", ["a.py"]),
        ("~~~\n@never closed", []),
    ],
)
def test_mentions_are_found_where_people_write_them(question, names):
    assert [mention.name for mention in find(question)] == names


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("@a.py:10-40", (10, 40)),
        ("@a.py:40-10", (10, 40)),
        ("@a.py:7", (7, 7)),
        ("@a.py:7:3", (7, 7)),
        ("@a.py#L3-L9", (3, 9)),
        ('@"a b.py":3-4', (3, 4)),
        ('@"a b.py:3-4"', (3, 4)),
        ("@a.py", (0, 0)),
    ],
)
def test_lines_are_read_off_a_mention(text, lines):
    (mention,) = find(f"see {text}, then?")
    assert mention.text == text
    assert (mention.first_line, mention.last_line) == lines
    assert mention.name in ("a.py", "a b.py")


@given(st.text(st.sampled_from("@\"'`:#L0-9a.b/()[]~\n é。"), max_size=60))
def test_every_mention_stands_where_it_says(question):
    position = 0
    for mention in find(question):
        assert mention.start >= position
        assert question[mention.start : mention.end] == mention.text
        position = mention.end


def test_a_question_without_its_mentions_keeps_its_words():
    question = 'how does @"a b.py":3 differ from @c.py?'
    assert without(question, find(question)) == "how does differ from ?"


@pytest.mark.parametrize("piece", ["@a ", "@", '@"', "@(", "@a.b", "```\n@x\n", "a@", "@x)", "@x.", "@x:1-"])
def test_a_question_of_100_kilobytes_is_read_quickly(piece):
    question = piece * (100_000 // len(piece))
    began = time.process_time()
    find(question)
    assert time.process_time() - began < 1


def test_a_file_is_meant_by_its_path_by_its_name_and_by_the_end_of_its_path(project):
    for text in ("@app/main.py", "@./app/main.py", "@main.py", "@MAIN.py", f"@{project.root}/app/main.py"):
        assert shown(look_up(project, f"explain {text}")) == ["app/main.py:1-20"], text
    assert shown(look_up(project, "@deep/engine.go")) == ["lib/deep/engine.go:1-6"]
    assert shown(look_up(project, '@"docs/a guide.md"')) == ["docs/a guide.md:1-3"]
    assert look_up(project, "@main.py是什么").attachments[0].text == FILES["app/main.py"].rstrip("\n")


def test_lines_of_a_file_are_shown_alone_and_one_line_in_what_it_stands_in(project):
    (some,) = look_up(project, "@app/main.py:6-9").attachments
    assert some.text.startswith("@cached\ndef start")
    assert str(some.place) == "app/main.py:6-9"
    (around,) = look_up(project, "@app/main.py:17").attachments
    assert around.text.endswith("return bool(key)")
    assert "def open" in around.text
    assert look_up(project, "@app/main.py:400-500").notes == ("@app/main.py:400-500: app/main.py has 20 lines",)


def test_a_name_that_several_files_have_is_told_with_all_of_them(project):
    found = look_up(project, "explain @routes.py")
    assert found.attachments == ()
    assert found.notes == ("@routes.py: 2 files are called so: app/routes.py, lib/routes.py",)


def test_a_definition_is_shown_in_full_with_what_stands_before_it(project):
    (method,) = look_up(project, "what does @Door.open do?").attachments
    assert method.text.strip().startswith("# Rings twice.\n    def open")
    assert str(method.place) == "app/main.py:15-17"
    assert method.place.symbol == "Door.open"
    (start,) = look_up(project, "@start").attachments
    assert start.text.startswith("@cached\ndef start(port: int)")
    (run,) = look_up(project, "@Run(3)").attachments
    assert run.text.startswith("// Run starts it.\nfunc Run")


def test_a_name_defined_twice_shows_both_sources_first(project):
    assert [one.place.path for one in look_up(project, "@open").attachments] == ["app/main.py", "tests/test_door.py"]


def test_a_folder_is_listed_with_signatures_and_its_texts_follow_if_there_is_room(project):
    found = look_up(project, "what is in @lib/ ?")
    listing, *texts = found.attachments
    assert listing.name == "lib/ (2 files)"
    assert "lib/deep/engine.go\n  func Run(n int) error" in listing.text
    assert [(one.name, one.optional) for one in texts] == [("lib/deep/engine.go", True), ("lib/routes.py", True)]
    assert found.scopes == ("lib/",)
    assert shown(look_up(project, "@deep/")) == ["lib/deep/ (1 files)"]
    assert shown(look_up(project, "@lib")) == ["lib/ (2 files)"]


def test_the_map_is_drawn(project):
    (drawn,) = look_up(project, "@map").attachments
    assert drawn.name == "map of the project"
    assert "app/main.py" in drawn.text


@pytest.mark.parametrize(
    ("mention", "said"),
    [
        ("@../outside.py", "is outside"),
        ("@/etc/passwd", "is outside"),
        ("@link.py", "is outside"),
        ("@build/made.py", "ignored"),
        ("@x.gen.py", "ignored"),
        ("@.git/config", "ignored"),
        ("@logo.dat2", "binary"),
        ("@huge.txt", "larger than 1 MB"),
        ("@empty.py", "empty"),
        ("@.env", "kept out of prompts"),
        ("@alias.py", "kept out of prompts"),
        ("@build/", "nothing in it is read"),
        ("@https://example.com/a.py", "not fetched"),
        ("@app/mian.py", "did you mean app/main.py?"),
        ("@rouets.py", "did you mean app/routes.py?"),
        ("@" + "a" * 900 + "/b.py", "no such file"),
    ],
)
def test_what_cannot_be_shown_is_told_and_not_shown(project, mention, said):
    found = look_up(project, f"explain {mention}")
    assert found.attachments == ()
    assert len(found.notes) == 1
    assert said in found.notes[0]
    assert found.notes[0].startswith(mention)


@pytest.mark.parametrize(
    "question",
    [
        "why @property?",
        "@app.route('/x') fails",
        "@Override is missing",
        "@pytest.mark.slow",
        "thanks @anna!",
        "@",
        "@é",
    ],
)
def test_a_bare_word_that_means_nothing_here_stays_a_word(project, question):
    assert look_up(project, question) == Resolved()


def test_a_file_gone_since_it_was_indexed_is_told(project):
    os.unlink(project.root / "app/routes.py")
    found = look_up(project, "@app/routes.py @lib/routes.py")
    assert shown(found) == ["lib/routes.py:1-2"]
    assert len(found.notes) == 1
    assert found.notes[0].startswith("@app/routes.py")


def test_what_is_named_twice_is_shown_once(project):
    assert shown(look_up(project, "@main.py and @app/main.py and @Door.open @Door.open")) == [
        "app/main.py:1-20",
        "app/main.py:15-17",
    ]


def test_too_many_mentions_are_cut_and_that_is_said(project):
    found = look_up(project, "@main.py " * 41)
    assert shown(found) == ["app/main.py:1-20"]
    assert "1 more" in found.notes[0]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    made = open_project(tmp_path, {"app.py": "one = 1\ntwo = 2\n", "old.py": "old = 1\n", ".gitignore": "out/\n"})
    commit(made, "first", "-b", "main")
    yield made
    made.close()


def git(project: Project, *words: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    subprocess.run(["git", *who, *words], cwd=project.root, check=True, capture_output=True)


def commit(project: Project, message: str, *init: str) -> None:
    if init:
        git(project, "init", "-q", *init)
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", message)


def texts(resolved: Resolved) -> str:
    return "\n".join(one.text for one in resolved.attachments)


def test_what_is_not_committed_is_shown_file_by_file_new_files_too(repository):
    (repository.root / "app.py").write_text("one = 1\ntwo = 22\n")
    (repository.root / "new.py").write_text("new = 1\n")
    (repository.root / "old.py").unlink()
    found = look_up(repository, "is @diff right?")
    assert [one.name for one in found.attachments] == [
        "uncommitted changes (3 files)",
        "diff of app.py",
        "diff of old.py",
        "diff of new.py",
    ]
    assert found.attachments[0].text == "app.py: modified +1 -1\nold.py: deleted +0 -1\nnew.py: added +1 -0"
    assert "-two = 2\n+two = 22" in found.attachments[1].text
    assert "+new = 1" in found.attachments[3].text
    assert found.notes == ()


def test_changes_since_a_branch_are_those_made_since_it_was_left(repository):
    git(repository, "checkout", "-q", "-b", "feature")
    (repository.root / "mine.py").write_text("mine = 1\n")
    commit(repository, "mine")
    git(repository, "checkout", "-q", "main")
    (repository.root / "theirs.py").write_text("theirs = 1\n")
    commit(repository, "theirs")
    git(repository, "checkout", "-q", "feature")
    found = look_up(repository, "review @diff:main.")
    assert [one.name for one in found.attachments] == ["changes since main (1 files)", "diff of mine.py"]
    assert "theirs.py" in texts(look_up(repository, "@diff:feature..main"))
    assert "mine.py" not in texts(look_up(repository, "@diff:feature...main"))


def test_a_key_in_a_change_is_kept_out_on_both_sides(repository):
    (repository.root / "app.py").write_text("one = 1\ntwo = 2\n" + f"key = '{KEY}'\n" + f'pem = """{PEM}"""\n')
    screen = Screen(repository.workspace)
    added = resolve(find("@diff"), repository, screen=screen)
    commit(repository, "oops")
    (repository.root / "app.py").write_text("one = 1\n")
    removed = look_up(repository, "@diff")
    for found in (added, removed):
        assert "MIIE" not in texts(found)
        assert KEY not in texts(found)
        assert "app.py" in texts(found)
    assert "app.py (aws-access-token)" in screen.notes()[0]


def test_a_change_in_the_middle_of_a_key_shows_nothing_of_it(repository):
    (repository.root / "app.py").write_text(f'one = 1\npem = """{PEM}"""\n')
    commit(repository, "oops")
    changed = PEM.split("\n")
    changed[5] = changed[5].replace("MIIE", "MIIX")
    (repository.root / "app.py").write_text('one = 1\npem = """' + "\n".join(changed) + '"""\n')
    shown = texts(look_up(repository, "@diff"))
    assert "MII" not in shown
    assert "-<redacted" in shown


def test_secret_and_ignored_files_are_named_and_not_shown_in_changes(repository):
    (repository.root / ".env").write_text("PASSWORD=hunter2\n")
    (repository.root / ".firesideignore").write_text("old.py\n")
    (repository.root / "old.py").write_text("old = 22\n")
    found = look_up(repository, "@diff")
    assert "hunter2" not in texts(found)
    assert "old = 22" not in texts(found)
    assert ".firesideignore" in texts(found)
    assert len(found.notes) == 1
    assert ".env (environment variables)" in found.notes[0]
    assert "old.py (ignored)" in found.notes[0]


@pytest.mark.parametrize(
    ("mention", "said"),
    [
        ("@diff", "nothing has changed"),
        ("@diff:nowhere", "git knows no revision"),
        ("@diff:--all", "git knows no revision"),
    ],
)
def test_no_changes_and_no_such_revision_are_told(repository, mention, said):
    found = look_up(repository, mention)
    assert found.attachments == ()
    assert said in found.notes[0]


def test_there_are_no_changes_without_a_repository(tmp_path):
    made = open_project(tmp_path, {"a.py": "a = 1\n"})
    found = look_up(made, "@diff")
    made.close()
    assert "not in a git repository" in found.notes[0]

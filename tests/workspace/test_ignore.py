"""Which files a project has: git's rules, ours, and what is left out whatever the rules say."""

import subprocess
from pathlib import Path

import pytest

from fireside.workspace.files import scan


def put(root: Path, *paths: str, text: str = "x\n") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def found(root: Path) -> set[str]:
    return {entry.path for entry in scan(root).files}


def test_a_nested_gitignore_holds_for_its_own_folder_only(tmp_path):
    put(tmp_path, "a.tmp", "sub/a.tmp", "sub/deep/a.tmp", "sub/a.py")
    put(tmp_path, "sub/.gitignore", text="*.tmp\n")
    assert found(tmp_path) == {"a.tmp", "sub/a.py", "sub/.gitignore"}


def test_a_deeper_negation_brings_back_what_a_shallower_rule_left_out(tmp_path):
    put(tmp_path, "a.gen.py", "keep/a.gen.py")
    put(tmp_path, ".gitignore", text="*.gen.py\n")
    put(tmp_path, "keep/.gitignore", text="!a.gen.py\n")
    assert "keep/a.gen.py" in found(tmp_path)
    assert "a.gen.py" not in found(tmp_path)


def test_nothing_comes_back_from_an_ignored_folder(tmp_path):
    put(tmp_path, "out/keep.py", "out/other.py")
    put(tmp_path, ".gitignore", text="out/\n!out/keep.py\n")
    assert found(tmp_path) == {".gitignore"}


def test_a_file_comes_back_from_a_folder_whose_contents_are_ignored(tmp_path):
    put(tmp_path, "out/keep.py", "out/other.py", "in/keep.py", "in/other.py")
    put(tmp_path, ".gitignore", text="out/**\n!out/keep.py\nin/*\n!in/keep.py\n")
    assert found(tmp_path) == {".gitignore", "out/keep.py", "in/keep.py"}


@pytest.mark.parametrize(
    ("pattern", "path", "ignored"),
    [
        ("/top.py", "top.py", True),
        ("/top.py", "sub/top.py", False),
        ("sub/top.py", "sub/top.py", True),
        ("sub/top.py", "other/sub/top.py", False),
        ("**/sub/top.py", "other/sub/top.py", True),
        ("name", "a/name/b.py", True),
        ("name/", "a/name/b.py", True),
        ("name/", "a/name", False),
        ("*.[ch]", "a/b.h", True),
        ("a/**/b.py", "a/x/y/b.py", True),
        ("a/**/b.py", "a/b.py", True),
        ("?.py", "ab.py", False),
        ("\\#name.py", "#name.py", True),
        ("\\!name.py", "!name.py", True),
        ("# a comment", "# a comment", False),
        ("[", "[", False),
        ("[z-a].py", "z.py", True),
        ("[!z-a].py", "b.py", True),
        ("[b-a].py", "c.py", False),
        ("[[:alpha:]].py", "b.py", True),
        ("[[:alpha:]].py", "1.py", False),
        ("[[:nonsense:]].py", "n.py", False),
        ("a[/]b", "a/b", False),
        ("[]-]", "]", True),
        ("[\\]]", "]", True),
        ("a\\", "a", False),
        ("a\t", "a", False),
        ("a  ", "a", True),
        ("a\\ ", "a ", True),
        ("a\r", "a", True),
        ("\ufeffa", "a", True),
        ("a\x0cb", "b", False),
        ("sub/a**/c.py", "sub/ax/y/c.py", True),
        ("sub/*", "sub/a.py", True),
        ("*/**", "a.py", False),
        ("**", "a.py", True),
        ("/", "a", False),
        ("!", "!", False),
        ("*a*b", "xaxab", True),
    ],
)
def test_patterns_mean_what_git_means(tmp_path, pattern, path, ignored):
    put(tmp_path, path)
    (tmp_path / ".gitignore").write_bytes(f"{pattern}\n".encode())
    assert (path not in found(tmp_path)) is ignored
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    if pattern != "[":
        said = subprocess.run(["git", "check-ignore", "-q", path], cwd=tmp_path, check=False)
        assert (said.returncode == 0) is ignored


@pytest.mark.parametrize("rules", ["*\n!*/\n!*.py\n", "!**\n", "!.git\n!.git/**\n"])
def test_no_rule_brings_gits_own_folder_in(tmp_path, rules):
    put(tmp_path, "a.py", ".git/hooks/b.py", ".git/HEAD", "sub/.git")
    put(tmp_path, ".gitignore", text=rules)
    assert {path for path in found(tmp_path) if ".git" in path.split("/")} == set()


def test_a_pattern_made_to_take_for_ever_does_not(tmp_path):
    put(tmp_path, "a" * 200, "b.py")
    put(tmp_path, ".gitignore", text="*a" * 40 + "b\n" + "sub/" + "*a" * 40 + "b\n")
    assert "b.py" in found(tmp_path)


def test_our_own_rule_file_speaks_last(tmp_path):
    put(tmp_path, "a.py", "b.py", "c.py", "node_modules/lib/x.js")
    put(tmp_path, ".gitignore", text="a.py\n")
    put(tmp_path, ".ignore", text="!a.py\nb.py\n")
    put(tmp_path, ".firesideignore", text="a.py\n!b.py\n!node_modules/\n")
    assert {"b.py", "c.py", "node_modules/lib/x.js"} <= found(tmp_path)
    assert "a.py" not in found(tmp_path)


def test_git_exclude_and_the_rules_above_a_subfolder_hold_too(tmp_path):
    put(tmp_path, "sub/a.py", "sub/b.py", "sub/c.py")
    put(tmp_path, ".git/info/exclude", text="a.py\n")
    put(tmp_path, ".gitignore", text="sub/b.py\n")
    assert found(tmp_path / "sub") == {"c.py"}


def test_an_ignored_folder_asked_for_by_name_is_read(tmp_path):
    put(tmp_path, "out/a.py", "out/.gitignore", text="")
    put(tmp_path, ".git/config", ".gitignore", text="out/\n")
    assert "a.py" in found(tmp_path / "out")


def test_secrets_locks_minified_files_and_tool_folders_are_left_out(tmp_path):
    left_out = (
        ".env",
        ".env.local",
        "server.pem",
        "package-lock.json",
        "app.min.js",
        "node_modules/a.js",
        ".venv/b.py",
        "my-env/c.py",
    )
    put(tmp_path, *left_out, ".env.example", "app.js", "my-env/pyvenv.cfg")
    assert found(tmp_path) == {".env.example", "app.js"}


def test_a_rule_file_that_is_a_folder_or_not_utf8_breaks_nothing(tmp_path):
    put(tmp_path, ".ignore/a.py", "b.py")
    (tmp_path / ".gitignore").write_bytes(b"\xff\xfe*.tmp\n*.log2\n")
    put(tmp_path, "c.log2")
    assert found(tmp_path) == {".ignore/a.py", "b.py", ".gitignore"}

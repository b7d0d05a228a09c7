"""What a sandboxed program says is what comes back; where no sandbox works, nothing is run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fireside.core.errors import Invalid, NotPermitted
from fireside.evals import sandbox, sandbox_filter
from fireside.evals.sandbox_limits import Limits
from support.sandboxed import working


@pytest.fixture(params=sandbox.KINDS)
def kind(request: pytest.FixtureRequest) -> sandbox.Kind:
    return working(request.param)


def test_what_it_prints_and_its_status_come_back(kind):
    ran = sandbox.run(
        "import sys\nprint(input()[::-1])\nprint('no', file=sys.stderr)\nsys.exit(3)", stdin="äöü\n", kind=kind
    )
    assert (ran.stdout, ran.stderr, ran.status, ran.ended, ran.kind) == ("üöä\n", "no\n", 3, "done", kind)


def test_an_error_is_shown_with_its_line_and_nothing_of_ours(kind):
    ran = sandbox.run("def broken():\n    return 1 / 0\nbroken()", kind=kind)
    assert ran.status == 1
    assert '  File "program.py", line 2, in broken\n' in ran.stderr
    assert "<string>" not in ran.stderr


def test_it_is_a_program_like_any_other(kind):
    program = """
import asyncio, dataclasses, functools, pickle, random, threading, typing
@dataclasses.dataclass
class Point:
    x: int
    y: "int" = 2
assert __name__ == "__main__"
assert pickle.loads(pickle.dumps(Point(1))) == Point(1)
async def twice(x):
    await asyncio.sleep(0)
    return 2 * x
print(asyncio.run(twice(21)))
thread = threading.Thread(target=print, args=("thread",))
thread.start()
thread.join()
exit()
"""
    ran = sandbox.run(program, kind=kind)
    assert (ran.stdout, ran.stderr) == ("42\nthread\n", "")


def test_input_that_is_not_read_and_output_that_is_not_text_do_no_harm(kind):
    program = "import os\nos.write(1, bytes(range(256)))"
    ran = sandbox.run(program, stdin="x" * 1_000_000, kind=kind)
    assert ran.status == 0
    assert ran.stdout.startswith("\0\1\2")
    assert "\ufffd" in ran.stdout


def test_much_input_and_much_output_do_not_wait_for_each_other(kind):
    ran = sandbox.run("import sys\nfor line in sys.stdin: print(line, end='')", stdin="line\n" * 100_000, kind=kind)
    assert ran.stdout == "line\n" * 100_000


def test_what_a_signal_ended_is_said_so(kind):
    ran = sandbox.run("import ctypes\nctypes.string_at(0)", kind=kind)
    assert (ran.ended, ran.status) == ("killed", 128 + 11)


def test_a_program_that_closes_its_output_is_still_waited_for(kind):
    ran = sandbox.run("import os, time\nos.close(1)\nos.close(2)\ntime.sleep(60)", limits=Limits(seconds=1), kind=kind)
    assert ran.ended == "timeout"


def test_bubblewrap_has_a_small_folder_for_files_that_is_gone_afterwards():
    kind = working("bubblewrap")
    program = "import tempfile\nwith tempfile.TemporaryFile() as f:\n  f.write(b'x')\nopen('left', 'w').close()"
    assert sandbox.run(program, kind=kind).status == 0
    assert sandbox.run("import os\nprint(os.listdir())", kind=kind).stdout == "[]\n"


def test_the_example_of_the_page_says_what_the_page_says():
    if sandbox.available().kind is None:
        pytest.skip(f"{sandbox.available().reason}; {sandbox.REMEDY}")
    page = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
    example = page.partition("```python\n")[2].partition("```")[0]
    names: dict[str, object] = {}
    exec(example, names)
    ran = names["ran"]
    assert isinstance(ran, sandbox.Ran)
    assert example.rstrip().endswith(f"# {json.dumps(ran.stdout)}, {ran.status}, {json.dumps(ran.ended)}")


def test_a_program_that_is_no_text_is_refused():
    if sandbox.available().kind is None:
        pytest.skip(f"{sandbox.available().reason}; {sandbox.REMEDY}")
    with pytest.raises(Invalid, match="half a character"):
        sandbox.run("print('\ud800')")


def test_the_syntax_error_of_a_program_is_its_own(kind):
    ran = sandbox.run("def (:", kind=kind)
    assert ran.status == 1
    assert "SyntaxError" in ran.stderr


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"memory": -1}, {"processes": 0}, {"output": 0}])
def test_no_limit_can_be_taken_away(wrong):
    with pytest.raises(ValueError):
        Limits(**wrong)


def test_where_no_sandbox_works_nothing_is_run_and_the_remedy_is_named(tmp_path):
    """A process that may start no other and make no namespace: neither kind can be put up in it."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs seccomp (Linux)")
    script = f"""
from fireside.core.errors import NotPermitted
from fireside.evals import sandbox, sandbox_filter, sandbox_launch
sandbox_launch._prctl(38, 1)
sandbox_launch.filter_calls(sandbox_filter.filter_program(alone=True), sandbox_filter.OWN_PROCESS)
assert sandbox.available().kind is None
try:
    sandbox.run("open({str(tmp_path / "ran")!r}, 'w')")
except NotPermitted as error:
    print(error.message, "|", error.remedy)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    message, remedy = said.stdout.split(" | ")
    assert "bubblewrap: " in message
    assert "landlock: " in message
    assert remedy.startswith("apt install bubblewrap")
    assert not (tmp_path / "ran").exists()


def test_a_machine_whose_system_calls_are_not_known_gets_no_filter():
    with pytest.raises(NotPermitted, match="sparc64"):
        sandbox_filter.filter_program(alone=True, machine="sparc64")


@pytest.mark.parametrize("machine", sandbox_filter.MACHINES)
@pytest.mark.parametrize("alone", [True, False])
def test_every_way_through_the_filter_ends_in_a_verdict(machine, alone):
    """What the kernel checks when it loads a filter, for the machines this test does not run on."""
    code = sandbox_filter.filter_program(alone=alone, machine=machine)
    lines = [(int.from_bytes(code[i : i + 2], "little"), code[i + 2], code[i + 3]) for i in range(0, len(code), 8)]
    assert len(code) % 8 == 0
    assert len(lines) < 4096
    assert lines[-1][0] == 0x06
    for place, (kind, then, otherwise) in enumerate(lines):
        if kind in (0x15, 0x35, 0x45):
            assert place + 1 + max(then, otherwise) < len(lines)


def test_the_numbers_of_the_system_calls_are_those_of_this_system():
    """Against the C library's own names for them."""
    headers = [*Path("/usr/include").glob("*/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h")]
    found = [path for path in headers if path.exists()]
    if not found:
        pytest.skip("the kernel's headers are not there (apt install linux-libc-dev)")
    named = dict(
        line.removeprefix("#define __NR_").split()[:2]
        for line in found[0].read_text().splitlines()
        if line.startswith("#define __NR_") and "x86_64-linux-gnu" in str(found[0])
    )
    listed = ";".join((sandbox_filter._ATTACKS, sandbox_filter._UNKNOWN, sandbox_filter._ALONE))
    for name, number, _ in map(str.split, listed.split(";")):
        assert named.get(name, number) == number, name
    for name, numbers in sandbox_filter._NUMBERS.items():
        assert named.get(name, str(numbers[0])) == str(numbers[0]), name

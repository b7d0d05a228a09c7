import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fireside.core.errors import ConnectionFailed, Invalid, OutOfResources, TimedOut
from fireside.engines.child import LOG_KEPT, LOG_LIMIT, Keeper, trim_log
from fireside.engines.spec import ChildSpec
from fireside.engines.supervisor import Supervisor, key_of
from support.children import command_lines, fake_server, gone, is_running, other_process, status, until
from support.tiny import tiny_gguf


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(tmp_path / "runtime", start_seconds=20)
    yield supervisor
    await supervisor.aclose()


def tiny_spec(**changes: object) -> ChildSpec:
    return ChildSpec(str(tiny_gguf()), context=512)._replace(**changes)


async def test_a_server_answers_only_to_its_key_which_no_command_line_shows(supervisor: Supervisor) -> None:
    running = await supervisor.acquire(tiny_spec())
    assert await status(running, "/slots") == 200
    assert await status(running, "/slots", key="wrong") == 401
    shown = await asyncio.to_thread(command_lines)
    assert "fireside.engines.host" in shown
    assert running.api_key not in shown
    assert running.api_key not in repr(running)


async def test_asking_twice_at_once_starts_one_child(supervisor: Supervisor) -> None:
    first, second = await asyncio.gather(supervisor.acquire(tiny_spec()), supervisor.acquire(tiny_spec()))
    assert first == second


async def test_two_processes_share_one_child_until_the_last_has_gone(supervisor: Supervisor, tmp_path: Path) -> None:
    running = await supervisor.acquire(tiny_spec())
    other = other_process(tmp_path / "runtime", tiny_gguf())
    with other:
        assert other.stdin
        assert other.stdout
        pid, server_pid = map(int, (await asyncio.to_thread(other.stdout.readline)).split())
        assert (pid, server_pid) == (running.pids.pid, running.pids.server_pid)
        await supervisor.release(tiny_spec())
        assert await status(running, "/slots") == 200
        other.stdin.close()
    await gone(pid, server_pid)


async def test_nothing_survives_a_parent_killed_outright(tmp_path: Path) -> None:
    with other_process(tmp_path / "runtime", tiny_gguf()) as other:
        assert other.stdout
        pids = list(map(int, (await asyncio.to_thread(other.stdout.readline)).split()))
        assert all(is_running(pid) for pid in pids)
        other.kill()
    await gone(*pids)


async def test_nothing_survives_a_parent_killed_while_the_model_is_still_loading(tmp_path: Path) -> None:
    binary = fake_server(tmp_path, "silent")
    with other_process(tmp_path / "runtime", tiny_gguf(), binary) as other:
        await until(lambda: any((tmp_path / "runtime").glob("engines/*/pids.json")))
        other.kill()
    await asyncio.to_thread(until_no_command_has, binary)


def until_no_command_has(text: str) -> None:
    deadline = time.monotonic() + 5
    while text in command_lines():
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def test_a_killed_child_takes_its_server_along_and_the_next_request_gets_a_new_one(
    supervisor: Supervisor,
) -> None:
    first = await supervisor.acquire(tiny_spec())
    os.kill(first.pids.pid, signal.SIGKILL)
    await gone(first.pids.pid, first.pids.server_pid)
    second = await supervisor.acquire(tiny_spec())
    assert second.pids.pid != first.pids.pid
    assert await status(second, "/slots") == 200


async def test_a_killed_server_is_replaced(supervisor: Supervisor) -> None:
    async with supervisor.use(tiny_spec()) as first:
        os.kill(first.pids.server_pid, signal.SIGKILL)
        await gone(first.pids.pid)
    async with supervisor.use(tiny_spec()) as second:
        assert await status(second, "/slots") == 200


async def test_a_server_that_keeps_crashing_is_given_up_with_its_last_words(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    spec = tiny_spec(binary=fake_server(tmp_path, "crashes"))
    with pytest.raises(ConnectionFailed) as caught:
        await supervisor.acquire(spec)
    assert "ended 5 times within a minute: GGML_ASSERT(n > 0) failed" in caught.value.message
    assert not caught.value.retryable
    assert "log" in caught.value.remedy
    assert supervisor.running(spec) is None


@pytest.mark.parametrize(
    ("behaviour", "error", "says"),
    [
        ("refuses", Invalid, "unknown model architecture: 'fantasy'"),
        ("hungry", OutOfResources, "does not fit into memory"),
    ],
)
async def test_a_start_that_cannot_work_is_not_tried_again(
    supervisor: Supervisor, tmp_path: Path, behaviour: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        await supervisor.acquire(tiny_spec(binary=fake_server(tmp_path, behaviour)))


async def test_a_binary_that_is_not_there_is_named(supervisor: Supervisor) -> None:
    with pytest.raises(Invalid, match="cannot start /nowhere/llama-server: No such file"):
        await supervisor.acquire(tiny_spec(binary="/nowhere/llama-server"))


async def test_a_model_file_that_is_not_there_is_named(supervisor: Supervisor) -> None:
    with pytest.raises(Invalid, match=r"cannot read /nowhere/model\.gguf"):
        await supervisor.acquire(ChildSpec("/nowhere/model.gguf"))


async def test_a_server_that_never_gets_ready_is_ended_at_its_deadline(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "runtime", start_seconds=0.3)
    binary = fake_server(tmp_path, "silent")
    with pytest.raises(TimedOut) as caught:
        await supervisor.acquire(tiny_spec(binary=binary))
    assert caught.value.context["phase"] == "load"
    assert binary not in command_lines()
    await supervisor.aclose()


async def test_a_server_that_ignores_sigterm_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    spec = tiny_spec(binary=fake_server(tmp_path, "stubborn"))
    running = await supervisor.acquire(spec)
    await supervisor.stop(spec)
    assert not is_running(running.pids.pid)
    assert not is_running(running.pids.server_pid)


async def test_a_child_that_ignores_everything_is_killed_with_its_server(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "runtime", stop_seconds=0.2)
    spec = tiny_spec(binary=fake_server(tmp_path, "stubborn"))
    running = await supervisor.acquire(spec)
    os.kill(running.pids.pid, signal.SIGSTOP)
    await supervisor.stop(spec)
    assert not is_running(running.pids.server_pid)
    await supervisor.aclose()


async def test_an_idle_child_leaves_a_busy_one_stays_and_the_next_request_starts_another(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    spec = tiny_spec(binary=fake_server(tmp_path, "healthy"), idle_seconds=0.25)
    async with supervisor.use(spec) as first:
        age = time.monotonic()
        await until(lambda: time.monotonic() - age > 0.6 or not is_running(first.pids.pid))
        assert is_running(first.pids.pid)
    await gone(first.pids.pid, first.pids.server_pid)
    async with supervisor.use(spec) as second:
        assert second.pids.pid != first.pids.pid


async def test_whoever_gives_up_waiting_does_not_cause_a_second_start(supervisor: Supervisor) -> None:
    waiting = asyncio.create_task(supervisor.acquire(tiny_spec()))
    await until(lambda: supervisor._child(tiny_spec()).pids() is not None)
    begun = supervisor._child(tiny_spec()).pids()
    waiting.cancel()
    running = await supervisor.acquire(tiny_spec())
    assert running.pids == begun


def test_another_file_under_the_same_name_gets_a_child_of_its_own(tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(b"one")
    before = key_of(ChildSpec(str(model)))
    assert key_of(ChildSpec(str(model), nice=5, idle_seconds=9)) == before
    model.write_bytes(b"another")
    assert key_of(ChildSpec(str(model))) != before


def test_the_child_starts_without_anything_heavy() -> None:
    look = "import sys, fireside.engines.child; print(*{'asyncio', 'msgspec', 'orjson', 'numpy', 'aiohttp'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-P", "-c", look], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_a_long_log_keeps_its_end_and_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with open(log, "ab", buffering=0) as writer:
        writer.write(b"old\n" * (LOG_LIMIT // 4))
        writer.write(b"last words\n")
        trim_log(log)
        assert log.stat().st_size == LOG_KEPT
        writer.write(b"and more\n")
    assert log.read_bytes().endswith(b"old\nlast words\nand more\n")


async def test_a_replaced_model_file_is_served_by_a_new_child_and_the_old_one_leaves(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(b"one")
    spec = ChildSpec(str(model), binary=fake_server(tmp_path, "healthy"))
    async with supervisor.use(spec) as before:
        model.write_bytes(b"another")
        async with supervisor.use(spec) as after:
            assert after.pids.pid != before.pids.pid
        assert is_running(before.pids.server_pid), "a request still runs there"
    await supervisor.acquire(spec)
    await gone(before.pids.pid, before.pids.server_pid)
    assert is_running(after.pids.server_pid)


async def test_a_runtime_folder_that_is_taken_away_is_made_anew_and_nothing_stays_behind(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    spec = tiny_spec(binary=fake_server(tmp_path, "healthy"))
    for _ in range(2):
        before = await supervisor.acquire(spec)
        shutil.rmtree(tmp_path / "runtime")
        after = await supervisor.acquire(spec)
        await gone(before.pids.pid, before.pids.server_pid)
        assert is_running(after.pids.server_pid)
        assert await supervisor.acquire(spec) == after
    shutil.rmtree(tmp_path / "runtime")
    await supervisor.aclose()
    await gone(after.pids.pid, after.pids.server_pid)


async def test_where_nothing_can_be_written_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "runtime").write_text("not a folder")
    with pytest.raises(Invalid, match="runtime") as caught:
        await Supervisor(tmp_path / "runtime").acquire(tiny_spec())
    assert "folder" in caught.value.remedy
    supervisor = Supervisor(tmp_path / "other")
    (supervisor._child(tiny_spec()).folder / "log").mkdir(parents=True)
    with pytest.raises(Invalid, match="Is a directory"):
        await supervisor.acquire(tiny_spec())


def test_a_port_that_was_taken_before_the_server_came_is_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = tiny_spec(binary=fake_server(tmp_path, "healthy"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        keeper = Keeper(tmp_path, spec)
        taken = keeper.port = other.getsockname()[1]
        keeper._start_server()
        deadline = time.monotonic() + 5
        while keeper.port == taken:
            keeper._look_at_server()
            assert time.monotonic() < deadline
            time.sleep(0.01)
    os.kill(keeper.server, signal.SIGKILL)
    os.waitpid(keeper.server, 0)


def test_the_next_event_loop_starts_children_too(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "runtime")
    spec = tiny_spec(binary=fake_server(tmp_path, "healthy"))

    async def several() -> None:
        await asyncio.gather(*(supervisor.acquire(spec) for _ in range(3)))
        await supervisor.stop(spec)

    asyncio.run(several())
    asyncio.run(several())
    asyncio.run(supervisor.aclose())

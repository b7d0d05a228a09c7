"""Programs that try to get out of the sandbox, in each kind of sandbox.

Each attempt has a real target. Where that does no harm the same program runs without a sandbox first and gets through, so that a wall which
is not there is noticed.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fireside.evals import sandbox
from fireside.evals.sandbox_limits import interpreter
from support.sandboxed import OUT, attempt, openly, stays_in, working


@pytest.fixture(params=sandbox.KINDS)
def kind(request: pytest.FixtureRequest) -> sandbox.Kind:
    return working(request.param)


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def secret(own_home: Path) -> Path:
    path = own_home / ".ssh" / "id_ed25519"
    path.parent.mkdir()
    path.write_text(OUT)
    path.chmod(0o644)
    return path


@pytest.fixture
def canary() -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours that holds the word in its memory and its environment, and lives unless somebody ends it."""
    program = "import sys; print('up', flush=True); sys.stdin.read()"
    environment = {**os.environ, "CANARY": OUT}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, env=environment) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        yield process
        assert process.poll() is None
        process.stdin.close()


def test_a_port_of_this_machine_cannot_be_reached(kind, port):
    stays_in(kind, f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)\nprint('OUT')")


def test_no_packet_leaves_by_udp(kind):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        place = receiver.getsockname()
        program = f"import socket\nsocket.socket(2, 2).sendto(b'OUT', {place!r})"
        openly(program)
        assert receiver.recv(9) == b"OUT"
        attempt(kind, program)
        with pytest.raises(BlockingIOError):
            receiver.recv(9)


def test_a_socket_that_is_a_file_cannot_be_reached(kind, own_home):
    """Docker, the session bus and the secret service listen on such."""
    path = own_home / "docker.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        stays_in(kind, f"import socket\nsocket.socket(socket.AF_UNIX).connect({str(path)!r})\nprint('OUT')")


def test_a_pair_of_sockets_is_no_way_to_a_socket_file(kind, own_home):
    path = own_home / "log.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        server.setblocking(False)
        for call in (f"sendto(b'OUT', {str(path)!r})", f"sendmsg([b'OUT'], [], 0, {str(path)!r})"):
            program = f"import socket\nsocket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].{call}"
            openly(program)
            assert server.recv(9) == b"OUT"
            attempt(kind, program)
            with pytest.raises(BlockingIOError):
                server.recv(9)


def test_an_abstract_socket_cannot_be_reached(kind):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0fireside-{os.getpid()}")
        server.listen()
        name = server.getsockname()
        stays_in(kind, f"import socket\nsocket.socket(socket.AF_UNIX).connect({name!r})\nprint('OUT')")


@pytest.mark.parametrize("family", [40, 38, 16, 31], ids=["vsock", "alg", "netlink", "bluetooth"])
def test_no_socket_of_a_kind_that_knows_no_walls_is_had(kind, family):
    """A virtual machine reaches its host by a vsock, whatever network namespace it is in."""
    program = f"import socket\ntry:\n    socket.socket({family}, 3)\n    print('OUT')\nexcept OSError as error:\n    print(error.errno)"
    assert attempt(kind, program).stdout == "1\n"


def test_a_file_of_the_home_cannot_be_read(kind, secret):
    stays_in(kind, f"print(open({str(secret)!r}).read())")


def test_a_home_cannot_be_listed(kind, secret):
    stays_in(kind, f"import os\nprint(['OUT' for _ in os.listdir({str(secret.parent)!r})])")


def test_no_link_leads_to_a_file_of_the_home(kind, secret):
    program = f"""
import os, tempfile
folder = tempfile.mkdtemp()
for make in (os.symlink, os.link):
    os.path.lexists(folder + "/way") and os.unlink(folder + "/way")
    make({str(secret)!r}, folder + "/way")
    print(open(folder + "/way").read())
"""
    stays_in(kind, program)


@pytest.mark.parametrize(
    "way", ["/proc/1/root", "/proc/self/root", "/proc/thread-self/root", "/proc/1/cwd", "/dev/fd/../../.."]
)
def test_proc_is_no_way_to_the_file_tree_of_this_machine(kind, secret, way):
    stays_in(kind, f"print(open({way!r} + {str(secret)!r}).read())", out_without="self" in way)


def test_nothing_of_the_users_is_changed(kind, secret):
    program = f"""
import os
path = {str(secret)!r}
for act in (
    lambda: open(path, "a").write("x"), lambda: os.truncate(path, 0), lambda: os.unlink(path), lambda: os.chmod(path, 0o777),
    lambda: os.rename(path, path + "x"), lambda: os.utime(path, (0, 0)), lambda: os.chown(path, 65534, 65534),
    lambda: os.mkdir(path + ".d"), lambda: os.mknod(path + ".n"), lambda: os.setxattr(path, "user.x", b"x"),
):
    try:
        act()
        print("OUT")
    except OSError:
        print("IN")
"""
    before = secret.stat()
    assert "OUT" not in attempt(kind, program).stdout
    after = secret.stat()
    assert secret.read_text() == OUT
    assert (before.st_mode, before.st_mtime_ns, before.st_uid) == (after.st_mode, after.st_mtime_ns, after.st_uid)
    assert list(secret.parent.iterdir()) == [secret]
    assert "OUT" in openly(program)


def test_the_interpreter_cannot_be_written(kind):
    places = [interpreter().executable, os.__file__, str(Path(os.__file__).parent / "planted.py"), "/usr/planted"]
    program = f"""
import os
for path in {places!r}:
    for act in (lambda: open(path, "ab"), lambda: os.chmod(path, 0o777), lambda: os.utime(path), lambda: os.unlink(path)):
        try:
            act()
            print("OUT", path)
        except OSError:
            print("IN")
"""
    before = os.stat(os.__file__)
    ran = attempt(kind, program)
    assert ran.stdout.count("IN") == 16
    assert os.stat(os.__file__).st_mtime_ns == before.st_mtime_ns
    assert not Path(places[2]).exists()


def test_no_environment_comes_along(kind, monkeypatch):
    monkeypatch.setenv("API_KEY", OUT)
    stays_in(kind, "import os\nprint(os.environ.get('API_KEY', 'IN'))", out_without=False)
    stays_in(kind, "for p in (1, 'self'):\n  print(open(f'/proc/{p}/environ').read())", out_without=False)


def test_no_open_file_comes_along(kind, secret):
    with secret.open() as held:
        os.set_inheritable(held.fileno(), True)
        program = (
            "import os\nfor n in range(3, 400):\n  try:\n    print(os.pread(n, 9, 0))\n  except OSError:\n    pass"
        )
        stays_in(kind, program, out_without=False)


def test_no_other_process_is_seen(kind, canary):
    stays_in(kind, f"print(open('/proc/{canary.pid}/environ').read())")


def test_no_signal_reaches_another_process(kind, canary):
    program = f"""
import os, signal
for act in (
    lambda: os.kill({canary.pid}, 9), lambda: os.killpg({os.getpgid(canary.pid)}, 9),
    lambda: os.kill(-1, 9), lambda: os.kill(os.getppid(), 9),
):
    try:
        act()
        print("sent")
    except OSError:
        print("refused")
"""
    attempt(kind, program)
    assert canary.poll() is None


def test_every_way_to_send_a_signal_is_closed(kind, canary):
    """By number too: rt_sigqueueinfo, tkill, tgkill, pidfd; and by a pipe that is given to another process as its owner."""
    program = f"""
import ctypes, fcntl, os
call, pid = ctypes.CDLL(None).syscall, {canary.pid}
call(129, pid, 9, ctypes.create_string_buffer(b"\\t\\0\\0\\0\\0\\0\\0\\0\\xff\\xff\\xff\\xff", 128))
call(200, pid, 9), call(234, pid, pid, 9), call(424, call(434, pid, 0), 9, None, 0)
reading, writing = os.pipe()
for command, value in ((8, pid), (10, 9), (4, 0o20000)):
    try:
        fcntl.fcntl(reading, command, value)
    except OSError:
        pass
os.write(writing, b"x")
"""
    attempt(kind, program)
    assert canary.poll() is None


def test_another_process_cannot_be_traced_or_read(kind, canary):
    program = f"""
import ctypes
library = ctypes.CDLL(None, use_errno=True)
traced = library.ptrace(16, {canary.pid}, None, None)
held = ctypes.create_string_buffer(8)
vector = (ctypes.c_size_t * 2)(ctypes.addressof(held), 8)
read = library.process_vm_readv({canary.pid}, vector, 1, vector, 1, 0)
print("OUT" if traced == 0 or ctypes.get_errno() == 14 else "IN")
"""
    attempt(kind, program)
    assert Path(f"/proc/{canary.pid}/status").read_text().count("TracerPid:\t0") == 1


def test_nobody_becomes_root(kind):
    program = """
import os, subprocess
for act in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgroups([0])):
    try:
        act()
        print("OUT" if os.getuid() == 0 else "IN")
    except OSError:
        print("IN")
for program in ("su", "mount", "passwd"):
    try:
        print(subprocess.run(["/usr/bin/" + program, "--help"], capture_output=True).returncode)
    except OSError:
        print("IN")
print("OUT" if os.geteuid() == 0 else "IN")
lines = open("/proc/self/status").read() if os.access("/proc/self/status", os.R_OK) else ""
print("OUT" if "NoNewPrivs:\\t0" in lines or "Seccomp:\\t0" in lines else "IN")
"""
    assert attempt(kind, program).stdout.split()[-1] == "IN"


def test_no_namespace_and_no_mount_is_made(kind):
    program = """
import ctypes
library = ctypes.CDLL(None, use_errno=True)
print(library.unshare(0x10000000), library.unshare(0x00020000), library.mount(b"none", b"/tmp", b"tmpfs", 0, None), library.chroot(b"/tmp"))
print(library.syscall(435, 0, 0), library.syscall(425, 8, None), library.syscall(321, 0, None, 0), library.setns(0, 0))
"""
    assert set(attempt(kind, program).stdout.split()) == {"-1"}


def test_nothing_is_typed_into_a_terminal(kind):
    """TIOCSTI puts characters into the terminal's input, where the shell reads them after we have ended."""
    program = """
import fcntl
for number in (0, 1, 2):
    try:
        fcntl.ioctl(number, 0x5412, b"x")
        print("OUT")
    except OSError as error:
        print(error.errno)
"""
    errors = set(attempt(kind, program).stdout.split())
    assert errors == {"1"}
    assert "1\n" not in openly(program)


def test_the_root_user_is_not_root_inside(kind):
    program = "import os\nprint(os.getuid(), os.getgid(), os.getgroups())"
    uid, gid, *groups = sandbox.run(program, kind=kind).stdout.split()
    assert (uid, gid) != ("0", "0")
    assert "[0" not in " ".join(groups)


def test_another_kinds_system_calls_are_no_way_around_the_filter(kind):
    """The calls of 32-bit programs have other numbers; a program that makes one is ended."""
    if os.uname().machine != "x86_64":
        pytest.skip("only x86-64 has a second set of numbers")
    program = """
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=7)
code.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid of 32-bit programs); int 0x80; ret
place = ctypes.addressof(ctypes.c_char.from_buffer(code))
ctypes.CFUNCTYPE(ctypes.c_int)(place)()
print("OUT")
"""
    ran = attempt(kind, program)
    assert ran.status in (128 + signal.SIGSYS, 128 + signal.SIGSEGV)

"""Which system calls a sandboxed program may make, as a seccomp filter (classic BPF, see seccomp(2)).

Two filters. Inside bubblewrap, namespaces hold the walls and the filter takes away what attacks them. Without bubblewrap the filter is the
wall for all that Landlock does not know: sockets, child processes, signals, the files' modes. What the kernel calls only since after this
list was written is refused, so that a new door is closed before it is known. Knows nothing of files, limits or how the filter is loaded.
"""

import platform
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fireside.core.errors import NotPermitted

# Stands in the filter for the number of the process that loads it, which nobody knows before it runs.
OWN_PROCESS = 0x71E5D1DE
LAST_KNOWN = 462

_ALLOW, _KILL, _EPERM, _ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NAMESPACES, _THREAD = 0x7E020000, 0x00010000
_TYPE_INTO_TERMINAL = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_PLAIN_REQUESTS = (
    0x5401,
    0x5413,
    0x541B,
    0x5421,
    0x5450,
    0x5451,
)  # is it a terminal, its size, bytes waiting, blocking, close on exec
# AF_UNIX, AF_INET, AF_INET6: the others, such as AF_VSOCK to a virtual machine's host, know no network namespace.
_NAMESPACED_SOCKETS = (1, 2, 10)
_SIGNALS_OF_FILES = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: a file can be made to send a signal to anybody

# name: number on x86-64, number on aarch64 and riscv64 (asm-generic); -1: it has none there.
_ATTACKS = """
unshare 272 97; setns 308 268; mount 165 40; umount2 166 39; pivot_root 155 41; chroot 161 51; move_mount 429 429; open_tree 428 428;
fsopen 430 430; fsconfig 431 431; fsmount 432 432; fspick 433 433; mount_setattr 442 442; statmount 457 457; listmount 458 458;
ptrace 101 117; process_vm_readv 310 270; process_vm_writev 311 271; process_madvise 440 440; process_mrelease 448 448; kcmp 312 272;
pidfd_getfd 438 438; add_key 248 217; request_key 249 218; keyctl 250 219; bpf 321 280; perf_event_open 298 241; userfaultfd 323 282;
open_by_handle_at 304 265; name_to_handle_at 303 264; init_module 175 105; finit_module 313 273; delete_module 176 106;
kexec_load 246 104; kexec_file_load 320 294; reboot 169 142; swapon 167 224; swapoff 168 225; acct 163 89; settimeofday 164 170;
clock_settime 227 112; clock_adjtime 305 266; adjtimex 159 171; sethostname 170 161; setdomainname 171 162; syslog 103 116;
quotactl 179 60; quotactl_fd 443 443; iopl 172 -1; ioperm 173 -1; personality 135 92; nfsservctl 180 42; vhangup 153 58;
lookup_dcookie 212 18; fanotify_init 300 262; fanotify_mark 301 263; mbind 237 235; migrate_pages 256 238; move_pages 279 239;
set_mempolicy 238 237; memfd_create 319 279; memfd_secret 447 447; shmget 29 194; shmat 30 196; shmctl 31 195; semget 64 190;
semop 65 193; semtimedop 220 192; semctl 66 191; msgget 68 186; msgsnd 69 189; msgrcv 70 188; msgctl 71 187; mq_open 240 180;
mq_unlink 241 181
"""
# glibc goes back to the older call on ENOSYS; the newer ones hide their arguments from a filter.
_UNKNOWN = "clone3 435 435; io_uring_setup 425 425; io_uring_enter 426 426; io_uring_register 427 427"
_ALONE = """
fork 57 -1; vfork 58 -1; socket 41 198; bind 49 200; listen 50 201; accept 43 202; accept4 288 242; connect 42 203; sendmsg 46 211;
sendmmsg 307 269; chmod 90 -1; fchmod 91 52; fchmodat 268 53; fchmodat2 452 452; chown 92 -1; fchown 93 55; lchown 94 -1; fchownat 260 54;
utime 132 -1; utimes 235 -1; utimensat 280 88; futimesat 261 -1; setxattr 188 5; lsetxattr 189 6; fsetxattr 190 7; removexattr 197 14;
lremovexattr 198 15; fremovexattr 199 16; truncate 76 45; inotify_init 253 -1; inotify_init1 294 26; inotify_add_watch 254 27;
tkill 200 130; rt_sigqueueinfo 129 138; rt_tgsigqueueinfo 297 240; pidfd_open 434 434; pidfd_send_signal 424 424;
sched_setaffinity 203 122; sched_setscheduler 144 119; sched_setparam 142 118; sched_setattr 314 274; setpriority 141 140; ioprio_set 251 30
"""


class Machine(NamedTuple):
    """``audit``: the kernel's number of the instruction set. ``column``: which numbers of the lists above are its own."""

    audit: int
    column: int


MACHINES = {"x86_64": Machine(0xC000003E, 0), "aarch64": Machine(0xC00000B7, 1), "riscv64": Machine(0xC00000F3, 1)}
_NUMBERS = {"clone": (56, 220), "ioctl": (16, 29), "fcntl": (72, 25), "kill": (62, 129), "tgkill": (234, 131)}
_NUMBERS |= {"prlimit64": (302, 261), "sendto": (44, 206), "prctl": (157, 167), "socket": (41, 198)}


def _line(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("HBBI", code, then, otherwise, value)


def _verdict(value: int) -> bytes:
    return _line(_RETURN, value)


def _argument(index: int, *, high: bool = False) -> bytes:
    return _line(_LOAD, 16 + 8 * index + 4 * high)


def _numbers(listed: str, column: int) -> Iterator[int]:
    for entry in listed.split(";"):
        number = int(entry.split()[1 + column])
        if number >= 0:
            yield number


def _when(number: int, body: Sequence[bytes]) -> list[bytes]:
    """``body`` decides about one call and ends with a verdict on every way."""
    return [_line(_EQUAL, number, otherwise=len(body)), *body]


def _refuse_values(index: int, values: Sequence[int]) -> list[bytes]:
    refused = [part for value in values for part in (_line(_EQUAL, value, otherwise=1), _verdict(_EPERM))]
    return [_argument(index), *refused, _verdict(_ALLOW)]


def _only_values(index: int, values: Sequence[int]) -> list[bytes]:
    allowed = [part for value in values for part in (_line(_EQUAL, value, otherwise=1), _verdict(_ALLOW))]
    return [_argument(index), *allowed, _verdict(_EPERM)]


def _only_threads() -> list[bytes]:
    bits = [_line(_ANY_BIT, _NAMESPACES, otherwise=1), _verdict(_EPERM), _line(_ANY_BIT, _THREAD, then=1)]
    return [_argument(0), *bits, _verdict(_EPERM), _verdict(_ALLOW)]


def _without_address() -> list[bytes]:
    """A pair of sockets is a pipe; with an address it would be a way to any socket of this machine."""
    low = [_argument(4), _line(_EQUAL, 0, then=1), _verdict(_EPERM)]
    return [*low, _argument(4, high=True), _line(_EQUAL, 0, then=1), _verdict(_EPERM), _verdict(_ALLOW)]


def _parts(machine: Machine, alone: bool) -> Iterator[bytes]:
    yield from (_line(_LOAD, 4), _line(_EQUAL, machine.audit, then=1), _verdict(_KILL), _line(_LOAD, 0))
    yield from (_line(_AT_LEAST, LAST_KNOWN + 1, otherwise=1), _verdict(_ENOSYS))
    for number in _numbers(_UNKNOWN, machine.column):
        yield from _when(number, [_verdict(_ENOSYS)])
    for number in _numbers(_ATTACKS + (";" + _ALONE if alone else ""), machine.column):
        yield from _when(number, [_verdict(_EPERM)])
    own = {name: numbers[machine.column] for name, numbers in _NUMBERS.items()}
    if alone:
        yield from _when(own["clone"], _only_threads())
        yield from _when(own["ioctl"], _only_values(1, _PLAIN_REQUESTS))
        yield from _when(own["fcntl"], _refuse_values(1, _SIGNALS_OF_FILES))
        yield from _when(own["kill"], _only_values(0, (OWN_PROCESS,)))
        yield from _when(own["tgkill"], _only_values(0, (OWN_PROCESS,)))
        yield from _when(own["prlimit64"], _only_values(0, (0, OWN_PROCESS)))
        yield from _when(own["sendto"], _without_address())
        yield from _when(own["prctl"], _refuse_values(0, (1,)))  # PR_SET_PDEATHSIG: nobody outlives its parent
    else:
        namespaces = [_argument(0), _line(_ANY_BIT, _NAMESPACES, otherwise=1), _verdict(_EPERM), _verdict(_ALLOW)]
        yield from _when(own["clone"], namespaces)
        yield from _when(own["ioctl"], _refuse_values(1, _TYPE_INTO_TERMINAL))
        yield from _when(own["socket"], _only_values(0, _NAMESPACED_SOCKETS))
    yield _verdict(_ALLOW)


def filter_program(*, alone: bool, machine: str = "") -> bytes:
    """The filter as ``struct sock_filter[]`` (8 bytes each), ready for ``bwrap --seccomp`` or ``prctl(PR_SET_SECCOMP)``.

    ``alone``: nothing but Landlock stands beside it. ``machine``: as ``platform.machine()`` names it. Raises NotPermitted for one whose
    system calls are not known here.
    """
    name = machine or platform.machine()
    if name not in MACHINES:
        raise NotPermitted(
            f"no sandbox for {name or 'this machine'}: its system calls are not known",
            remedy=f"run untrusted code on Linux and one of {', '.join(MACHINES)}",
        )
    return b"".join(_parts(MACHINES[name], alone))

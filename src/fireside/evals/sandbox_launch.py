"""The first thing that runs inside a sandbox: puts up the walls that only the process itself can, then becomes the program.

This file is never imported: its text is handed to the sandboxed interpreter (``python -c``), so it may use the standard library only and
must be whole in itself. ``argv[1]``: the orders as JSON (``orders`` of sandbox_bwrap and sandbox_landlock). The program comes through an
inherited file, so that no file of this machine has to be shown.
"""

import builtins
import json
import os
import resource
import sys
import types
from typing import Any


def become(uid: int, keep_reading: bool) -> None:
    """Give up root: limits on processes hold for everybody but root. ``keep_reading``: the interpreter lies where only root may look."""
    if keep_reading:
        _prctl(8, 1)  # PR_SET_KEEPCAPS
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if keep_reading:
        import ctypes

        head = (ctypes.c_uint32 * 2)(0x20080522, 0)
        only_reading = (ctypes.c_uint32 * 6)(1 << 2, 1 << 2, 0, 0, 0, 0)  # CAP_DAC_READ_SEARCH, effective and permitted
        _must(ctypes.CDLL(None, use_errno=True).capset(head, only_reading), "capset")


def _must(result: int, what: str) -> int:
    if result < 0:
        import ctypes

        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def _prctl(option: int, first: int, second: int = 0) -> None:
    import ctypes

    c_library = ctypes.CDLL(None, use_errno=True)
    unsigned = [ctypes.c_ulong(value) for value in (first, second, 0, 0)]
    _must(c_library.prctl(option, *unsigned), f"prctl({option})")


def limit(limits: dict[str, int]) -> None:
    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is not None:
            hard = resource.getrlimit(kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, value))


def wall_in(abi: int, readable: list[str], writable: list[str]) -> None:
    """Landlock: of all files only ``readable`` can be read and run, only ``writable`` be written; no TCP, no signals to others."""
    import ctypes

    call = ctypes.CDLL(None, use_errno=True).syscall
    execute, write, read, listing = 1, 2, 4, 8
    files = (1 << 16) - 1 if abi >= 5 else (1 << 15) - 1
    attributes = (ctypes.c_uint64 * 3)(files, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    rules = _must(call(444, attributes, ctypes.c_size_t(size), 0), "landlock_create_ruleset")
    for path in readable + writable:
        if os.path.exists(path):
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = (
                write | read
                if path in writable
                else execute | read | listing
                if os.path.isdir(path)
                else execute | read
            )
            rule = allowed.to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder, signed=True)
            _must(call(445, rules, 1, ctypes.create_string_buffer(rule, 12), 0), "landlock_add_rule")
            os.close(place)
    _must(call(446, rules, 0), "landlock_restrict_self")
    os.close(rules)


def filter_calls(code: bytes, placeholder: int) -> None:
    import ctypes

    code = code.replace(placeholder.to_bytes(4, sys.byteorder), os.getpid().to_bytes(4, sys.byteorder))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]

    program = Program(len(code) // 8, code)
    _prctl(22, 2, ctypes.addressof(program))  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def read_program(file: int) -> str:
    with open(file, "rb") as source:
        return source.read().decode()


def main() -> None:
    orders: dict[str, Any] = json.loads(sys.argv[1])
    text = read_program(orders["program"])
    alone = orders["alone"]
    if alone:
        _prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
        wall_in(alone["abi"], alone["readable"], alone["writable"])
    limit(orders["limits"])
    if orders["uid"]:
        become(orders["uid"], orders["keep_reading"])
    if alone:
        _prctl(1, 9)  # PR_SET_PDEATHSIG: after the change of user, which takes it away
        if os.getppid() != alone["parent"]:
            raise SystemExit("the parent is gone")
        filter_calls(bytes.fromhex(alone["filter"]), alone["placeholder"])
    run(text)


def run(text: str) -> None:
    sys.argv = ["program.py"]
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.excepthook = draw_without_us
    exec(compile(text, "program.py", "exec", dont_inherit=True), module.__dict__)


def draw_without_us(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    while trace is not None and trace.tb_frame.f_code.co_filename == "<string>":
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


if __name__ == "__main__":
    main()

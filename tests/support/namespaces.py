"""Network namespaces: a loopback and nothing else, so that what runs inside cannot reach anybody."""

import shutil
import subprocess
from functools import cache

# Brings the loopback up (SIOCSIFFLAGS, IFF_UP | IFF_RUNNING), then becomes the command behind it.
BEGIN = """
import fcntl, os, socket, struct, sys
with socket.socket() as control:
    fcntl.ioctl(control, 0x8914, struct.pack("16sh", b"lo", 0x41))
os.execvp(sys.argv[1], sys.argv[1:])
"""


@cache
def namespace() -> tuple[str, ...]:
    """The command that runs another one in a fresh network namespace; empty where this system has none."""
    for command in (("unshare", "-n"), ("unshare", "-rn")):
        if (
            shutil.which("unshare")
            and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
        ):
            return command
    return ()


def joining(pid: int) -> tuple[str, ...]:
    """The command that runs another one in the namespace of this process."""
    if namespace() == ("unshare", "-rn"):
        return ("nsenter", "-t", str(pid), "-U", "-n", "--preserve-credentials")
    return ("nsenter", "-t", str(pid), "-n")

"""The address the server listens at: opened by one process, shared by several, told in words when it cannot be had."""

import errno
import socket
import sys
from contextlib import suppress
from pathlib import Path

from fireside.core.errors import FiresideError, Invalid, NotPermitted, OutOfResources

Listener = socket.socket
# Linux shares new connections among all who listen so. Elsewhere only the last one gets them.
SHARES = sys.platform == "linux" and hasattr(socket, "SO_REUSEPORT")


def open_listener(host: str, port: int, *, shared: bool = False) -> Listener:
    """A bound socket. ``port``: 0 takes a free one; ``shared``: other processes of ours listen there, too.

    Raises what is wrong with the address in one line.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise Invalid(f"{host} is no address of this machine", remedy="--host 127.0.0.1") from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _unbound(host, port, error) from error
    return listener


def reserve(host: str, port: int) -> Listener:
    """Keep an address for several processes: where the system shares it by itself, bound only; else listening, to be handed on."""
    if not SHARES:
        listener = open_listener(host, port)
        listener.listen(socket.SOMAXCONN)
        listener.set_inheritable(True)
        return listener
    # Whoever else shares so already would not be noticed otherwise, and get half of our connections.
    open_listener(host, port).close()
    return open_listener(host, port, shared=True)


def inherited(descriptor: int) -> Listener:
    """The socket this process was handed."""
    return socket.socket(fileno=descriptor)


def port_of(listener: Listener) -> int:
    return int(listener.getsockname()[1])


def address_of(listener: Listener) -> str:
    """For clients on this machine."""
    host, port = listener.getsockname()[:2]
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{near}]:{port}" if ":" in near else f"http://{near}:{port}"


def notify(place: str, state: str) -> None:
    """Tell systemd: sd_notify(3). ``place``: what ``NOTIFY_SOCKET`` says; empty: nobody wants to know."""
    if not place:
        return
    address = "\0" + place[1:] if place.startswith("@") else str(Path(place))
    # A supervisor that does not listen is no reason not to serve.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect(address)
        channel.sendall(state.encode())


def _unbound(host: str, port: int, error: OSError) -> FiresideError:
    where = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return OutOfResources(
            f"{where} is taken: another program listens there", remedy=f"fireside serve --port {port + 1}"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotPermitted(f"{where} may not be opened: {error.strerror}", remedy="use a port above 1023")
    return Invalid(f"cannot listen at {where}: {error.strerror}", remedy="--host 127.0.0.1")

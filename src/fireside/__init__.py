"""Fireside: a private, local-first coding assistant. One engine behind every door.

``from fireside import Fireside`` is the library's front door; it is loaded only when asked for, so that ``import fireside`` stays free.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Fireside", "__version__"]

if TYPE_CHECKING:
    from fireside.app.fireside import Fireside


def __getattr__(name: str) -> object:
    if name == "Fireside":
        from fireside.app.fireside import Fireside

        return Fireside
    raise AttributeError(f"module 'fireside' has no attribute {name!r}")

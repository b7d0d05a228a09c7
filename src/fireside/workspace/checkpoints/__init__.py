"""States of a project one can go back to. ``Checkpoints`` is all that others need."""

from fireside.workspace.checkpoints.checkpoints import Checkpoints

__all__ = ["Checkpoints"]

"""Ids that nobody else has. Not secret: who can guess one gains nothing."""

import random

# One look at the system's randomness for the whole process; asking it each time costs a system call for every answer.
_draw = random.Random(random.SystemRandom().getrandbits(128)).getrandbits


def new_id(prefix: str, digits: int = 24) -> str:
    """``prefix`` and as many hexadecimal ``digits``."""
    return f"{prefix}{_draw(4 * digits):0{digits}x}"

"""The gateway measured twice: what it adds inside one process (``overhead``), and as a server beside other gateways (the rest).

``python -m benchmarks gateway`` is the first and takes seconds; ``make bench-gateway`` is the second and takes minutes.
"""


def main() -> None:
    from benchmarks.gateway.overhead import main as measure

    measure()

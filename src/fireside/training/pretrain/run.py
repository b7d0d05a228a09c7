"""One process of a training: ``python -m fireside.training.pretrain.run JOB.json``, started by ``torchrun`` or by ``launch``.

Tells its progress and its facts as one JSON object a line; the process with rank 0 speaks for all.
"""

import os
import sys
from pathlib import Path

import msgspec

from fireside.core.errors import FiresideError
from fireside.training.pretrain.loop import Job, train


def main(arguments: list[str] | None = None) -> int:
    (place,) = sys.argv[1:] if arguments is None else arguments
    job = msgspec.json.decode(Path(place).read_bytes(), type=Job)
    speaks = os.environ.get("RANK", "0") == "0"

    def say(**told: object) -> None:
        if speaks:
            print(msgspec.json.encode(told).decode(), flush=True)

    try:
        facts = train(job, lambda done, total, unit, note: say(step=[done, total, unit, note]))
    except KeyboardInterrupt:
        return 130
    except FiresideError as error:
        say(error=error.as_dict())
        return 1
    say(facts=facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())

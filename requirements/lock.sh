#!/bin/sh
# Lock every requirement with its hashes and without download addresses: requirements/lock.sh BIN
set -eu
cd "$(dirname "$0")"
bin=$(cd .. && cd "$1" && pwd)
export CUSTOM_COMPILE_COMMAND="make lock"
compile() { "$bin/pip-compile" --quiet --strip-extras --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header "$@"; }
compile ../pyproject.toml base.in -o base.txt
compile dev.in -o dev.txt
# torch is installed by itself (its CPU and GPU builds differ): only what stands beside it is locked here
compile hf.in -o hf.txt
compile extras.in -o extras.txt
compile team.in -o team.txt
# torch again by itself, and what its GPU builds bring
compile --constraint torch.in train.in -o train.txt
"$bin/python" - train.txt <<'END'
import re, sys
from pathlib import Path
place = Path(sys.argv[1])
blocks = re.split(r"(?m)^(?=[a-z0-9])", place.read_text())
place.write_text("".join(block for block in blocks if not re.match(r"(torch|triton|nvidia|cuda)[-=]", block)))
END

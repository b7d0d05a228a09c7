"""Weights are written whole, and a disk that is full is told as one."""

import errno
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from fireside.training.weights_file import save_weights

pytestmark = pytest.mark.train


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 4 kB."""
    import signal

    before, heard = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, heard)


def test_weights_that_find_no_room_leave_the_old_ones_and_nothing_half(tmp_path: Path, small_files: None):
    import torch

    place = tmp_path / "model.safetensors"
    save_weights({"a": torch.zeros(8)}, place)
    old = place.read_bytes()
    with pytest.raises(OSError) as refused:
        save_weights({"a": torch.zeros(100_000)}, place)
    assert refused.value.errno == errno.EFBIG
    assert place.read_bytes() == old
    assert [one.name for one in tmp_path.iterdir()] == ["model.safetensors"]

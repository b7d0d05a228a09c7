"""The project every flow is about."""

from pathlib import Path

import pytest

from support.project import write_project


@pytest.fixture
def harbour(tmp_path: Path) -> Path:
    root = tmp_path / "harbour"
    root.mkdir()
    return write_project(root)

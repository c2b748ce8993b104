"""A grid of two tiny recipes on the stub, run in processes of their own."""

from __future__ import annotations

import json

import pytest
from filelock import FileLock
from lab_project import Lab


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path, tmp_path / "cache")


@pytest.fixture(scope="session")
def whole(lpca_cache):
    """A grid that ran through, once for all tests and workers: to be read, never changed."""
    folder = lpca_cache.parent / "lab"
    with FileLock(f"{folder}.lock"):
        ended = folder / "ended.json"
        begun = folder.exists()
        folder.mkdir(exist_ok=True)
        made = Lab(folder, folder / "cache")
        if not begun:
            ended.write_text(json.dumps(made.finish(made.start())))
        made.ended = json.loads(ended.read_text())
    return made

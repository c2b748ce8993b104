"""One sound run per session, shared by workers: its codecs are trained once."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from lpca.receivers.load import load_receiver
from lpca.sabotage.faulty_run import SoundParts


@pytest.fixture(scope="session")
def parts(lpca_cache: Path) -> SoundParts:
    """Its codecs are those of all tests; its outcomes are copied for each fault, and so alone."""
    own = lpca_cache.parent / "sabotage"
    own.mkdir(exist_ok=True)
    with FileLock(own / "warm_up.lock"):  # else each worker computes what the other does
        found = SoundParts(load_receiver("stub", "cpu", "float32"), own, lpca_cache)
        found.warm_up()
    return found

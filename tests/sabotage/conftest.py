"""One sound run per session, shared by workers: its codecs are trained once."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from lpca.receivers.load import load_receiver
from lpca.sabotage.faulty_run import SoundParts


def sound_parts(cache: Path, dtype: str) -> SoundParts:
    """Its codecs are those of all tests; its outcomes are copied for each fault, and so alone."""
    own = cache.parent / f"sabotage-{dtype}"
    own.mkdir(exist_ok=True)
    with FileLock(own / "warm_up.lock"):  # else each worker computes what the other does
        found = SoundParts(load_receiver("stub", "cpu", dtype), own, cache)
        found.warm_up()
    return found


@pytest.fixture(scope="session")
def parts(lpca_cache: Path) -> SoundParts:
    """A sound run in float32."""
    return sound_parts(lpca_cache, "float32")


@pytest.fixture(scope="session")
def coarse_parts(lpca_cache: Path) -> SoundParts:
    """A sound run in bfloat16."""
    return sound_parts(lpca_cache, "bfloat16")

"""One sound run per session, shared by workers: its codecs are trained once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lpca.receivers.load import load_receiver
from lpca.sabotage.faulty_run import Theatre


@pytest.fixture(scope="session")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Theatre:
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    found = Theatre(load_receiver("stub", "cpu", "float32"), Path(shared) / "sabotage")
    found.warm_up()
    return found

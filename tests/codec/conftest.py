"""A project with a gate, and a codec of its user's own."""

from __future__ import annotations

import pytest
from gate_project import BASE, ROOT, Project
from own_codec import CUT, OPEN


@pytest.fixture
def project(pytester, monkeypatch, tmp_path):
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made = Project(pytester)
    made.write(BASE + OPEN)
    (made.path / "my_codec.py").write_text(CUT)
    return made

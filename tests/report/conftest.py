"""One project per test, one cache for all of them."""

from __future__ import annotations

import pytest
from gate_project import ROOT, Project


@pytest.fixture
def project(pytester, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Project(pytester)

"""A check that applies and cannot tell is said to be silent by every report, and counts as none."""

from __future__ import annotations

import pytest
from made_evidence import evidence

from lpca.evidence.files import parse_evidence
from lpca.evidence.model import Evidence
from lpca.pytest_plugin.verdicts import check_properties
from lpca.report.markdown import validity_line
from lpca.report.notebook import gate_html
from lpca.report.page import GatePage, report_page
from lpca.report.terminal import gate_lines

WHY = "n may tell all, and nothing shows it"


@pytest.fixture
def silent(tmp_path) -> Evidence:
    held = evidence(tmp_path)
    checks = [
        {**one, "passed": None, "detail": WHY, "abstained": True}
        if one["id"] == "lengths_say_nothing"
        else one
        for one in held["checks"]
    ]
    return parse_evidence(evidence(tmp_path, checks=checks))


def test_every_report_counts_it_apart_and_says_why(silent: Evidence) -> None:
    applied = len(silent.applied_checks)
    counted = f"{applied - 1} of {applied}"
    shown = {
        "terminal": "\n".join(gate_lines(silent, silent.verdict)),
        "page": report_page([("main.json", silent)]),
        "markdown": validity_line(silent).replace("\\", ""),
        "notebook": gate_html(silent),
    }
    for name, text in shown.items():
        text = " ".join(text.split())
        assert counted in text, name
        assert "1 could not say" in text, name
        assert f": {WHY}" in text, name
    assert dict(check_properties(silent, "lengths_say_nothing"))["passed"] == "could not say"
    assert dict(check_properties(silent, "mean_is_mean"))["passed"] == "does not apply"
    [(_, said)] = [one for one in GatePage(silent, "main.json", 0).checks if one[0].abstained]
    assert said == "could not say"

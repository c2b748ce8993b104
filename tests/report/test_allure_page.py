"""The HTML report: made by Allure 3, opened in a real browser, and keeping to itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from allure_project import AllureProject
from gate_project import ROOT

TOOLS = ROOT / "tools" / "report"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FAILING = "p0 is more than 10 points above p1"
ANALYTICS = """<script async src="https://www.googletagmanager.com/gtag/js?id=X"></script>
<script>function gtag(){} gtag('js', 1);</script>"""


def node(code, **environment):
    script = f"import {{ offline }} from {json.dumps((TOOLS / 'offline.mjs').as_uri())};{code}"
    return subprocess.run(
        ["node", "--input-type=module", "--eval", script],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.fixture
def tools():
    if not shutil.which("node"):
        pytest.skip("no Node.js here")
    return TOOLS


def test_analytics_are_taken_out_and_the_page_may_load_nothing(tools):
    page = f"<head></head><body>{ANALYTICS}<script>own()</script></body>"
    quiet = node("console.log(offline(process.env.PAGE))", PAGE=page).stdout
    assert "own()" in quiet
    assert "gtag" not in quiet
    assert "default-src 'none'" in quiet
    assert "http" not in quiet.replace("http-equiv", "")


@pytest.mark.parametrize(
    "tag",
    [
        "<script src='https://x.example/a.js'></script>",
        "<link rel=stylesheet href=//x.example/a.css>",
        '<img alt="" src="http://x.example/a.png">',
        "<script src='https://www.googletagmanager.com/other'></script>",
    ],
)
def test_whatever_else_would_load_from_outside_is_an_error(tools, tag):
    run = node("offline(process.env.PAGE)", PAGE=f"<head>{tag}</head>")
    assert run.returncode != 0
    assert "loads from outside" in run.stderr


def test_the_lockfile_names_no_host_to_fetch_from():
    lock = json.loads((TOOLS / "package-lock.json").read_text())
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert packages["node_modules/allure"]["version"] == "3.18.0"
    assert all("resolved" not in one and "integrity" in one for one in packages.values())


@pytest.fixture
def browser(tools):
    if not (TOOLS / "node_modules" / "playwright-core").is_dir():
        pytest.skip("the report's packages are not installed; `make report-test` installs them")
    found = os.environ.get("LPCA_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium here; `make report-test` installs one")
    return found


@pytest.mark.browser
def test_verdict_numbers_plot_and_trend_are_seen_and_nothing_leaves(
    pytester, monkeypatch, tmp_path, browser
):
    project = AllureProject(pytester, monkeypatch, tmp_path / "cache")
    files = ["results", "history.jsonl", "report"]
    for _ in range(3):
        assert project.report("results", "--clean-alluredir").ret == 7
        made = subprocess.run(
            ["node", TOOLS / "make.mjs", *files],
            cwd=project.path,
            capture_output=True,
            text=True,
            check=True,
        )
    assert "report: report/index.html" in made.stdout
    page = project.path / "report" / "index.html"
    outside = re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//[^"' >]*""", page.read_text())
    assert outside == []
    assert len((project.path / "history.jsonl").read_text().splitlines()) == 3

    shots = Path(os.environ.get("LPCA_SCREENSHOTS", tmp_path))
    seen = look(browser, page, shots)
    assert seen["requests"] == []
    assert seen["errors"] == [], "nothing was even tried: the policy would complain here"
    assert "wrong: FAIL, close: INCONCLUSIVE, unread: INVALID" in seen["overview"]
    for category in ("Invalid: ", "Fail: ", "Inconclusive: "):
        assert category in seen["categories"]
    (criterion,) = project.evidence("wrong")["criteria"]
    assert f"{criterion['estimate']:+.3f}" in seen["test"]
    assert criterion["message"] in seen["test"]
    low, high = criterion["interval"]
    assert f"95% [{low:+.3f}, {high:+.3f}]" in seen["test"]
    assert min(seen["plot"]["shown"]) > 200, "the picture has a size"
    assert min(seen["plot"]["natural"]) > 200, "and was drawn"
    runs = seen["trend"].split("Trend: results by run")[1]
    assert len(re.findall(r"\d+/\d+/\d{4}\n|Latest\n", runs)) == 3
    assert (shots / "allure-overview.png").stat().st_size > 10_000


def look(browser, page, shots):
    run = subprocess.run(
        ["node", TOOLS / "look.mjs", page, shots, FAILING],
        capture_output=True,
        text=True,
        env={**os.environ, "LPCA_BROWSER": browser},
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)

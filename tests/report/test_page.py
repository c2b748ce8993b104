"""The page of `lpca report`: complete in itself, its verdict and causes first, for every reader."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from made_evidence import evidence, outcomes, save
from test_allure_page import BROWSERS

from lpca.commands.cli import main
from lpca.evidence.files import parse_evidence
from lpca.report.page import report_page

HOSTILE = '</title><script>alert(1)</script> & "quotes" {{ 7 * 7 }}'


def contrast(one, other):
    """By the definition of WCAG 2.2, of two colours #rrggbb."""

    def luminance(colour):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


class Page(HTMLParser):
    """Tags in their order, each with its attributes, and the text of all."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, *names):
        return [attrs for tag, attrs in self.tags if tag in names]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def failing(folder):
    return parse_evidence(evidence(folder, outcomes(normal=25, shuffle=25)))


@pytest.fixture(scope="module")
def made(failing):
    return report_page([("main-k4.json", failing)])


@pytest.fixture(scope="module")
def page(made):
    return Page(made)


def test_it_asks_for_nothing_runs_nothing_and_is_small(made, page):
    assert len(made.encode()) < 200_000
    assert page.all("script", "img", "iframe", "object", "form") == []
    assert [one["href"] for one in page.all("link")] == ["data:,"]
    assert "default-src 'none'" in made
    outside = re.sub(r'xmlns(:xlink)?="[^"]*"', "", made)
    assert re.findall(r"(?:https?:)?//[\w.]+|@import|url\((?!#)", outside) == []


def test_the_verdict_and_what_keeps_it_from_a_pass_come_before_all_else(made, failing):
    text = re.sub(r"\s+", " ", made[made.index("<main") :])
    verdict = text.index(f"</span> {failing.verdict}</p>")
    causes = [text.index(f"<strong>{one.id}: {one.verdict}") for one in failing.criteria[:1]]
    picture, table = text.index("<svg"), text.index("<table")
    assert verdict < causes[0] < picture < table
    wanting = [one for one in failing.criteria if one.verdict != "PASS"]
    assert wanting
    for one in wanting:
        assert f"<strong>{one.id}: {one.standing}</strong>" in text
        assert html.escape(one.why) in text or not one.why


def test_a_screen_reader_finds_its_way(made, page):
    assert page.all("html")[0]["lang"] == "en"
    for landmark in ("main", "article", "footer"):
        assert len(page.all(landmark)) == 1
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert all(one.get("scope") in ("col", "row") for one in page.all("th"))
    names = {one["id"] for _, one in page.tags if "id" in one}
    assert {one["aria-labelledby"] for _, one in page.tags if "aria-labelledby" in one} <= names
    pictures = [one for one in page.all("svg") if one.get("role") == "img"]
    assert len(pictures) == len(page.all("svg")) == 2
    assert "shuffle 25.0 % (15.8 to 37.2 %)" in pictures[0]["aria-label"]
    assert "above_null +6.7 points, INCONCLUSIVE" in pictures[1]["aria-label"]
    assert len(re.findall(r'\bid="', made)) == len(set(re.findall(r'\bid="([^"]*)"', made)))


def test_its_colours_can_be_read_by_day_and_by_night(made):
    light, dark = re.findall(r":root \{([^}]*)\}", made)[:2]
    for theme in (light, dark):
        colours = dict(re.findall(r"--([\w-]+): (#\w{6})", theme))
        for name in ("ink", "muted", "pass", "fail", "open", "invalid", "link"):
            assert contrast(colours[name], colours["ground"]) >= 4.5, (name, theme)
            assert name in ("link", "invalid") or contrast(colours[name], colours["shade"]) >= 3
    drawn = made[made.index("<main") :]
    assert not re.findall(r"(?:fill|stroke): ?#\w+", drawn), "pictures change with the page"


def test_any_text_is_shown_as_it_is(folder):
    found = parse_evidence(evidence(folder, title=HOSTILE, receiver={"name": HOSTILE}))
    page = Page(report_page([("x.json", found)]))
    assert page.all("script") == []
    assert HOSTILE in page.text


def test_of_an_invalid_gate_no_criterion_is_read(folder):
    found = parse_evidence(evidence(folder, failed="receiver_frozen"))
    made = report_page([("x.json", found)])
    assert "INVALID" in made
    assert "detail of receiver_frozen" in made[: made.index("<svg")]
    assert "must not be read" in made
    assert "<h2>Criteria</h2>" not in made


def test_of_several_gates_each_verdict_stands_on_top(folder, failing):
    passing = parse_evidence(evidence(folder))
    page = report_page([("a.json", failing), ("b.json", passing)])
    head = page[page.index("<header>") : page.index("</header>")]
    assert f"2 gates: 1 PASS, 1 {failing.verdict}" in head
    assert head.count('<a href="#gate-') == 2
    assert len(Page(page).all("h1")) == 1


def test_the_command_writes_it_wherever_the_verdict(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    file = save(folder / "main-k4.json", evidence(folder, outcomes(normal=25, shuffle=25)))
    assert main(["report", file, "--out", "deep/page.html"]) == 0
    assert capsys.readouterr().out == "deep/page.html\n"
    assert (folder / "deep" / "page.html").read_text().startswith("<!doctype html>")
    assert main(["report"]) == 4
    assert capsys.readouterr().err == "latest: no run is kept in .lpca/evidence/runs yet\n"


MEASURE = (
    "<script>parent.postMessage(document.documentElement.scrollWidth"
    " - document.documentElement.clientWidth, '*')</script></body>"
)


@pytest.mark.browser
def test_no_window_is_too_narrow_for_it(made, tmp_path):
    browser = os.environ.get("LPCA_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), "")
    if not browser:
        pytest.skip("no Chromium here; `make report-test` installs one")
    policy = re.search(r"<meta http-equiv=[^>]*>", made)[0]
    inner = html.escape(made.replace(policy, "").replace("</body>", MEASURE))
    for width in (390, 1280):
        frame = f'<iframe style="width:{width}px;height:844px" srcdoc="{inner}"></iframe>'
        outer = f"<title>?</title>{frame}<script>onmessage = e => document.title = e.data</script>"
        (tmp_path / "outer.html").write_text(outer)
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        command += ["--virtual-time-budget=5000", (tmp_path / "outer.html").as_uri()]
        seen = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert "<title>0</title>" in seen.stdout, width

"""The site is built without a broken link, and asks nothing of any other."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lpca.gatespec.model import CONDITIONS
from lpca.validity.catalogue import CHECKS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


class Loaded(HTMLParser):
    """The addresses that a browser fetches when it opens a page."""

    def __init__(self, text):
        super().__init__()
        self.addresses = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        address = dict(attrs).get(LOADED.get(tag, ""))
        if address:
            self.addresses.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a warning, such as a broken link, is an error."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_built_and_in_the_navigation(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    linked = set(re.findall(r'<a href="([^"]+)" class="md-nav__link', home))
    pages = {str(path.relative_to(DOCS).with_suffix(".html")) for path in DOCS.rglob("*.md")}
    assert {name for name in pages if not (site / name).is_file()} == set()
    assert pages - {"index.html"} <= linked


def test_the_pages_load_nothing_from_elsewhere(site):
    addresses = [
        (page.name, address)
        for page in site.rglob("*.html")
        for address in Loaded(page.read_text(encoding="utf-8")).addresses
    ]
    assert {page for page, _ in addresses} == {page.name for page in site.rglob("*.html")}
    assert [one for one in addresses if urlsplit(one[1]).netloc] == []
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert re.findall(r"(?:@import\s+|url\()[\"']?(?:https?:)?//", text) == [], sheet.name


def test_the_pages_know_every_check_and_condition():
    checks = (DOCS / "validity.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", checks, re.M) == list(CHECKS)
    concepts = (DOCS / "concepts.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", concepts, re.M) == list(CONDITIONS.forms)


def test_search_works_in_pages_opened_from_a_folder(site):
    """A browser starts no worker there: the index is a script, and a frame stands in for one."""
    assert (site / "search" / "search_index.js").read_text(encoding="utf-8").startswith("var ")
    for page in (site / "index.html", site / "lab" / "gate1.html"):
        scripts = re.findall(r'<script src="([^"]+)"', page.read_text("utf-8"))
        assert "iframe-worker.js" in scripts[0], "before the theme's own"
        assert (page.parent / scripts[0]).is_file()


def test_home_leads_to_what_a_reader_wants_to_do(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    table = home[home.index("<table>") : home.index("</table>")]
    wanted = ("tutorial", "own-codec", "own-episodes", "packets", "outcomes", "exam")
    assert re.findall(r'<a href="([\w/-]+)\.html"', table)[: len(wanted)] == list(wanted)
    assert home.index("<table>") < home.index("<h2")
    sections = re.findall(
        r'class="md-nav__link"[^>]*>\s*<span class="md-ellipsis">\s*([\w ]+?)\s*<', home
    )
    assert sections.index("Use it") < sections.index("Reference")

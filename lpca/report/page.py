"""One self-contained page about gates: the first screen has the verdict and why, nothing is hidden.

It asks for nothing outside itself and runs no script. Each picture's numbers stand in a table too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from matplotlib.figure import Figure

from lpca.base.numbers import PERCENT, amount, level
from lpca.evidence.json_form import to_data
from lpca.evidence.model import CheckResult, CriterionResult, Evidence
from lpca.report.figures import gate, style
from lpca.report.markdown import criterion_numbers
from lpca.report.next_steps import found_in, next_step
from lpca.report.sentences import (
    NOUNS,
    above_luck,
    checks_passed,
    closing,
    sentence,
    standing,
    unsaid,
)
from lpca.report.terminal import subject, success_cells
from lpca.stats.verdicts import Verdict

SIGNS: Mapping[Verdict, str] = {
    Verdict.PASS: "●",
    Verdict.FAIL: "✕",
    Verdict.INCONCLUSIVE: "◇",
    Verdict.INVALID: "▲",
    Verdict.NOT_MEASURED: "○",
    Verdict.EXPLORED: "◐",
}
"""Beside the word: a verdict is told by more than its colour."""
_PALETTE = {
    style.INK: "ink",
    style.MUTED: "muted",
    style.FAINT: "faint",
    style.GROUND: "shade",
    "#eeeeee": "shade",
    "#ffffff": "ground",
    style.GREEN: "pass",
    style.VERMILLION: "fail",
    style.BLUE: "open",
}
"""A picture's colours, by the page's own names for them: in the dark they are others."""
_LETTER = 0.1
"""Inches that a letter of a condition's name takes where a narrow page writes it large."""
POINTS = 72.0
"""Of an inch, which SVG counts in."""
_COLOUR = re.compile("|".join(_PALETTE), re.IGNORECASE)
_OWN_NAMES = re.compile(r'(\bid="|href="#|url\(#)')


@dataclass(frozen=True)
class GatePage:
    """What the template shows of one gate.

    Attributes:
        evidence: the gate's.
        source: the name of the file that it was read from.
        place: its number on the page, from 1.
    """

    evidence: Evidence
    source: str
    place: int

    @property
    def title(self) -> str:
        """The gate, its k and its seed."""
        return self.evidence.label

    @property
    def verdict(self) -> Verdict:
        """The gate's verdict."""
        return self.evidence.verdict

    @property
    def kind(self) -> str:
        """The verdict as a class of the page's style."""
        return self.verdict.name.lower().replace("_", "-")

    @property
    def sign(self) -> str:
        """What stands before the verdict."""
        return SIGNS[self.verdict]

    @property
    def standing(self) -> str:
        """How many criteria came to what."""
        return standing(self.verdict, self.evidence.criteria)

    @property
    def closing(self) -> str:
        """What the verdict means, and what to do next."""
        step = next_step(found_in(self.evidence))
        return closing(self.verdict, self.evidence.criteria, step)

    @property
    def validity(self) -> str:
        """How many validity checks passed."""
        return checks_passed(self.evidence)

    @property
    def unsaid(self) -> list[str]:
        """The validity checks that could not say anything, and why."""
        return unsaid(self.evidence)

    @property
    def note(self) -> str:
        """What a reader should know of the rates; empty where there is nothing."""
        return above_luck(self.evidence)

    @property
    def wanting(self) -> list[tuple[str, str, str]]:
        """What keeps the gate from a PASS: what it is, what came out, and where it stands."""
        held = self.evidence
        if held.is_invalid:
            failed = [(f"{one.title}: FAILED", one.detail, one.id) for one in held.failed_checks]
            return failed or [("", reason, "") for reason in held.reasons]
        groups = [(held.criteria, "")]
        groups += [(one.criteria, f"{one.name}: ") for one in held.required]
        found = [
            (before, one, sentence(one, held.rates, criteria))
            for criteria, before in groups
            for one in criteria
            if one.verdict is not Verdict.PASS
        ]
        # what is contradicted decides: it comes before what is open
        found.sort(key=lambda item: item[1].verdict is not Verdict.FAIL)
        return [
            (f"{before}{one.id}: {one.standing}", told, _place(one)) for before, one, told in found
        ]

    @property
    def holding(self) -> list[str]:
        """The gate's own criteria that hold, in sentences."""
        held = self.evidence
        passed = [one for one in held.criteria if one.verdict is Verdict.PASS]
        return [sentence(one, held.rates, held.criteria) for one in passed]

    @property
    def unread(self) -> bool:
        """Whether its rates must not be read as a result."""
        return self.evidence.is_invalid

    @property
    def facts(self) -> list[str]:
        """What was measured, and on what."""
        return subject(self.evidence)

    @property
    def rates_heads(self) -> list[str]:
        """What stands over the columns of rates."""
        interval = f"{level(self.evidence.confidence)} interval"
        other = self.evidence.other_score
        return ["condition", "success", "rate", interval, other, "what B gets"]

    @property
    def rates(self) -> Iterator[list[str]]:
        """Success by condition, with the interval, and by the other score."""
        held = self.evidence
        for name, numbers in held.conditions.items():
            _, *cells = success_cells(name, numbers.n, numbers.under(held.score))
            other = amount(numbers.rate(held.other_score), PERCENT, column=True)
            yield [name, *cells, other, NOUNS.get(name, "")]

    @property
    def criteria(self) -> list[tuple[str, CriterionResult, Mapping[str, str]]]:
        """Each criterion with the name of its gate, where that is another, and its numbers."""
        own = [("", one) for one in self.evidence.criteria]
        required = [(f"{g.name}: ", one) for g in self.evidence.required for one in g.criteria]
        read = [] if self.unread else [*required, *own]
        return [(before, one, criterion_numbers(one)) for before, one in read]

    @property
    def checks(self) -> list[tuple[CheckResult, str]]:
        """The validity checks, those that failed first, each with what came of it."""
        order = ["FAILED", "could not say", "passed", "does not apply"]
        found = sorted(self.evidence.checks, key=lambda one: order.index(one.result))
        return [(one, one.result) for one in found]

    @property
    def origins(self) -> dict[str, str]:
        """Where it comes from: command, versions, hashes."""
        held = self.evidence
        versions = ", ".join(f"{name} {version}" for name, version in held.versions.items())
        hashes = {f"sha256 of {n}": str(v) for n, v in to_data(held.hashes).items() if v}
        return {
            "evidence": self.source,
            "run": held.run,
            "written": held.written,
            "command": " ".join(held.command),
            "versions": versions,
            **hashes,
        }

    @cached_property
    def rates_picture(self) -> Markup:
        """The rates, drawn."""
        told = "; ".join(f"{row[0]} {row[2]} ({row[3]})" for row in self.rates)
        # names of conditions are short: what is left of them is cut away
        longest = max((min(len(name), 34) for name in self.evidence.conditions), default=0)
        cut = max(0.0, style.LEFT - style.GAP - _LETTER * (longest + 1))
        figure = gate.conditions_figure(self.evidence)
        return self._picture(figure, f"Success by condition: {told}", cut)

    @property
    def rates_legend(self) -> str:
        """What the picture of the rates shows."""
        told = gate.rates_legend(self.evidence)
        return f"{told[:1].upper()}{told[1:]}."

    @cached_property
    def criteria_picture(self) -> Markup:
        """The criteria, drawn; empty where none may be read."""
        if not self.criteria:
            return Markup()
        told = "; ".join(
            f"{before}{one.id} {numbers['estimate'] or 'not measured'}, {one.standing}"
            for before, one, numbers in self.criteria
        )
        return self._picture(gate.criteria_figure(self.evidence), f"Criteria: {told}")

    def _picture(self, figure: Figure, told: str, cut: float = 0.0) -> Markup:
        """A picture in the page's own colours, with what it shows in words; `cut` inches less."""
        drawn = style.svg_of_text(figure)
        drawn = drawn[drawn.index("<svg") :]
        drawn = _COLOUR.sub(lambda found: f"var(--{_named(found[0])})", drawn)
        kind = re.sub(r"\W", "", told[:4]).lower()
        drawn = _OWN_NAMES.sub(rf"\g<1>g{self.place}{kind}-", drawn)
        head, _, rest = drawn.partition(">")
        box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', head)
        assert box is not None, "matplotlib writes one"
        left, (width, height) = POINTS * cut, map(float, box.groups())
        made = Markup('<svg xmlns:xlink="http://www.w3.org/1999/xlink" role="img" ')
        shown = f"{left:g} 0 {width - left:g} {height:g}"
        made += Markup('aria-label="{}" viewBox="{}">').format(told, shown)
        return made + Markup(re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL))


def _place(one: CriterionResult) -> str:
    """Where a criterion stands in its spec, and why it is asked."""
    place = f"{one.position.file}:{one.position.line}"
    return f"{place}: {one.why}" if one.why else place


def _named(colour: str) -> str:
    return {hex.lower(): name for hex, name in _PALETTE.items()}[colour.lower()]


def report_page(sources: Sequence[tuple[str, Evidence]]) -> str:
    """Write one page about gates.

    Args:
        sources: each evidence with the name of its file, in the order in which they are shown.

    Returns:
        The page as HTML, complete in itself.

    Raises:
        FigureError: evidence cannot be drawn.

    Example:
        >>> from pathlib import Path
        >>> from lpca.judge.stored import read_stored
        >>> path = Path("docs/experiments/gate1-attempt-04.json")
        >>> report_page([(path.name, read_stored(path))]).splitlines()[0]
        '<!doctype html>'
    """
    pages = [GatePage(held, name, place) for place, (name, held) in enumerate(sources, start=1)]
    loader: Any = PackageLoader("lpca", "report")
    # a text of anybody's is escaped: pages are passed on
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("page.html").render(pages=pages, heading=_heading(pages))


def _heading(pages: Sequence[GatePage]) -> str:
    if len(pages) == 1:
        return f"{pages[0].title}: {pages[0].verdict}"
    counts = Counter(page.verdict for page in pages)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    return f"{len(pages)} gates: {told}"

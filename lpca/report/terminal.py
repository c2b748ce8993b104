"""A gate's verdict for the terminal: plain sentences, in 80 columns or fewer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lpca.base.numbers import PERCENT, amount, level, number, span, tally
from lpca.channel.confine import ISOLATED
from lpca.evidence.json_form import to_data
from lpca.evidence.model import CodecFacts, CriterionResult, Evidence, Successes
from lpca.gatespec.claims import unit_of
from lpca.report.layout import WIDTH, table, wrapped
from lpca.report.next_steps import found_in, next_step
from lpca.report.sentences import (
    above_luck,
    checks_passed,
    closing,
    grouped,
    packets,
    sentence,
    standing,
    unsaid,
)
from lpca.stats.verdicts import Verdict

_VERDICTS = re.compile(f"({'|'.join(Verdict)}|FAILED)")
COLOURS: Mapping[str, Mapping[str, bool]] = {
    Verdict.PASS: {"green": True, "bold": True},
    Verdict.FAIL: {"red": True, "bold": True},
    "FAILED": {"red": True, "bold": True},
    Verdict.INCONCLUSIVE: {"yellow": True, "bold": True},
    Verdict.INVALID: {"purple": True, "bold": True},
    Verdict.NOT_MEASURED: {"cyan": True, "bold": True},
    Verdict.EXPLORED: {"blue": True, "bold": True},
}
"""pytest's markup by verdict; the words say the same without it."""


def coloured(line: str) -> list[tuple[str, Mapping[str, bool]]]:
    """A line in parts, each with the markup that pytest's terminal writer takes."""
    parts = _VERDICTS.split(line)
    return [(part, COLOURS.get(part, {})) for part in parts if part]


def gate_lines(
    evidence: Evidence,
    verdict: Verdict,
    note: str = "",
    *,
    aside: str = "",
    width: int = WIDTH,
    verbose: bool = False,
) -> list[str]:
    """Return a gate's summary, no line longer than `width`.

    `verdict` is the run's for this gate, which may be NOT MEASURED where the evidence's is not;
    `note` says why, `aside` what part the gate has in the run. `verbose` adds every number.
    """
    results, rates = evidence.criteria, evidence.rates
    head = f"{evidence.label}: {verdict}{aside}: {standing(verdict, results)}"
    lines = [
        *wrapped(head, width, 0, 2),
        *(line for text in subject(evidence) for line in wrapped(text, width)),
        *wrapped(note, width),
        *_validity(evidence, width),
    ]
    if evidence.is_invalid:
        lines += _reasons(evidence, width)
    # what did not all come home reads as a PASS nowhere
    broken = verdict is not evidence.verdict
    unread = "Measured, and not to be read as a result:" if evidence.is_invalid or broken else ""
    lines += ["", *wrapped(unread, width), *_conditions(evidence, width, verbose)]
    lines += wrapped(above_luck(evidence), width)
    for required in () if broken else evidence.required:
        stands = standing(required.verdict, required.criteria)
        lines += ["", *wrapped(f"required {required.name}: {required.verdict}: {stands}", width)]
        lines += criteria_lines(required.criteria, rates, width, 4, verbose)
    if not unread:
        lines += ["", *criteria_lines(results, rates, width, 2, verbose)]
    step = next_step(replace(found_in(evidence), verdict=verdict))
    lines += ["", *wrapped(f"So: {closing(verdict, results, step)}", width)]
    return [*lines, *(_origins(evidence, width) if verbose else [])]


def criteria_lines(
    results: Sequence[CriterionResult],
    rates: Mapping[str, float],
    width: int = WIDTH,
    indent: int = 2,
    verbose: bool = False,
) -> list[str]:
    """One sentence a criterion; where it does not PASS, also its place, why, and the interval."""
    lines, unread = [], dict[str, None]()
    for result in results:
        if result.n is None:
            unread[f"{result.standing}: {result.message}"] = None
            continue
        hang = indent + 4
        told = f"{result.standing}: {sentence(result, rates, results)}"
        lines += wrapped(told, width, indent, hang)
        if verbose or result.verdict is not Verdict.PASS:
            place = f"{result.id}, {result.position.file}:{result.position.line}"
            lines += wrapped(f"{place}: {result.why}" if result.why else place, width, hang)
            numbers = _numbers(result)[: 2 if verbose else 1]
            lines += [line for text in numbers for line in wrapped(text, width, hang)]
    return lines + [line for text in unread for line in wrapped(text, width, indent, indent + 4)]


def subject(evidence: Evidence) -> list[str]:
    """What was measured, and on what, in sentences."""
    receiver, looks = evidence.receiver, evidence.looks
    made = _codec(evidence.codec)
    told = [f"receiver {receiver.name} ({receiver.dtype}, {receiver.device}){made}"]
    if evidence.title != evidence.gate:
        told.insert(0, f"claim: {evidence.title}")
    normalised = f" ({evidence.normalised})" if evidence.normalised else ""
    asked = f"answers {evidence.answers}; scored by {evidence.score}{normalised}"
    if evidence.temperature is not None:
        how = (
            "once" if evidence.repeats is None else f"{evidence.repeats} times an episode, one unit"
        )
        asked += f"; sampled at temperature {evidence.temperature:g}, {how}"
    if evidence.prompt is not None:
        asked += f"; prompt: template {evidence.prompt.get('template')}"
    if looks.rule is not None:
        look = f"look {looks.look} of {len(looks.sizes)} ({looks.rule})"
        tail = f", {looks.saved} saved" if looks.saved else ""
        told.append(f"{looks.used} of {looks.declared} episodes: ended at {look}{tail}")
        told.append(asked)
    else:
        told.append(f"{looks.used} episodes; {asked}")
    if shared := grouped(evidence.criteria):
        told.append(shared)
    return [text for text in (*told, packets(evidence)) if text]


def _codec(codec: CodecFacts | None) -> str:
    if codec is None:
        return ""
    if codec.origin == "packets":
        return f", packets {codec.architecture} ({codec.isolation}, training unknown)"
    if codec.origin == "own":
        declared = codec.trained_on
        training = "unknown" if declared is None else f"on {declared} declared messages"
        # the wall as it should be goes without saying
        kept = "" if codec.isolation in (None, ISOLATED) else f"{codec.isolation}, "
        return f", codec {codec.architecture} (own, {kept}training {training})"
    return f", codec {codec.origin} (seed {codec.seed})"


def _validity(evidence: Evidence, width: int) -> list[str]:
    lines = wrapped(f"validity: {checks_passed(evidence, 'checks')}", width)
    told = [f"FAILED: {one.title}: {one.detail} ({one.id})" for one in evidence.failed_checks]
    return lines + [line for text in told + unsaid(evidence) for line in wrapped(text, width, 4, 8)]


def _reasons(evidence: Evidence, width: int) -> list[str]:
    """Why a gate is INVALID, where no check of its own says so."""
    if evidence.failed_checks:
        return []
    return [line for reason in evidence.reasons for line in wrapped(reason, width, 4, 8)]


def _conditions(evidence: Evidence, width: int, verbose: bool) -> list[str]:
    held, other = evidence.conditions.values(), evidence.other_score
    heads, rows = [*success_heads(evidence.confidence), other], []
    has_credit = any(numbers.credit is not None for numbers in held)
    # older evidence says what is within 1e-4 nats, whatever the noise
    known = all(numbers.undecided is not None for numbers in held)
    ties = [numbers.undecided if known else numbers.near_ties for numbers in held]
    has_ties = verbose or any(ties)
    heads += ["credit"] * has_credit + ["undecided" if known else "near-ties"] * has_ties
    for (name, numbers), tied in zip(evidence.conditions.items(), ties, strict=True):
        credit = "-" if numbers.credit is None else f"{numbers.credit:.3f}"
        row = success_cells(name, numbers.n, numbers.under(evidence.score))
        row.append(amount(numbers.rate(other), PERCENT, column=True))
        rows.append([*row, *[credit] * has_credit, *[str(tied)] * has_ties])
    return table(heads, rows, width)


def success_heads(confidence: float) -> list[str]:
    """What stands over the columns of success by condition."""
    return ["condition", "success", "", f"{level(confidence)} interval"]


def success_cells(name: str, n: int, found: Successes) -> list[str]:
    """A condition's name, successes, rate and interval, as every table of them begins."""
    count, interval = found.successes, found.interval
    rate = amount(count / n, PERCENT, column=True)
    return [name, tally(count, n), rate, span(interval.low, interval.high, PERCENT, column=True)]


def _numbers(result: CriterionResult) -> list[str]:
    unit, told = unit_of(result.claim), []
    if result.estimate is not None:
        told.append(f"estimate {amount(result.estimate, unit)}")
    if result.interval is not None and result.confidence is not None:
        ends = span(result.interval.low, result.interval.high, unit)
        told.append(f"{level(result.confidence)} interval {ends}")
    margins = " and ".join(number(margin, unit) for margin in result.margins)
    told.append(f"bound {unit.behind(margins)}")
    held = result.table
    counts = f"successes {result.successes} of {result.n}"
    if held is not None:
        counts = f"a {held.a}, b {held.b}, c {held.c}, d {held.d}"
    elif result.successes is None:
        counts = f"n {result.n}"
    ps = [("p_pass", result.p_pass), ("p_fail", result.p_fail)]
    tested = [f"{name} {p:.2g}" for name, p in ps if p is not None]
    return [", ".join(told), "; ".join([counts, f"{result.method}: {', '.join(tested)}"])]


def _origins(evidence: Evidence, width: int) -> list[str]:
    cached = sum(block.cached for block in evidence.blocks)
    seconds = ", ".join(f"{name} {value:g}" for name, value in evidence.seconds.items())
    told = [
        f"seconds: {seconds}",
        f"outcomes from the cache: {cached} of {len(evidence.blocks)} blocks",
        *(f"{name} {value}" for name, value in to_data(evidence.hashes).items() if value),
        f"run {evidence.run}, written {evidence.written}",
    ]
    return ["", *(line for text in told for line in wrapped(text, width, 2, 4))]

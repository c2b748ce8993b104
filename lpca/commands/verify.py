"""`lpca verify`: what of a verdict can be computed again from its evidence."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpca.base import __version__
from lpca.base.errors import ExitCode, UserError
from lpca.base.files import read_json
from lpca.evidence.files import has_hash, parse_altered, refuse_altered
from lpca.evidence.json_form import EvidenceError
from lpca.evidence.model import Evidence
from lpca.evidence.runs import RUNS, run_named
from lpca.gatespec.load import load_spec
from lpca.gatespec.model import LATENT, Spec
from lpca.judge.age import (
    DoesNotHoldError,
    hold_checks,
    hold_failed,
    hold_noise,
    lacking_checks,
)
from lpca.judge.stored import (
    hold,
    hold_outcomes,
    hold_outcomes_hash,
    hold_spec,
    hold_verdict,
)
from lpca.stats.verdicts import Verdict

if TYPE_CHECKING:
    from lpca.validity.ledger_file import LedgerFile


class UnknownError(Exception):
    """What it takes is not at hand; the text says what."""


@dataclass(frozen=True)
class Case:
    """The evidence, as it stands in its file, and where spec and ledger are looked for."""

    evidence: Evidence
    data: Mapping[str, Any]
    spec: Path
    is_named: bool
    ledger: Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("evidence", help="a run (lpca runs), or a file of evidence")
    parser.add_argument(
        "--spec", type=Path, help="the spec; by default the one it names, if it is there"
    )
    parser.add_argument(
        "--ledger", type=Path, help="the ledger's folder; by default the one beside the evidence"
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Say of each part whether it holds; INVALID at the first that does not."""
    path = run_named(arguments.evidence)
    data = read_json(path)
    try:
        evidence = parse_altered(data)
    except EvidenceError as error:
        raise EvidenceError(f"{path}: {error}") from None
    named = Path(evidence.criteria[0].position.file) if evidence.criteria else Path()
    place = path.resolve().parent
    place = place.parent if evidence.split or place.name == RUNS else place
    case = Case(
        evidence,
        data,
        arguments.spec or named,
        arguments.spec is not None,
        arguments.ledger or place.parent / "ledger",
    )
    for name, step in STEPS.items():
        try:
            print(f"{name}: holds: {step(case)}")
        except UnknownError as reason:
            print(f"{name}: not known: {reason}")
        except DoesNotHoldError as reason:
            print(f"{name}: DOES NOT HOLD: {reason}")
            return ExitCode.INVALID
    return ExitCode.PASS


def _checks(case: Case) -> str:
    from lpca.validity.catalogue import unexplained

    evidence, is_hashed = case.evidence, has_hash(case.data)
    hold_checks(evidence, is_hashed)
    hold_failed(evidence)
    if silent := unexplained(evidence.checks, evidence.conditions):
        raise DoesNotHoldError(f"said not to apply, and they do: {', '.join(silent)}")
    found = f"{len(evidence.checks)} were carried out, {len(evidence.failed_checks)} failed"
    _, younger = lacking_checks(evidence, is_hashed)
    if younger:
        raise UnknownError(f"{found}, before {', '.join(younger)} existed")
    return found


def _outcomes(case: Case) -> str:
    hold_outcomes(case.evidence)
    hold_noise(case.evidence, has_hash(case.data))
    return f"{len(case.evidence.episodes)} episodes, each as its scores say"


def _hashes(case: Case) -> str:
    hold_outcomes_hash(case.evidence)
    return "the outcomes' hash"


def _spec(case: Case) -> Spec:
    if not case.is_named and not case.spec.is_file():
        raise UnknownError(f"the spec {case.spec} is not here; give --spec")
    return load_spec(case.spec)


def _spec_hash(case: Case) -> str:
    hold_spec(case.evidence, _spec(case))
    return f"{case.spec} is the spec that was loaded"


def _verdict(case: Case) -> str:
    hold_verdict(case.evidence, _spec(case))
    return f"{case.evidence.gate} comes to {case.evidence.verdict} once more"


def _ledger(case: Case) -> str:
    from lpca.validity.ledger import family_of, looks_of, readings_of, unpaid
    from lpca.validity.ledger_file import LedgerError, LedgerFile

    evidence, facts = case.evidence, case.evidence.ledger
    if facts is None:
        latent = evidence.k is not None or any(name in LATENT for name in evidence.conditions)
        if latent and not evidence.split and not evidence.is_invalid:
            raise DoesNotHoldError("a codec was judged on test episodes, and no ledger is named")
        raise UnknownError("the evidence names no ledger")
    if not case.ledger.is_dir():
        raise UnknownError(f"{case.ledger} is not here; give --ledger")
    try:
        ledger = LedgerFile.read(case.ledger)
        looks, late = looks_of(ledger), unpaid(ledger)
    except LedgerError as error:
        raise DoesNotHoldError(str(error)) from None
    if not ledger.holds([*facts.heads, facts.look]) or len(ledger.lines) < facts.lines:
        raise DoesNotHoldError(
            f"{case.ledger} lacks lines that the evidence names: they were taken away"
        )
    look, hashes = looks.get(facts.look), evidence.hashes
    named = (evidence.gate, hashes.codec or "", hashes.spec)
    if look is None or look.k != evidence.k or named not in readings_of(ledger)[facts.look]:
        raise DoesNotHoldError(
            "the look that the evidence names is of another gate, k, codec or spec"
        )
    if look.receiver != hashes.receiver:
        raise DoesNotHoldError("the receiver's hash is not that of the look")
    whole = evidence.looks.used == evidence.looks.declared
    # a look by an earlier version has no hash of its episodes
    if whole and look.episodes and look.episodes != hashes.episodes:
        raise DoesNotHoldError("the episodes' hash is not that of the look")
    then = _named_by(ledger, facts.heads)
    before = _named_by(ledger, [facts.look])
    earlier = [entry for line, entry in looks.items() if line in before - {facts.look}]
    due = {
        "lines": len(then),
        "share": look.share,
        "spent": family_of(look, earlier).spent,
        "look": facts.look if facts.look in then else None,
    }
    hold({name: getattr(facts, name) for name in due}, due, "ledger")
    if evidence.verdict is Verdict.PASS and facts.look in late:
        raise DoesNotHoldError("alpha does not pay for this look any more")
    if drawn := evidence.task.get("drawn"):
        line = next((one for one in ledger.lines if one.hash == drawn), None)
        wanted = {
            "codec": hashes.codec or "",
            "spec": hashes.spec,
            "seed": evidence.task.get("seed"),
        }
        if line is None or not wanted.items() <= line.data.items():
            raise DoesNotHoldError("the ledger has drawn no such seed for this codec and spec")
    return f"{facts.lines} lines when the verdict was entered, {len(ledger.lines)} now"


def _named_by(ledger: LedgerFile, heads: Sequence[str]) -> set[str]:
    """The hashes of some lines and of all that they came after: the ledger as it was then."""
    found = set(heads)
    # a line stands behind all that it names
    for line in reversed(ledger.lines):
        if line.hash in found:
            found.update(line.previous)
    return found


def _episodes(case: Case) -> str:
    from lpca.gate.plan import gate_episodes, on_validation, task_of

    evidence, spec = case.evidence, _spec(case)
    spec = replace(spec, task=replace(spec.task, seed=int(evidence.task["seed"])))
    try:
        task = task_of(spec)
        spec = on_validation(spec, evidence.gate, task) if evidence.split else spec
        made = gate_episodes(spec, spec.gates[evidence.gate], task)
    except UserError as error:
        raise UnknownError(f"they cannot be made again: {error}") from None
    if made.hash() != evidence.hashes.episodes:
        if evidence.versions.get("lpca") != __version__:
            raise UnknownError("another version of lpca made them")
        raise DoesNotHoldError("the task makes other episodes than the evidence names")
    for kept, episode in zip(evidence.episodes, made, strict=False):
        told = (kept.seed, kept.message, kept.options, kept.answer, kept.group)
        due = (episode.seed, episode.message, episode.options, episode.answer, episode.group)
        if not kept.content_sha256:
            hold(told, due, f"episode {kept.seed}")
        for name, found in kept.outcomes.items():
            for answer in found.readings:
                if answer.said is not None:
                    credit = episode.credit(answer.said)
                    hold(answer.credit, credit, f"credit under {name}, episode {kept.seed}")
    return f"the task makes these {len(made)} once more, and gives answers the same credit"


def _content(case: Case) -> str:
    if not has_hash(case.data):
        raise UnknownError("it was written without a hash of its content")
    try:
        refuse_altered(case.data)
    except EvidenceError as error:
        raise DoesNotHoldError(str(error)) from None
    return "all of it is as it was written"


STEPS: Mapping[str, Callable[[Case], str]] = {
    "validity checks": _checks,
    "outcomes": _outcomes,
    "hashes": _hashes,
    "spec": _spec_hash,
    "verdict": _verdict,
    "ledger": _ledger,
    "episodes": _episodes,
    # last: what differs is named before
    "content": _content,
}

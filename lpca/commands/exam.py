"""`lpca exam`: a gate asked, in texts, of a system that cannot be opened."""

from __future__ import annotations

import argparse
import json
import secrets
from pathlib import Path

from lpca.base.errors import ExitCode, RequestError
from lpca.base.files import write_bytes, write_json, write_text
from lpca.base.numbers import plural
from lpca.base.registry import declared
from lpca.commands.cli import tell
from lpca.commands.judge import say, show
from lpca.evidence.model import GateResult
from lpca.gate.exam import (
    KEY,
    PROMPTS,
    SENT,
    Exam,
    decide_exam,
    read_answers,
    read_exam,
    sound_exam,
)
from lpca.gate.plan import LEDGER
from lpca.gatespec.model import LATENT, MESSAGE_LATENTS
from lpca.report.sentences import closing
from lpca.stats.verdicts import Verdict

DEPENDS = (
    "B's answer depends on A's message. What crossed was not seen: the message itself, pasted into "
    "what B reads, would pass too."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("--spec", default="gate_specs.yaml", help="the spec that decides")
    parser.add_argument("--gate", help="the gate that is asked")
    parser.add_argument("--out", type=Path, help="the folder to write questions and key into")
    doing = parser.add_subparsers(dest="doing", metavar="score")
    what = "decide the gate by what the system said"
    score = doing.add_parser("score", help=what, description=what.capitalize() + ".")
    score.add_argument("exam", type=Path, help="the folder of questions and key")
    score.add_argument("answers", type=Path, help='the answers: lines of {"id": ..., "text": ...}')
    where = "the spec, where it stands elsewhere now"
    score.add_argument("--spec", dest="moved", metavar="SPEC", help=where)
    score.add_argument("--ledger", type=Path, default=Path(LEDGER), help="the folder of looks")
    score.add_argument("--verbose", action="store_true", help="as for lpca judge")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Write an exam, or score one: the exit code is then that of the verdict."""
    if arguments.doing == "score":
        return _score(arguments)
    if arguments.gate is None or arguments.out is None:
        raise RequestError("lpca exam: --gate NAME and --out FOLDER are due; or lpca exam score")
    return _write(arguments)


def _write(arguments: argparse.Namespace) -> ExitCode:
    prompts, key = arguments.out / PROMPTS, arguments.out / KEY
    for path in (prompts, key):
        if path.exists():
            raise RequestError(f"{path}: there is an exam already; allowed: another --out")
    exam = sound_exam(arguments.spec, arguments.gate, secrets.token_hex(32))
    # the key first: questions without one could never be scored
    write_json(key, exam.key(), indent=1)
    write_bytes(prompts, exam.prompts)
    each = exam.spec.evaluation.repeats
    asked = f"{plural(len(exam.episodes), 'episode')} under {', '.join(exam.conditions)}"
    say(f"{prompts}: {len(exam.questions)} questions: {asked}", 0, 2)
    say(f"{key}: keep it. Whoever has it can tell the conditions: hand over {PROMPTS} alone.", 0, 2)
    say(
        f'Answers are lines of {{"id": ..., "text": ...}}, {plural(each, "answer")} for each '
        f"question; then: lpca exam score {arguments.out} ANSWERS.jsonl",
        0,
        2,
    )
    return ExitCode.PASS


def _score(arguments: argparse.Namespace) -> ExitCode:
    exam = read_exam(arguments.exam, arguments.moved)
    said = read_answers(arguments.answers, exam, tell)
    outcomes = list(exam.outcomes(said))
    due = len(exam.questions) * exam.spec.evaluation.repeats
    missing = due - sum(map(len, said.values()))
    if missing:
        say(
            f"{missing} of {due} answers are missing: episodes count up to the first that lacks one"
        )
        print()
    result, table = decide_exam(exam, outcomes, arguments.ledger)
    show(exam.spec, exam.gate, result, table, arguments.verbose, so=_meaning(result))
    if result.verdict is not Verdict.NOT_MEASURED:
        kept = arguments.exam / f"{arguments.answers.stem}.outcomes.jsonl"
        write_text(kept, "".join(f"{json.dumps(row)}\n" for row in outcomes))
        say(f"{kept}: every answer with its condition and outcome", 0, 2)
        print()
    say("Not checked, for texts are all that was seen:", 0)
    for one in _unchecked(exam):
        say(f"- {one}", 2, 4)
    return result.exit_code


def _meaning(result: GateResult) -> str:
    """What follows of texts alone: never that a latent carried anything."""
    names = {name for one in result.deciding for name in one.claim.conditions}
    if result.verdict is Verdict.PASS and MESSAGE_LATENTS.among(names):
        return DEPENDS
    return closing(result.verdict, result.criteria)


def _unchecked(exam: Exam) -> list[str]:
    controls = ", ".join(name for name in LATENT if name not in SENT)
    checks = len(declared("lpca.validity.checks"))
    return [
        "what crossed from A to B, how much of it, and whether it was anything but text",
        f"controls that are no text: {controls}",
        f"the {checks} validity checks of a run; among them whether B's own text gives answer or "
        "message away, and what the system was trained on",
        "whether each question was answered by itself: in the whole file p0 shows by its empty "
        "sender, and p1 tells whose message a sender is",
        "whether one system, unchanged, gave all answers, and would give them again",
        "whether answers were given that nobody scored: the ledger knows those that were",
    ]

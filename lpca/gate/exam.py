"""An exam: a gate asked of a system that cannot be opened, in texts, and decided by what it says.

The system gets lines of what A is told and what B reads. Their ids and their order follow from a
secret of the examiner's, so that nothing but the texts themselves tells one condition from another.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from lpca.base import __version__
from lpca.base.errors import RequestError
from lpca.base.files import read_bytes, read_json, reading
from lpca.base.hashing import hash_bytes, hash_data, is_altered, with_hash
from lpca.base.numbers import plural
from lpca.base.registry import suggestion
from lpca.checker.check import RULES, check_spec
from lpca.evidence.model import GateResult
from lpca.gate.plan import gate_conditions, gate_episodes, task_of
from lpca.gatespec.load import load_spec
from lpca.gatespec.model import CONDITIONS, Gate, Spec
from lpca.judge.decide import judge, unread
from lpca.judge.formats import LARGEST, json_lines, refuse_larger
from lpca.judge.outcomes import OutcomeError, OutcomeTable, clipped, shown
from lpca.judge.rows import Reading, Row, table_of
from lpca.judge.successes import named_option
from lpca.stats.verdicts import Verdict
from lpca.tasks import MAX_SENDERS, Episode, EpisodeSet, TaskError
from lpca.validity.ledger import GateLedger, LedgerEntry, claim_hashes, row_keys, share_of

PROMPTS, KEY = "prompts.jsonl", "key.json"
"""The file that is handed over, and the one that is not."""
FORM = 1
"""Of the key; another one is refused."""
_TEXTS = ("spec", "spec_sha256", "gate", "secret", "lpca")
"""What a key has besides the facts of its exam."""
_ID = 24
"""Hexadecimal digits of an id."""
_UNASKED = frozenset({"missing-control"})
"""Rules of the checker that ask for `null`, which no text is.

That `shuffle` is compared with stays the rule: else the checker's magic prompt passes.
"""


def _same_answer(episode: Episode, _: Episode) -> Sequence[str]:
    if not episode.paraphrase:
        raise TaskError(
            f"same_answer: episode {episode.seed} has no message with the same answer in other "
            "words; allowed: a task whose episodes have a paraphrase"
        )
    return [episode.paraphrase]


def _one_of_donors(sender: int) -> Callable[[Episode, Episode], Sequence[str]]:
    return lambda episode, donor: episode.with_senders(donor, sender)


SENT: Mapping[str, Callable[[Episode, Episode], Sequence[str]]] = {
    "p0": lambda episode, donor: (),
    "p1": lambda episode, donor: (),
    "normal": lambda episode, donor: episode.messages,
    "shuffle": lambda episode, donor: donor.messages,
    "empty": lambda episode, donor: ("",) * len(episode.messages),
    "same_answer": _same_answer,
    **{f"shuffle_{sender}": _one_of_donors(sender) for sender in range(1, MAX_SENDERS + 1)},
}
"""The conditions that can be asked in texts: what each sender is told of an episode and its donor.

Under p1 nobody is told anything: the messages stand in what B reads.
"""


@dataclass(frozen=True)
class Question:
    """One line of an exam: an episode, by its index, under a condition."""

    id: str
    index: int
    condition: str


@dataclass(frozen=True)
class Exam:
    """One gate's questions; the same spec, gate and secret make the same ones.

    Attributes:
        spec: that decides.
        gate: the gate.
        episodes: those it declares, in the order in which it reads them.
        secret: the examiner's, from which ids follow.
    """

    spec: Spec
    gate: Gate
    episodes: EpisodeSet
    secret: str

    @classmethod
    def of(cls, spec: Spec, name: str, secret: str) -> Exam:
        """Draw the episodes of a spec's gate.

        Raises:
            RequestError: the gate is unknown, or cannot be asked so.
            SpecError, TaskError: its episodes cannot be had.
        """
        if name not in spec.gates:
            raise RequestError(
                f"{spec.file}: unknown gate {clipped(name)!r}; {suggestion(name, spec.gates)}"
            )
        gate = spec.gates[name]
        _refuse_unasked(spec, gate)
        episodes = gate_episodes(spec, gate, task_of(spec))
        if spec.evaluation.score == "graded" and episodes.episodes[0].credit("") is None:
            raise RequestError(
                f"{spec.file}: score is graded, and task {spec.task.name} gives answers no credit; "
                "allowed: greedy"
            )
        return cls(spec, gate, episodes, secret)

    @cached_property
    def conditions(self) -> Sequence[str]:
        """Those of the gate and of the gates that it requires."""
        return gate_conditions(self.spec, self.gate.name)

    @cached_property
    def questions(self) -> Sequence[Question]:
        """All of them as they are handed over.

        They are in the order of their ids, which tells nothing; where a stopping rule is declared
        so from look to look, for whoever stops there.
        """
        n = len(self.episodes)
        looks = self.gate.sequential.sizes(n) if self.gate.sequential else [n]
        found: list[Question] = []
        for start, stop in pairwise([0, *looks]):
            block = [
                Question(name, index, condition)
                for index in range(start, stop)
                for condition, name in self._by_episode[index].items()
            ]
            found += sorted(block, key=lambda one: one.id)
        return found

    def _id(self, index: int, condition: str) -> str:
        named = f"{index}/{condition}".encode()
        return hmac.new(self.secret.encode(), named, "sha256").hexdigest()[:_ID]

    def prompt(self, question: Question) -> dict[str, Any]:
        """What the system gets of a question.

        Raises:
            TaskError: the episode lacks what the condition needs.
        """
        episode = self.episodes.episodes[question.index]
        told = SENT[question.condition](episode, self.episodes.donor(question.index))
        prompt, slots = self.spec.prompt, [""] * len(episode.by_slot)
        if question.condition == "p1":
            slots = [prompt.join_message + own.message for own in episode.by_slot]
        return {
            "id": question.id,
            "sender": [*told],
            **({"public": episode.public} if episode.public else {}),
            **({"system": prompt.system} if prompt.system else {}),
            "receiver": episode.written(slots),
            # who answers in words of its own is shown none
            "options": [] if episode.free else list(episode.options),
        }

    @cached_property
    def prompts(self) -> bytes:
        """The file that is handed over; raises as `prompt`."""
        lines = (json.dumps(self.prompt(one)) for one in self.questions)
        return "".join(f"{line}\n" for line in lines).encode()

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """What is the same whenever it is made."""
        return {
            "task_seed": self.spec.task.seed,
            "n": len(self.episodes),
            "conditions": list(self.conditions),
            "prompts_sha256": hash_bytes(self.prompts),
        }

    def key(self) -> dict[str, Any]:
        """What the examiner keeps: by it the same exam is made again, or it is refused."""
        texts = (self.spec.file, self.spec.sha256, self.gate.name, self.secret, __version__)
        return with_hash({"exam": FORM, **dict(zip(_TEXTS, texts, strict=True)), **self.facts})

    def outcomes(self, said: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Any]]:
        """Yield what each answer comes to, a row of long form as `lpca judge` reads it.

        Episodes count up to the first that is not answered whole: whoever leaves answers out
        chooses no episodes by it.

        Args:
            said: by id the answers, one for each repeat.
        """
        repeats, ids = self.spec.evaluation.repeats, self._by_episode
        for index, episode in enumerate(self.episodes):
            answers = {name: said.get(one, ()) for name, one in ids[index].items()}
            if any(len(texts) < repeats for texts in answers.values()):
                return
            for condition, texts in answers.items():
                for repeat, text in enumerate(texts):
                    yield {
                        "episode": episode.seed,
                        # a name by which no two groups are one, and that is no text of A's
                        "group": hash_data(episode.group)[:16],
                        "answers": episode.stratum,
                        "donor": self.episodes.donor(index).seed,
                        "condition": condition,
                        "repeat": repeat,
                        "outcome": self._success(episode, text),
                        "id": ids[index][condition],
                        "said": text,
                    }

    @cached_property
    def _by_episode(self) -> Sequence[Mapping[str, str]]:
        """By index of the episode and condition, the ids."""
        return [
            {condition: self._id(index, condition) for condition in self.conditions}
            for index in range(len(self.episodes))
        ]

    def _success(self, episode: Episode, text: str) -> float:
        """What a run makes of an answer that reads so."""
        credit = episode.credit(text)
        if credit is None:
            return named_option(text, episode.options)[0] == episode.answer
        return credit if self.spec.evaluation.score == "graded" else credit == 1.0

    def look(self, outcomes: Sequence[Mapping[str, Any]]) -> LedgerEntry:
        """What the ledger keeps of these outcomes: a system is known by what it said, in order."""
        count = len({row["episode"] for row in outcomes})
        said = [
            [row[name] for name in ("episode", "condition", "repeat", "said")] for row in outcomes
        ]
        system, read = hash_data(said), self.episodes.part(0, count)
        return LedgerEntry(
            rows=row_keys(read),
            receiver=system,
            k=0,
            codec=system,
            recipe=system,
            packets=(),
            gate=self.gate.name,
            n=count,
            criteria=claim_hashes(self.spec, self.gate),
            share=share_of(self.spec, self.gate),
            spec=self.spec.sha256,
            episodes=read.hash(),
        )

    def table(self, outcomes: Sequence[Mapping[str, Any]]) -> OutcomeTable:
        """The rows of `outcomes` as a gate is decided from them; OutcomeError without any."""
        rows = [Row(f"id {row['id']}", {**row}) for row in outcomes]
        return table_of(rows, Reading(graded=self.spec.evaluation.score == "graded"))


def decide_exam(
    exam: Exam, outcomes: Sequence[Mapping[str, Any]], ledger: Path
) -> tuple[GateResult, OutcomeTable | None]:
    """Decide an exam's gate, and enter the look in the ledger of runs.

    What is NOT MEASURED tells nothing of its outcomes, and is no look; nor is what claims nothing
    about a message.

    Args:
        exam: the exam.
        outcomes: as `Exam.outcomes` has them.
        ledger: the ledger's folder.

    Returns:
        The result and the outcomes that it is of, None where no episode is answered whole. More
        systems than alpha was divided for make it INVALID.
    """
    spec, gate = exam.spec, exam.gate
    if not outcomes:
        return unread(gate, Verdict.NOT_MEASURED, ("no episode is answered whole",)), None
    table = exam.table(outcomes)
    result, look = judge(spec, gate.name, table), exam.look(outcomes)
    if result.verdict is Verdict.NOT_MEASURED or not look.share:
        return result, table
    with GateLedger.opened(ledger, look, spec.evaluation.checkpoints) as held:
        if fault := held.altered or _unpaid(held):
            result = judge(spec, gate.name, table, faults=[fault])
        held.keep(result.verdict, "exam")
    return result, table


def _unpaid(held: GateLedger) -> str:
    """That alpha does not pay for all that was judged on these episodes; empty where it does."""
    if held.family.is_paid:
        return ""
    systems, claims = len(held.family.subjects), plural(len(held.family.shares), "set")
    return (
        f"{systems} systems or codecs were judged on these episodes, by {claims} of claims; "
        f"{held.limit} looks are allowed: ask another task seed, whose episodes nobody chose by"
    )


def _refuse_unasked(spec: Spec, gate: Gate) -> None:
    """Raise RequestError where texts cannot ask what a gate reads."""
    unasked = [name for name in gate_conditions(spec, gate.name) if name not in SENT]
    if unasked:
        listed = {*CONDITIONS}
        allowed = ", ".join(name for name in SENT if name in listed)
        raise RequestError(
            f"{gate.position}: gate {gate.name} reads {', '.join(unasked)}, which no text is; "
            f"allowed: {allowed}"
        )
    if spec.evaluation.score == "likelihood":
        raise RequestError(
            f"{spec.evaluation.places.get('score', gate.position)}: score is likelihood, and only "
            "what is said is heard; allowed: greedy, graded"
        )
    if gate.any_k:
        raise RequestError(
            f"{gate.position}: of gate {gate.name} one k of several suffices, and an exam has no "
            "k; allowed: a gate without k"
        )
    if spec.task.drawn:
        raise RequestError(
            f"{spec.task.places.get('seed', gate.position)}: seed is drawn, which a run's ledger "
            "does; allowed: a number"
        )


def sound_exam(path: str, name: str, secret: str) -> Exam:
    """The exam of a spec that no known cheat passes.

    Raises:
        RequestError: the gate cannot be asked so, or the checker finds an error.
        SpecError, TaskError: the spec cannot be read, or its episodes cannot be had.
    """
    spec = load_spec(path)
    exam = Exam.of(spec, name, secret)
    rules = [one for one in RULES if one.name not in _UNASKED]
    errors = [one for one in check_spec(spec, rules) if one.severity == "error"]
    if errors:
        raise RequestError("\n".join(map(str, errors)))
    return exam


def read_exam(folder: Path, spec: str | None = None) -> Exam:
    """The exam that was written into a folder, made once more.

    Args:
        folder: with the key and the prompts.
        spec: where its spec stands now; None: where it stood.

    Raises:
        RequestError: key, prompts, spec or episodes are not those of the exam.
        StorageError: a file cannot be read.
    """
    path, prompts = folder / KEY, folder / PROMPTS
    key = read_json(path)
    if not isinstance(key, dict) or key.get("exam") != FORM or is_altered(key):
        raise RequestError(f"{path}: this is not the key that was written with the exam")
    where, sha256, gate, secret, version = (str(key.get(name)) for name in _TEXTS)
    loaded = load_spec(spec or where)
    if loaded.sha256 != sha256:
        raise RequestError(f"{loaded.file}: this is not the spec that the exam was made from")
    exam = Exam.of(loaded, gate, secret)
    if any(key.get(name) != value for name, value in exam.facts.items()):
        raise RequestError(
            f"{path}: the questions cannot be made again: the task has other episodes now, or "
            f"lpca {__version__} draws others than lpca {clipped(version)}"
        )
    with reading(prompts):
        if read_bytes(prompts) != exam.prompts:
            raise RequestError(f"{prompts}: these are not the questions that were written")
    return exam


def read_answers(
    path: Path, exam: Exam, tell: Callable[[str], None] = lambda _: None
) -> dict[str, list[str]]:
    """Read lines of `{"id", "text"}`.

    Args:
        path: the file's.
        exam: whose ids are due, each as often as its spec has repeats.
        tell: takes one line on what was left alone.

    Returns:
        By id the texts, in the order of the file; ids that are not answered are missing.

    Raises:
        OutcomeError: a line is no answer, of an id that was not asked, or one too many; the text
            names file and line.
        StorageError: the file cannot be read.
    """
    with reading(path), path.open("rb") as file:
        data = file.read(LARGEST + 1)
    due, repeats = {one.id for one in exam.questions}, exam.spec.evaluation.repeats
    said: dict[str, list[str]] = {}
    spare: dict[str, None] = {}
    try:
        refuse_larger(data, ".jsonl")
        for place, held in json_lines(data):
            if not isinstance(held, dict) or not {"id", "text"} <= set(held):
                raise OutcomeError(f'{place} is no answer; allowed: {{"id": "...", "text": "..."}}')
            name, text = held["id"], held["text"]
            if not isinstance(text, str):
                raise OutcomeError(f"{place}: text is {clipped(json.dumps(text))}; allowed: a text")
            if not isinstance(name, str) or name not in due:
                raise OutcomeError(f"{place}: id {clipped(str(name))} was not asked")
            said.setdefault(name, []).append(text)
            if len(said[name]) > repeats:
                each = "one answer" if repeats == 1 else f"{repeats} answers"
                raise OutcomeError(f"{place}: id {name} stands again; allowed: {each} each")
            spare |= dict.fromkeys(one for one in held if one not in ("id", "text"))
    except OutcomeError as error:
        raise OutcomeError(f"{path}: {error}") from None
    if spare:
        tell(f"{path}: fields left alone: {shown(list(spare))}")
    return said

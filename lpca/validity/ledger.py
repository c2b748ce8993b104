"""The memory of test episodes: who looked at which rows, and what of alpha that has spent.

Rows are known by what they hold, never by a seed. Looks that share a row, directly or through
others, are one family. In a family every codec that was shown counts with every set of claims that
was read, for whoever has seen all of it may choose any pair: with C codecs, and claims whose shares
of alpha are s1, s2, ..., C (s1 + s2 + ...) of alpha is spent. By Bonferroni's bound over the pairs
a family passes falsely in at most alpha as long as no look is read beyond 1. A share is declared
before the first look: 1 / `checkpoints`.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lpca.base.files import locked
from lpca.base.hashing import hash_data
from lpca.evidence.json_form import to_data
from lpca.evidence.model import LedgerFacts
from lpca.gatespec.model import Gate, Spec, declared_levels
from lpca.tasks import MAX_TASK_SEED, EpisodeSet, message_key
from lpca.validity.ledger_file import LINES, LedgerError, LedgerFile, Line

SAME_PACKETS = 0.002
"""Relative distance up to which packets are the same, computed on another machine."""
ROUNDING = 1e-9
LOOK, VERDICT, COMMIT, DRAW = "look", "verdict", "commit", "draw"
"""The kinds of lines."""


@dataclass(frozen=True)
class LedgerEntry:
    """One look: a codec's outcomes on test rows, read by a gate's claims.

    Args:
        rows: what identifies the rows (`row_keys`).
        receiver: hash of its weights.
        k: the number of latents.
        codec: hash of the codec's content.
        recipe: hash of how it is made, whatever its seed.
        packets: what it sends for the messages of these rows (`Channel.fingerprint`).
        gate: the gate's name.
        n: how many episodes were read.
        criteria: hashes of the claims about the codec, each with how it is decided, sorted.
        share: of alpha, that such a look takes; 0 where no claim is about the codec.
        spec: hash of the spec file.
        run: which run read them.
        seeds: the training seeds of the recipe that were announced together and must all hold.
        seed: which of them this codec's is.
        episodes: hash of all that was shown of the rows: prompts, answers, donors, groups, order.
    """

    rows: tuple[str, ...]
    receiver: str
    k: int
    codec: str
    recipe: str
    packets: tuple[float, ...]
    gate: str
    n: int
    criteria: tuple[str, ...]
    share: float
    spec: str = ""
    run: str = ""
    seeds: tuple[int, ...] = ()
    seed: int | None = None
    episodes: str = ""

    def __post_init__(self) -> None:
        texts = (self.receiver, self.codec, self.recipe, self.gate, self.spec, self.run)
        if not all(isinstance(one, str) for one in (*texts, self.episodes)):
            raise TypeError("a name or a hash is no text")
        if not all(type(one) is int for one in (self.k, self.n)):
            raise TypeError("k and n are whole numbers")
        if not isinstance(self.share, int | float) or not 0.0 <= self.share <= 1.0:
            raise ValueError("share lies in [0, 1]")

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> LedgerEntry:
        """Read a line's data; TypeError, ValueError or KeyError where it is no look."""
        held = {name: value for name, value in data.items() if name != "written"}
        held |= {name: tuple(map(str, held[name])) for name in ("rows", "criteria")}
        held["seeds"] = tuple(map(int, held.get("seeds", ())))
        return cls(**held | {"packets": tuple(map(float, held["packets"]))})

    @property
    def named(self) -> tuple[str, str, str]:
        """What it was called: its gate, and the hashes of the codec's and the spec's content."""
        return self.gate, self.codec, self.spec

    @property
    def announcement(self) -> tuple[object, ...]:
        """What codecs share that can pass only together; empty for one judged by itself."""
        if not self.seeds:
            return ()
        return self.receiver, self.k, self.rows, self.recipe, self.seeds

    def same_subject(self, other: LedgerEntry) -> bool:
        """Whether both were shown one codec on the same episodes, by what it sends for them.

        Other prompts, answers, donors or groups of the same rows show other outcomes.
        """
        mine = (self.receiver, self.k, self.rows, self.episodes)
        theirs = (other.receiver, other.k, other.rows, other.episodes)
        if mine != theirs or len(self.packets) != len(other.packets):
            return False
        size = max(math.hypot(*self.packets), math.hypot(*other.packets))
        return math.dist(self.packets, other.packets) <= SAME_PACKETS * size

    def same_codec(self, other: LedgerEntry) -> bool:
        """Whether both are of one codec; on other episodes it is known by its content."""
        if (self.rows, self.episodes) == (other.rows, other.episodes):
            return self.same_subject(other)
        mine, theirs = (self.receiver, self.k, self.codec), (other.receiver, other.k, other.codec)
        return mine == theirs

    def covered_by(self, other: LedgerEntry) -> bool:
        """Whether the other look has paid for this one: the same outcomes, as strictly read."""
        paid = self.criteria == other.criteria and self.share <= other.share + ROUNDING
        return paid and self.seeds == other.seeds and self.same_subject(other)


@dataclass(frozen=True)
class Family:
    """Looks that share rows, directly or through others."""

    entries: Sequence[LedgerEntry]

    @cached_property
    def subjects(self) -> list[LedgerEntry]:
        """One entry for each codec on the rows on which it was shown.

        Codecs of several training seeds that can pass only together count as one, as long as none
        of them was also judged in another way: the best of them could be picked then.
        """
        codecs: list[list[LedgerEntry]] = []
        for entry in self.entries:
            same = next((own for own in codecs if entry.same_subject(own[0])), None)
            if same is None:
                codecs.append(same := [])
            same.append(entry)
        broken = {
            entry.announcement
            for own in codecs
            if len({entry.announcement for entry in own}) > 1
            for entry in own
        }
        found: list[LedgerEntry] = []
        counted, of_seed = Counter[object](), Counter[object]()
        for first, *_ in codecs:
            together = first.announcement
            of_seed[together, first.seed] += 1
            # of a seed that was trained twice, each time in another way, both codecs count
            alone = not together or together in broken
            if alone or of_seed[together, first.seed] > counted[together]:
                counted[together] += 1
                found.append(first)
        return found

    @cached_property
    def shares(self) -> dict[frozenset[str], float]:
        """By the claims that were read about a codec, together, their share of alpha.

        More claims than others of the same share add nothing: where they pass the others do.
        """
        found: dict[frozenset[str], float] = {}
        for entry in self.entries:
            claims = frozenset(entry.criteria)
            if claims:
                found[claims] = max(entry.share, found.get(claims, 0.0))
        return {
            claims: share
            for claims, share in found.items()
            if not any(fewer < claims and share <= own for fewer, own in found.items())
        }

    @property
    def spent(self) -> float:
        """How much of alpha its looks take together; above 1 they cannot be paid for."""
        return len(self.subjects) * sum(self.shares.values())

    @property
    def is_paid(self) -> bool:
        """Whether alpha suffices for all of its looks."""
        return self.spent <= 1.0 + ROUNDING


def family_of(now: LedgerEntry, entries: Sequence[LedgerEntry]) -> Family:
    """The family of a look among others."""
    return Family(families([*entries, now])[-1])


def families(entries: Sequence[LedgerEntry]) -> list[list[LedgerEntry]]:
    """Divide looks into families, each in their order; that of the last look stands last."""
    root = list(range(len(entries)))

    def top(index: int) -> int:
        while root[index] != index:
            root[index] = root[root[index]]
            index = root[index]
        return index

    seen: dict[str, int] = {}
    for index, entry in enumerate(entries):
        for row in entry.rows:
            root[top(index)] = top(seen.setdefault(row, index))
    found: dict[int, list[LedgerEntry]] = {}
    for index, entry in enumerate(entries):
        found.setdefault(top(index), []).append(entry)
    return sorted(found.values(), key=lambda own: own[-1] is entries[-1])


def row_keys(episodes: EpisodeSet) -> tuple[str, ...]:
    """What identifies the rows of a set: their messages, and what stands around one of them alone.

    A message counts wherever else it stands, also as a donor's, for a codec does the same with it
    there. B's text counts where it is one row's own: a question that all rows share is none.

    Returns:
        Beginnings of SHA-256 hashes, 64 bits in hexadecimal, sorted.
    """
    every = [*episodes, *(episodes.donor(index) for index in range(len(episodes)))]
    messages = {f"message {message_key(episode.message)}" for episode in every}
    around = Counter(
        f"context {' '.join(map(message_key, episode.context))} "
        f"{sorted(map(message_key, episode.options))}"
        for episode in episodes
    )
    own = {text for text, count in around.items() if count == 1}
    hashes = (hashlib.sha256(text.encode()).hexdigest()[:16] for text in messages | own)
    return tuple(sorted(hashes))


def share_of(spec: Spec, gate: Gate) -> float:
    """The share of alpha that one look by a gate takes; where one of several k suffices, by each k.

    None is taken by a gate without a claim about the codec: it says the same of every codec.
    """
    if not any(criterion.reads_packets for criterion in gate.criteria):
        return 0.0
    return 1.0 / (spec.evaluation.checkpoints * (len(gate.family) if gate.any_k else 1))


def claim_hashes(spec: Spec, gate: Gate) -> tuple[str, ...]:
    """A hash for each claim about the codec that decides, with all that it is decided by, sorted.

    Controls are left out: on the same outcomes they come to the same, however often they are read.
    """
    evaluation = spec.evaluation
    how = [evaluation.score, evaluation.normalised, evaluation.repeats, evaluation.temperature]
    prompt = [spec.prompt.facts] if spec.prompt.facts else []
    rule = asdict(gate.sequential) if gate.sequential else {}
    # as ledgers have named it: no spec asks for another
    rule.pop("equivalences_wait", None)
    found = {
        hash_data(
            [
                to_data(criterion.claim),
                declared_levels(criterion, evaluation),
                criterion.cluster or evaluation.cluster,
                rule or None,
                *how,
                *prompt,
            ]
        )
        for criterion in gate.criteria
        if criterion.reads_packets and criterion.severity == "error"
    }
    return tuple(sorted(found))


@dataclass(frozen=True)
class GateLedger:
    """What a ledger knows about the outcomes that are read now.

    Args:
        file: the ledger, which nobody else adds to meanwhile.
        now: the look that is taken.
        earlier: what was looked at before, oldest first.
        limit: how many looks the spec declares.
        line: the hash of the line that holds the look.
        altered: where the ledger was changed; nothing else is known then.
    """

    file: LedgerFile
    now: LedgerEntry
    earlier: Sequence[LedgerEntry]
    limit: int
    line: str = ""
    altered: str = ""

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, now: LedgerEntry, limit: int) -> Iterator[GateLedger]:
        """Hold the ledger while a look is judged; that it was altered is told later.

        Who looks at the same time waits, and finds this look then. It is entered by `keep`, at once
        with what came of it: where that is not reached, nothing was looked at. What was looked at
        before is as it was then: it is charged once, and stands where it stood.
        """
        with locked(folder / LINES):
            altered = ""
            try:
                file = LedgerFile.read(folder)
                looks = looks_of(file)
            except LedgerError as error:
                file, looks, altered = LedgerFile(folder), {}, str(error)
            entries = list(looks.values())
            same = next((i for i, entry in enumerate(entries) if now.covered_by(entry)), None)
            if same is not None:
                line = list(looks)[same]
            else:
                line = "" if altered else file.add(LOOK, asdict(now)).hash
            yield cls(file, now, entries[:same], limit, line, altered)

    @cached_property
    def family(self) -> Family:
        """All looks at rows that are connected with those of now, that of now last."""
        return family_of(self.now, self.earlier)

    @cached_property
    def own(self) -> Family:
        """Those among them that looked at this codec."""
        return Family([one for one in self.family.entries if one.same_codec(self.now)])

    def keep(self, verdict: str, run: str) -> None:
        """Enter the look and what came of it; an altered ledger is left as it is.

        Where another look has paid for this one, the line says as what it was read now: the same
        packets may be those of changed code, of a gate that was renamed, of a spec that was edited.
        """
        if self.altered:
            return
        now = self.now.named
        known = now in readings_of(self.file)[self.line]
        if not known or last_verdicts(self.file.lines).get(self.line) != verdict:
            what = {"look": self.line, "verdict": verdict, "run": run, "named": list(now)}
            self.file.add(VERDICT, what)
        self.file.write_new()

    def facts(self) -> LedgerFacts | None:
        """What evidence keeps of it, as it stands now; None of an altered one."""
        if self.altered:
            return None
        tried = [
            own
            for own in families([*self.earlier, self.now])
            if any(one.recipe == self.now.recipe for one in own)
        ]
        return LedgerFacts(
            heads=self.file.heads,
            lines=len(self.file.lines),
            look=self.line,
            share=self.now.share,
            spent=self.family.spent,
            test_sets=len(tried),
        )


def looks_of(ledger: LedgerFile) -> dict[str, LedgerEntry]:
    """The looks by the hashes of their lines; LedgerError for a line that is none."""
    found = {}
    for number, line in enumerate(ledger.lines, start=1):
        if line.kind == LOOK:
            try:
                found[line.hash] = LedgerEntry.of(line.data)
            except (TypeError, ValueError, KeyError) as error:
                raise LedgerError(f"{ledger.folder}: line {number} is no look: {error}") from error
    return found


def readings_of(ledger: LedgerFile) -> Mapping[str, set[tuple[str, str, str]]]:
    """By the hash of a look's line as what it was read, first and later (`LedgerEntry.named`).

    Raises LedgerError as `looks_of`.
    """
    found = defaultdict(set, {line: {entry.named} for line, entry in looks_of(ledger).items()})
    for line in ledger.lines:
        named = line.data.get("named")
        if line.kind == VERDICT and isinstance(named, list) and len(named) == 3:
            gate, codec, spec = map(str, named)
            found[str(line.data.get("look"))].add((gate, codec, spec))
    return found


def last_verdicts(lines: Iterable[Line]) -> dict[str, str]:
    """By the hash of a look's line what came of it last."""
    return {
        str(line.data.get("look")): str(line.data.get("verdict"))
        for line in lines
        if line.kind == VERDICT
    }


def draw_seed(folder: Path, codec: str, spec: str) -> tuple[int, str]:
    """Return the test seed of a codec and a spec, and the hash of the line that holds it.

    Both hashes are in the ledger before the system is asked for a number. It is asked once: every
    rerun and every other process finds what was drawn.

    Raises:
        LedgerError: the ledger was altered.
    """
    of = {"codec": codec, "spec": spec}
    with LedgerFile.opened(folder) as ledger:
        for line in ledger.lines:
            if line.kind == DRAW and of.items() <= line.data.items():
                seed = line.data.get("seed")
                if type(seed) is not int or not 0 <= seed <= MAX_TASK_SEED:
                    raise LedgerError(f"{folder}: a line that drew a seed holds none: {seed}")
                return seed, line.hash
        if not any(
            line.kind == COMMIT and of.items() <= line.data.items() for line in ledger.lines
        ):
            ledger.add(COMMIT, of)
            ledger.write()
        line = ledger.add(DRAW, {**of, "seed": secrets.randbelow(MAX_TASK_SEED + 1)})
        return int(line.data["seed"]), line.hash


def unpaid(ledger: LedgerFile) -> dict[str, LedgerEntry]:
    """The looks that alpha does not pay for, by the hashes of their lines, as the ledger has them.

    Each is held against those that stand before it.
    """
    found: dict[str, LedgerEntry] = {}
    before: list[LedgerEntry] = []
    for line, entry in looks_of(ledger).items():
        if not family_of(entry, before).is_paid:
            found[line] = entry
        before.append(entry)
    return found

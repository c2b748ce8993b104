"""What a gate's verdict rests on, typed: the file of a run has these fields under these names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

from lpca.base.errors import ExitCode
from lpca.base.hashing import with_hash
from lpca.evidence.json_form import Key, Omitted, Spread, to_data
from lpca.gatespec.model import Cluster, Position, Score, SequentialRule, Severity
from lpca.stats.assessment import Grouping, Rounding
from lpca.stats.claims import Claim
from lpca.stats.tables import Interval, PairedTable
from lpca.stats.verdicts import Verdict

SCHEMA = 3
"""The form in which evidence is written; `lpca.evidence.files` also reads those before it."""
_BITS_OF_A_NUMBER = {"float32": 32, "bfloat16": 16, "float16": 16}


def exit_code(verdict: Verdict) -> ExitCode:
    """The exit code of a run that came to one verdict."""
    return ExitCode[verdict.name]


@dataclass(frozen=True)
class CriterionResult:
    """One criterion decided.

    Rates, differences, `interval` and `margins` are proportions, not percent. `margins` holds
    the claim's bound, or both ends of a band or an equivalence. A claim on a pair carries
    `table`, a claim on one rate `successes`; both carry `n`. Without a reading (INVALID, NOT
    MEASURED) the numbers are None. `needed_n` is set for an INCONCLUSIVE claim that more
    episodes would probably decide: the n that reaches power 0.8 at the observed rates. Over groups
    of episodes `grouping` says what they come to, and `needed_groups` how many would do.
    `severity` is kept of one that only warns, `rounding` where outcomes lie within the receiver's
    numerical noise; the numbers are those that were read.
    """

    id: str
    text: Annotated[str, Key("claim")]
    claim: Annotated[Claim, Key("claim_parts")]
    why: str
    position: Spread[Position]
    verdict: Verdict
    message: str
    margins: tuple[float, ...]
    estimate: float | None = None
    interval: Interval | None = None
    confidence: float | None = None
    method: str | None = None
    table: PairedTable | None = None
    successes: int | None = None
    n: int | None = None
    p_pass: float | None = None
    p_fail: float | None = None
    needed_n: int | None = None
    needed_groups: Omitted[int | None] = None
    grouping: Omitted[Grouping | None] = None
    severity: Omitted[Severity | None] = None
    rounding: Omitted[Rounding | None] = None

    @property
    def decides(self) -> bool:
        """Whether the gate's verdict depends on it."""
        return self.severity != "warn"

    @property
    def standing(self) -> str:
        """Its verdict, and whether it only warns."""
        return str(self.verdict) if self.decides else f"{self.verdict} (warns only)"


@dataclass(frozen=True)
class GateResult:
    """One gate decided; `reasons` say why it is INVALID or NOT MEASURED."""

    name: Annotated[str, Key("gate")]
    verdict: Verdict
    reasons: tuple[str, ...]
    criteria: tuple[CriterionResult, ...]

    @property
    def deciding(self) -> tuple[CriterionResult, ...]:
        """The criteria that its verdict follows from."""
        return tuple(one for one in self.criteria if one.decides)

    @property
    def exit_code(self) -> ExitCode:
        """How a run ends that decided this gate alone."""
        return exit_code(self.verdict)

    def criterion(self, id: str) -> CriterionResult | None:
        """The criterion of an id; None where the gate has none."""
        return next((one for one in self.criteria if one.id == id), None)


@dataclass(frozen=True)
class CheckResult:
    """One check's outcome; `passed` is None where it does not apply, as `detail` then says.

    So it is where one that applies could not say anything: it has then `abstained`.
    """

    id: str
    title: str
    passed: bool | None
    detail: str
    abstained: Omitted[bool | None] = None

    @property
    def result(self) -> str:
        """What came of it, in a word or two; a failure in capitals."""
        if self.passed is None:
            return "could not say" if self.abstained else "does not apply"
        return "passed" if self.passed else "FAILED"


@dataclass(frozen=True)
class Successes:
    """How many answers succeeded under one score, and an interval of the rate, over groups.

    In evidence that does not say how it clusters, each episode counts as a group of its own. Of
    marks in [0, 1] their sum, and the interval of their mean.
    """

    successes: float
    interval: Interval


@dataclass(frozen=True)
class ConditionNumbers:
    """One condition over all episodes; of sampled answers `n` counts each.

    `bits`, `tokens` and `seconds` are means a message (`lpca.evaluation.condition_numbers`),
    `credit` the mean partial credit where answers are free; where it counts, `marks` holds it with
    its interval. `noise` is the numerical noise of the gaps that decide outcomes, in nats: their
    99 % quantile over episodes that were read again; `undecided` answers lie within it. Older
    evidence does not say; `near_ties` are outcomes whose options' scores are within 1e-4 nats.
    """

    n: int
    near_ties: int
    likelihood: Successes
    greedy: Successes
    bits: Omitted[float | None] = None
    tokens: Omitted[float | None] = None
    seconds: Omitted[float | None] = None
    credit: Omitted[float | None] = None
    marks: Omitted[Successes | None] = None
    noise: Omitted[float | None] = None
    undecided: Omitted[int | None] = None

    def under(self, score: Score) -> Successes:
        """The successes as a spec's `score` counts them."""
        if score == "graded" and self.marks is not None:
            return self.marks
        return self.greedy if score == "greedy" else self.likelihood

    def rate(self, score: Score) -> float:
        """Share of episodes that succeeded."""
        return self.under(score).successes / self.n


@dataclass(frozen=True)
class EpisodesUsed:
    """How many of the declared episodes were used; with a stopping `rule`, where it ended.

    `look` counts from 1 among the `sizes`; `saved` are the declared episodes it did not need.
    `equivalences` are decided at looks too; in older evidence they waited for all episodes.
    """

    used: int
    declared: int
    rule: Omitted[SequentialRule | None] = None
    sizes: Omitted[tuple[int, ...]] = ()
    look: Omitted[int | None] = None
    saved: Omitted[int | None] = None
    equivalences: Omitted[bool | None] = None


@dataclass(frozen=True)
class ReceiverFacts:
    """The receiver that played B."""

    name: str
    device: str
    dtype: str
    d_model: Omitted[int | None] = None
    attn: Omitted[str | None] = None
    revision: Omitted[str | None] = None
    quantised: Omitted[str | None] = None
    device_map: Omitted[str | None] = None

    @property
    def bits_per_vector(self) -> int | None:
        """Bits that one vector of its type can hold; None where width or type is not known."""
        bits = _BITS_OF_A_NUMBER.get(self.dtype)
        return None if bits is None or self.d_model is None else self.d_model * bits


@dataclass(frozen=True, kw_only=True)
class TrainingStep:
    """One step of a codec's training: its loss and, now and then, how much worse others' do."""

    step: int
    loss: float
    gap: float | None
    objectives: Omitted[Mapping[str, float] | None] = None
    measures: Omitted[Mapping[str, float] | None] = None


@dataclass(frozen=True)
class CodecFacts:
    """A codec under test, or the static control; what is not known of a user's own is None.

    `receiver`, `task`, `code` and `weights` are hashes, `trained_on` how many messages its author
    declares, `trained` where and how long lpca trained it, `prompt` the name of how texts stood in
    B's prompt then, `isolation` how a user's own was kept apart from the judge: "isolated",
    "separate process" or "trusted", `port` what a user's channel declares of its packets.
    """

    origin: str
    architecture: str
    k: int | None = None
    seed: int | None = None
    bits: float | None = None
    receiver: Omitted[str | None] = None
    task: Omitted[str | None] = None
    code: Omitted[str | None] = None
    weights: Omitted[str | None] = None
    recipe: Omitted[Mapping[str, Any] | None] = None
    trained: Omitted[Mapping[str, Any] | None] = None
    trained_on: Omitted[int | None] = None
    prompt: Omitted[str | None] = None
    isolation: Omitted[str | None] = None
    port: Omitted[Mapping[str, Any] | None] = None
    history: Omitted[tuple[TrainingStep, ...]] = ()


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Cosines between whole prefixes (k vectors as one), of the first episodes by their seeds.

    `right[i][j]` is between the messages of episodes i and j, `donor[i][j]` between that of i and
    that of j's donor. `between` is the mean of `right` off its diagonal, `own_donor` that of the
    diagonal of `donor`; `norm_ratio` is the mean norm of a latent divided by that of the
    receiver's embedding table. With fewer than two episodes `between` is None.
    """

    seeds: Omitted[tuple[int, ...]] = ()
    right: Omitted[tuple[tuple[float, ...], ...]] = ()
    donor: Omitted[tuple[tuple[float, ...], ...]] = ()
    between: float | None = None
    own_donor: float
    norm_ratio: float


@dataclass(frozen=True, kw_only=True)
class PacketFacts:
    """What crossed from A's side, measured before any connector or decoding.

    Of the test's messages `positions` and `capacity` (bits) are the least and the most, and
    `uncompressed` is the share whose packet has as many positions as the message has tokens, or
    more. `distinct` packets, to the bit, crossed for the `messages` different ones among them.
    Capacity is what a packet's form can hold, whatever it does hold; `by_length` bits of it are
    those of the number of positions, where that varies.
    """

    kind: str
    messages: int
    distinct: int
    positions: tuple[int, int]
    capacity: tuple[float, float]
    uncompressed: float
    by_length: Omitted[float | None] = None


@dataclass(frozen=True)
class Hashes:
    """SHA-256 of what the verdict follows from."""

    receiver: str
    spec: str
    episodes: str
    outcomes: str
    codec: str | None = None


@dataclass(frozen=True)
class LedgerFacts:
    """Where a look stands in the ledger, and what it took.

    `heads` are the hashes of the ledger's last lines and `lines` their number, as the verdict was
    entered; `look` is that of the look's own line. `share` of alpha is what such a look takes,
    `spent` what all looks at connected rows have taken together. `test_sets` counts the sets of
    rows, none connected with another, on which the codec's recipe was tried.
    """

    heads: tuple[str, ...]
    lines: int
    look: str
    share: float
    spent: float
    test_sets: int


@dataclass(frozen=True)
class KeptBlock:
    """One block of outcomes in the cache, and whether it was there before."""

    key: str
    cached: bool


@dataclass(frozen=True)
class ShownPrompt:
    """What B was given in one episode under one condition, as text."""

    condition: str
    seed: int
    text: str
    prompt_sha256: str
    slot_sha256: str


@dataclass(frozen=True)
class KeptAnswer:
    """What came of another answer of B in the same episode, where answers are sampled."""

    greedy: bool
    said: Omitted[str | None] = None
    credit: Omitted[float | None] = None
    slack: Omitted[float | None] = None
    undecided: Omitted[int | None] = None


@dataclass(frozen=True)
class EpisodeOutcome:
    """One episode under one condition; a record keeps only the successes of it.

    `scores` are the options' summed log-probabilities in nats, `ranked` what ranks options where it
    is something else, `said` what B generated and `greedy` whether that is right. Of several
    sampled answers these are the first's; `others` has what came of the others. `slack` is by how
    many nats what B said was, where that decides; `undecided` stands where the outcome lies within
    the noise, equal numbers of one episode for identical inputs.
    """

    likelihood: bool
    greedy: bool
    scores: Omitted[tuple[float, ...]] = ()
    ranked: Omitted[tuple[float, ...]] = ()
    said: Omitted[str | None] = None
    credit: Omitted[float | None] = None
    prompt_sha256: Omitted[str | None] = None
    slot_sha256: Omitted[str | None] = None
    others: Omitted[tuple[KeptAnswer, ...]] = ()
    slack: Omitted[float | None] = None
    undecided: Omitted[int | None] = None

    @property
    def readings(self) -> tuple[EpisodeOutcome, ...]:
        """An outcome for each answer of B, with that one alone."""
        if not self.others:
            return (self,)
        alone = replace(self, others=())
        return (alone, *(replace(alone, **vars(other)) for other in self.others))

    def success(self, score: Score) -> float:
        """Whether its first answer succeeded as a spec's `score` counts; if graded, its credit."""
        if score == "graded":
            return self.credit or 0.0
        return self.greedy if score == "greedy" else self.likelihood


@dataclass(frozen=True, kw_only=True)
class KeptEpisode:
    """One episode and its outcomes; a record has a hash in place of its texts.

    `answers` is its stratum, `group` what it shares with others (a document, a wording), `answer`
    the index of the right option, `donor` the seed of the episode whose message `shuffle` gave B,
    and `donor_group` what that one shares with others.
    """

    seed: int
    answers: str
    group: Omitted[str | None] = None
    wording: Omitted[str | None] = None
    message: Omitted[str | None] = None
    options: Omitted[tuple[str, ...]] = ()
    answer: Omitted[int | None] = None
    donor: int
    donor_group: Omitted[str | None] = None
    content_sha256: Omitted[str | None] = None
    outcomes: Mapping[str, EpisodeOutcome]

    @property
    def shared(self) -> str | None:
        """What it shares with others, in older evidence its wording; None where neither is kept."""
        return self.group or self.wording or None

    @property
    def right(self) -> int:
        """The index of the right option; LookupError where a record has left it out."""
        if self.answer is None:
            raise LookupError(f"episode {self.seed}: its options are not kept")
        return self.answer


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A gate's verdict with everything it rests on.

    `result` is the verdict, `answers` the stratum of the episodes, `score` the success that
    counts, `normalised` how the options' likelihoods are made comparable, `temperature` that at
    which `repeats` answers of each episode were sampled, if any, `cluster` whether conditions'
    intervals are over groups (older evidence does not say, and its are not), `split` that of the
    episodes where they are not the test's, `any_of_k` every k of which any suffices, `train_seeds`
    those of the codec's recipe that must all hold, `required` the gates that had to pass before it,
    `shown_with` those beside it that set no exit code, `catalogue` the number that the catalogue of
    validity checks had (older evidence does not say), `static` the trained prefix that never sees a
    message.

    Example:
        >>> from pathlib import Path
        >>> from lpca.evidence.files import read_evidence
        >>> evidence = read_evidence(Path("docs/experiments/gate1-attempt-04.json"))
        >>> evidence.verdict, evidence.conditions["normal"].likelihood.successes
        (<Verdict.PASS: 'PASS'>, 374)
    """

    run: str
    command: tuple[str, ...]
    written: str
    k: int | None
    title: str
    answers: str
    score: Score
    normalised: Omitted[str] = ""
    temperature: Omitted[float | None] = None
    repeats: Omitted[int | None] = None
    cluster: Omitted[Cluster | None] = None
    confidence: float
    result: Spread[GateResult]
    looks: EpisodesUsed
    any_of_k: tuple[int, ...] = ()
    train_seeds: Omitted[tuple[int, ...]] = ()
    required: tuple[GateResult, ...] = ()
    shown_with: Annotated[tuple[str, ...], Key("beside")] = ()
    checks: tuple[CheckResult, ...]
    catalogue: Omitted[int | None] = None
    conditions: Mapping[str, ConditionNumbers]
    receiver: ReceiverFacts
    codec: CodecFacts | None
    static: CodecFacts | None = None
    similarity: Similarity | None = None
    packets: Omitted[PacketFacts | None] = None
    task: Mapping[str, Any]
    prompt: Omitted[Mapping[str, Any] | None] = None
    hashes: Hashes
    ledger: Omitted[LedgerFacts | None] = None
    split: Omitted[str] = ""
    cache: Omitted[Mapping[str, tuple[KeptBlock, ...]] | None] = None
    versions: Mapping[str, str]
    machine: Mapping[str, str]
    seconds: Mapping[str, float]
    prompts: Omitted[tuple[ShownPrompt, ...]] = ()
    episodes: Sequence[KeptEpisode]

    @property
    def gate(self) -> str:
        """The gate's name."""
        return self.result.name

    @property
    def verdict(self) -> Verdict:
        """PASS, FAIL, INCONCLUSIVE, INVALID or NOT MEASURED."""
        return self.result.verdict

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is INVALID or NOT MEASURED."""
        return self.result.reasons

    @property
    def criteria(self) -> tuple[CriterionResult, ...]:
        """The gate's own criteria."""
        return self.result.criteria

    @property
    def train_seed(self) -> int | None:
        """The seed of its codec's training, where those of several are judged together."""
        return self.codec.seed if self.codec is not None and self.train_seeds else None

    @property
    def label(self) -> str:
        """The gate at its k and training seed, for people."""
        parts = {"k": self.k, "seed": self.train_seed}
        told = [f"{name}={value}" for name, value in parts.items() if value is not None]
        return " ".join([self.gate, *told])

    @property
    def is_invalid(self) -> bool:
        """Whether nothing may be read: a validity check or a required gate failed."""
        return self.verdict is Verdict.INVALID

    @property
    def applied_checks(self) -> tuple[CheckResult, ...]:
        """The validity checks that apply, those that could not say anything among them."""
        return tuple(one for one in self.checks if one.passed is not None or one.abstained)

    @property
    def silent_checks(self) -> tuple[CheckResult, ...]:
        """The validity checks that apply and could not say anything: they count as none passed."""
        return tuple(check for check in self.checks if check.abstained)

    @property
    def failed_checks(self) -> tuple[CheckResult, ...]:
        """The validity checks that failed."""
        return tuple(check for check in self.checks if check.passed is False)

    @property
    def other_score(self) -> Score:
        """The score that does not count."""
        return "likelihood" if self.score == "greedy" else "greedy"

    @property
    def rates(self) -> dict[str, float]:
        """Success rates by condition, under the score that counts."""
        return {name: numbers.rate(self.score) for name, numbers in self.conditions.items()}

    @property
    def blocks(self) -> tuple[KeptBlock, ...]:
        """The blocks of outcomes that it was measured in."""
        return tuple(block for own in (self.cache or {}).values() for block in own)

    def check(self, id: str) -> CheckResult | None:
        """The validity check of an id; None where it was not carried out."""
        return next((one for one in self.checks if one.id == id), None)

    @cached_property
    def data(self) -> dict[str, Any]:
        """As the JSON file has it, with the hash of its content."""
        return with_hash({"schema": SCHEMA, **to_data(self)})

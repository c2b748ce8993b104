"""The typed spec: what `gate_specs.yaml` says, with the place where it says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lpca.base.registry import Declared, declared
from lpca.stats.claims import Claim, Equivalence
from lpca.stats.truth import Truth

Answers = Literal["seen", "unseen", "all"]
Score = Literal["likelihood", "greedy", "graded"]
Cluster = Literal["group", "none"]
Normalised = Literal["none", "bytes", "tokens", "pmi"]
Severity = Literal["error", "warn"]
Template = Literal["none", "chat"]
SequentialRule = Literal["e-process", "obrien-fleming"]

CONDITIONS = declared("lpca.evaluation.conditions")
"""Every condition a spec may name. `lpca.evaluation.conditions` decides what each one gives B.

A loop over these or over those below meets the usual numbers of a numbered one (`p2_N`); whether
a spec's own condition is one of them, `in` and `among` say.
"""
TRUNCATED: Declared[int] = CONDITIONS.each(lambda about: about.get("bytes"))
"""Conditions in which B gets the beginning of the message as text, and how many bytes of it."""
TEXTS = CONDITIONS.where(lambda about: about["holds"] == "text")
"""Conditions whose slot holds text, as tokens or as their embeddings."""
LATENT = CONDITIONS.where(lambda about: about["holds"] == "latents")
"""Conditions that inject k vectors."""
IDLE = CONDITIONS.where(lambda about: about["holds"] != "text")
"""Those, and p0: what an inert codec makes alike."""
FEW_TOKENS = CONDITIONS.where(lambda about: about.get("tokens") == "k")
"""Conditions in which B gets at most k of the message's tokens, as text."""
AT_K = CONDITIONS.where(lambda about: about["holds"] == "latents" or about.get("tokens") == "k")
"""Conditions that depend on k: they need a codec, or at least its k."""
CODEC_LATENTS = LATENT.where(lambda about: "codec" in about)
"""Those among them that follow from what the codec makes of messages."""
MESSAGE_LATENTS = CONDITIONS.where(lambda about: about.get("codec") == "message")
"""Those whose slot holds what the codec made of one message, as it is."""
OF_DONORS = CONDITIONS.where(lambda about: bool(about.get("donor")))
"""Conditions in which that is the message of the episode's donor."""


@dataclass(frozen=True)
class Position:
    """A place in a spec file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


Places = Mapping[str, Position]
"""By key: where its value stands. Never part of what makes two specs equal."""


@dataclass(frozen=True)
class Filter:
    """`where: null fails`: only episodes with these outcomes. Read so it can be refused."""

    outcomes: tuple[tuple[str, bool], ...]
    text: str


@dataclass(frozen=True)
class Sweep:
    """`best_of: {scale: [0.5, 1.0]}`: the best of several settings is gated.

    `confirm_seed` names fresh episodes for the chosen one; without it the sweep is refused.
    """

    parameter: str
    values: tuple[str, ...]
    confirm_seed: int | None = None


@dataclass(frozen=True)
class Sequential:
    """A declared stopping rule: `block` episodes between looks, or a number of `looks`.

    `equivalences_wait` for all episodes under the rules of old evidence; no spec asks for it.
    """

    rule: SequentialRule
    block: int | None = None
    looks: int | None = None
    equivalences_wait: bool = False

    def sizes(self, n: int) -> Sequence[int]:
        """Rising numbers of episodes after which a gate of n is read; the last is n."""
        if self.block is not None:
            return [*range(self.block, n, self.block), n]
        looks = self.looks or 1
        return sorted({-(-n * look // looks) for look in range(1, looks + 1)})


@dataclass(frozen=True)
class Criterion:
    """One claim about conditions; `position` is that of its `claim:` value.

    `method` is the one its author asks for (None: the claim's own), `confidence` and `cluster`
    replace those of the evaluation. With `severity` warn it is shown and counted, and decides
    nothing.
    """

    id: str
    claim: Claim
    text: str
    why: str
    position: Position
    method: str | None = None
    expect_discordant: float | None = None
    confidence: float | None = None
    cluster: Cluster | None = None
    severity: Severity = "error"
    where: Filter | None = None
    best_of: Sweep | None = None
    places: Places = field(default_factory=dict, compare=False, repr=False)

    @property
    def reads_packets(self) -> bool:
        """Whether its claim names a condition that gives B what the codec made of a message.

        Any other claim is about the receiver and its controls, and the same for every codec.
        """
        return any(name in MESSAGE_LATENTS for name in self.claim.conditions)

    @property
    def decides(self) -> bool:
        """Whether the gate's verdict depends on it."""
        return self.severity == "error"


@dataclass(frozen=True)
class Gate:
    """Criteria that must all hold, and the conditions their episodes are run under.

    `expect` holds supposed rates by condition, `correlation` how alike outcomes of an episode are
    (as in `lpca.stats.truth`) and `icc` how alike episodes of a group; `n` replaces that of the
    evaluation. `looks` are the numbers of episodes after which the data are read. `family` holds
    every k that is tried; with `any_k` one of them suffices. `controls` says how a control
    condition is made, where declared. `reported` are the conditions that are run for their numbers
    alone, `max_bits` the most that a message's packet may hold.
    """

    name: str
    title: str
    answers: Answers
    requires: tuple[str, ...]
    shown_with: tuple[str, ...]
    conditions: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    expect: dict[str, float]
    position: Position
    correlation: float = 0.0
    icc: float = 0.0
    n: int | None = None
    looks: tuple[int, ...] = ()
    sequential: Sequential | None = None
    where: Filter | None = None
    best_of: Sweep | None = None
    family: tuple[int, ...] = ()
    any_k: bool = False
    controls: dict[str, str] = field(default_factory=dict)
    reported: tuple[str, ...] = ()
    max_bits: float | None = None
    places: Places = field(default_factory=dict, compare=False, repr=False)

    @property
    def deciding(self) -> tuple[Criterion, ...]:
        """The criteria that its verdict follows from: those that do not only warn."""
        return tuple(one for one in self.criteria if one.decides)

    def truth(self, criterion: Criterion | None = None) -> Truth:
        """What is supposed true when power is computed; a criterion may add how often it ties."""
        discordant = None if criterion is None else criterion.expect_discordant
        return Truth(self.expect, self.correlation, discordant)


@dataclass(frozen=True)
class TaskSpec:
    """Which task, and the settings handed to it.

    `seed` names the test episodes, unless it is to be `drawn` once the codec is there;
    `other_seeds` holds those of other episodes (such as `train_seed`) by key, as inclusive ranges.
    A run that explores reads another `split`; one that draws its seed names the ledger's line of
    the `draw`.
    """

    name: str
    seed: int
    settings: dict[str, int | float | str | bool] = field(default_factory=dict)
    other_seeds: dict[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    drawn: bool = False
    draw: str = ""
    split: Literal["test", "validation"] = "test"
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Evaluation:
    """How many episodes, which success counts, and at which confidence.

    `checkpoints` is how many codecs, or readings of one, the same test episodes may serve. Claims
    are decided over groups of episodes unless `cluster` is none, for the reason `why` gives.
    `normalised` is what a likelihood is divided by, or compared with, before options are ranked.
    Each episode is read `repeats` times, with answers sampled at `temperature`; None: none is
    sampled.
    """

    n: int
    score: Score
    confidence: float
    equivalence_confidence: float
    checkpoints: int = 3
    cluster: Cluster = "group"
    why: str = ""
    normalised: Normalised = "none"
    repeats: int = 1
    temperature: float | None = None
    places: Places = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Prompt:
    """How B's texts become its prompt.

    With the template `chat` they are a user's turn in the receiver's own chat template, the slot
    inside the turn, behind a `system` text where one is given; B answers behind the assistant's
    prefix. `join_message` stands before the message, `join_answer` before an answer.
    """

    template: Template = "none"
    system: str = ""
    join_message: str = " "
    join_answer: str = " "
    places: Places = field(default_factory=dict, compare=False, repr=False)

    @property
    def facts(self) -> dict[str, Any] | None:
        """As the spec's file has it, defaults filled in; None where that is all by default."""
        if self == Prompt():
            return None
        system = {"system": self.system} if self.system else {}
        join = {"message": self.join_message, "answer": self.join_answer}
        return {"template": self.template, **system, "join": join}


PLAIN = Prompt()
"""B's texts as they stand, each behind a space."""


@dataclass(frozen=True)
class Spec:
    """A whole spec file; `sha256` is of its bytes as they were read."""

    file: str
    task: TaskSpec
    evaluation: Evaluation
    gates: dict[str, Gate]
    sha256: str = field(default="", compare=False)
    prompt: Prompt = PLAIN

    def episodes(self, gate: Gate) -> int:
        """How many episodes a gate is decided on."""
        return self.evaluation.n if gate.n is None else gate.n

    def on_at_most(self, name: str, n: int) -> Spec:
        """The same with a gate, and those it requires, decided on n episodes or fewer."""
        gates, waiting = dict(self.gates), [name]
        for reached in waiting:
            gate = self.gates[reached]
            gates[reached] = replace(gate, n=min(n, self.episodes(gate)))
            waiting += [other for other in gate.requires if other not in waiting]
        return replace(self, gates=gates)


def cluster_of(criterion: Criterion, evaluation: Evaluation) -> Cluster:
    """Over what a criterion is decided: groups of episodes, or (none) each episode by itself."""
    return criterion.cluster or evaluation.cluster


def declared_levels(criterion: Criterion, evaluation: Evaluation) -> tuple[float, float]:
    """The confidence a spec declares for a criterion, as a one-sided claim and as an equivalence.

    It is that of all the looks together that the test episodes may serve.
    """
    if criterion.confidence is not None:
        return criterion.confidence, criterion.confidence
    return evaluation.confidence, evaluation.equivalence_confidence


def levels_of(criterion: Criterion, evaluation: Evaluation) -> tuple[float, float]:
    """The confidence a criterion is decided at, as a one-sided claim and as an equivalence.

    A claim about what the codec sends is read at the alpha of one of the looks that the test
    episodes may serve: whoever chooses among codecs chooses by such claims.
    """
    levels = declared_levels(criterion, evaluation)
    if not criterion.reads_packets:
        return levels
    one_sided, two_sided = (shared(level, evaluation.checkpoints) for level in levels)
    return one_sided, two_sided


def look_alpha(criterion: Criterion, evaluation: Evaluation) -> float:
    """The alpha that a criterion spends on each of its sides over all looks of a stopping rule.

    An equivalence spends that of its two one-sided tests, any other claim that of a one-sided one.
    """
    one_sided, two_sided = levels_of(criterion, evaluation)
    level = two_sided if isinstance(criterion.claim, Equivalence) else one_sided
    return (1.0 - level) / 2.0


def passing_levels(gate: Gate, levels: tuple[float, float]) -> tuple[float, float]:
    """The confidences at which criteria let their gate pass, from those they are decided at.

    Where any of m k suffices, the first to pass must do so at 1/m of the alpha (Holm).
    """
    if not gate.any_k:
        return levels
    one_sided, two_sided = (shared(level, len(gate.family)) for level in levels)
    return one_sided, two_sided


def stricter(spec: Spec, count: int) -> Spec:
    """The spec with every alpha divided by `count` (Bonferroni)."""

    def at(one: Criterion) -> Criterion:
        own = None if one.confidence is None else shared(one.confidence, count)
        return replace(one, confidence=own)

    evaluation = replace(
        spec.evaluation,
        confidence=shared(spec.evaluation.confidence, count),
        equivalence_confidence=shared(spec.evaluation.equivalence_confidence, count),
    )
    gates = {
        name: replace(gate, criteria=tuple(map(at, gate.criteria)))
        for name, gate in spec.gates.items()
    }
    return replace(spec, evaluation=evaluation, gates=gates)


def shared(confidence: float, count: int) -> float:
    """The confidence at which each of `count` is read, to spend its alpha once in all."""
    return 1.0 - (1.0 - confidence) / count

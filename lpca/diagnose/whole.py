"""All parts of a diagnosis; one that fails is told, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lpca.base.errors import RunError
from lpca.codec.channel import Channel
from lpca.codec.similarity import similarity
from lpca.diagnose.episodes import by_episode
from lpca.diagnose.latents import nearest_tokens, norm_ratios
from lpca.diagnose.noise import noise_sweep
from lpca.diagnose.oracle import cram
from lpca.diagnose.outcomes import Outcomes, Report
from lpca.diagnose.probe import probe
from lpca.diagnose.scales import confirm_scale
from lpca.diagnose.sentences import sentences
from lpca.evaluation.conditions import Setting
from lpca.gatespec.model import Answers
from lpca.tasks import EpisodeSet, Task
from lpca.tasks.base import MAX_TASK_SEED


@dataclass(frozen=True, eq=False)
class Subject:
    """What is looked at, and on which validation episodes; each count is one of episodes.

    `oracle` is None where none was asked for.
    """

    channel: Channel
    task: Task
    answers: Answers
    seed: int
    n: int
    probed: int
    confidence: float
    outcomes: Outcomes
    oracle: tuple[int, int] | None = None
    """How many episodes, and how many steps."""

    @property
    def episodes(self) -> EpisodeSet:
        """The episodes that all parts but two read."""
        return self.drawn(self.n)

    def drawn(self, n: int, later: int = 0) -> EpisodeSet:
        """Return n validation episodes of the task's seed, or of one later by so much."""
        seed = (self.seed + later) % (MAX_TASK_SEED + 1)
        return self.task.evaluation_set("validation", self.answers, n, seed)


def diagnose(
    subject: Subject,
    sweep: Mapping[str, Any],
    evaluating: Callable[[str], Report],
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Return `parts`, what of them `failed`, and the `reading`, as JSON data.

    `sweep` is what `scale_sweep` gave on the subject's episodes.
    """
    channel, episodes, confidence = subject.channel, subject.episodes, subject.confidence
    outcomes, setting = subject.outcomes, Setting(channel.receiver, channel, episodes)

    def oracle() -> dict[str, Any]:
        assert subject.oracle is not None
        n, steps = subject.oracle
        report = evaluating("oracle")
        return cram(outcomes, subject.drawn(n), channel.k, steps, confidence, report)

    makers: dict[str, Callable[[], Any]] = {
        "similarity": lambda: similarity(channel, episodes).to_dict(),
        "episodes": lambda: by_episode(outcomes, setting, confidence, evaluating("conditions")),
        "nearest": lambda: nearest_tokens(channel, episodes),
        "norms": lambda: norm_ratios(channel, episodes),
        "probe": lambda: probe(
            channel, subject.drawn(subject.probed), confidence, evaluating("probe")
        ),
        "noise": lambda: noise_sweep(outcomes, setting, confidence, evaluating("noise")),
        "scale": lambda: confirm_scale(
            channel, episodes, subject.drawn(subject.n, 1), sweep, outcomes, evaluating("scale")
        ),
    }
    if subject.oracle is not None:
        makers["oracle"] = oracle
    parts, failed = {}, {}
    for name, make in makers.items():
        try:
            parts[name] = make()
        except (RunError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
            failed[name] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            tell(f"{name} cannot be measured: {failed[name]}")
    reading = [one.to_dict() for one in sentences(parts)]
    return {"parts": parts, "failed": failed, "reading": reading}

"""A linear probe: can the message's content be read off the latents, on answers held out?

The content is the right option, which the message names. Where answers are few and come often, a
logistic regression names them; else a ridge regression from the prefix to the mean embedding of the
answer's tokens picks, among the episode's options, the one nearest to what it predicts. Alain and
Bengio 2016 (arXiv:1610.01644) for probes; Hewitt and Liang 2019 (arXiv:1909.03368) for a control.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lpca.base.errors import RunError
from lpca.base.hashing import named_rng, named_seed
from lpca.codec.channel import Channel
from lpca.diagnose.episodes import Report, share, silent
from lpca.tasks import Episode, EpisodeSet

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

FOLDS = 5
MOST_CLASSES, LEAST_PER_CLASS = 20, 10
"""An answer is a class for the logistic regression within these; else it is retrieved."""
PERMUTATIONS = 39
"""Refits with the latents dealt out anew: the smallest p is 1 / 40."""
PENALTIES = (1.0, 10.0, 100.0, 1e3, 1e4)
CONSTANT = 1e-6
"""Numbers of latents that vary less than this share of the latents' size hold nothing."""


class ProbeError(RunError):
    """There is nothing to probe, or nothing to probe with."""


def probe(
    channel: Channel, episodes: EpisodeSet, confidence: float, report: Report = silent
) -> dict[str, Any]:
    """Cross-validate a probe, and its control in which each message has another one's latents.

    Raises ProbeError with fewer than `FOLDS` groups or without scikit-learn.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise ProbeError("scikit-learn is missing; pip install 'lpca[diagnose]'") from None
    rows = episodes.episodes
    prefixes = channel.stacked_by_episode(rows)
    latents = _varying(prefixes.flatten(1).double().cpu().numpy())
    counts = Counter(e.right for e in rows)
    by_class = 1 < len(counts) <= MOST_CLASSES and min(counts.values()) >= LEAST_PER_CLASS
    groups = [e.message if by_class else e.right for e in rows]
    if len(set(groups)) < FOLDS:
        raise ProbeError(f"{len(set(groups))} different contents; a probe needs {FOLDS}")
    read = _Classes(rows, groups) if by_class else _Retrieval(channel, rows, groups)
    report(0, PERMUTATIONS + 1)
    count = _hits(read, latents)
    report(1, PERMUTATIONS + 1)
    control = []
    for turn in range(PERMUTATIONS):
        order = list(range(len(rows)))
        named_rng("probe", "permutation", turn, rows[0].seed, len(rows)).shuffle(order)
        control.append(_hits(read, latents[order]))
        report(turn + 2, PERMUTATIONS + 1)
    return {
        "method": read.method,
        "n": len(rows),
        "classes": len(counts),
        "groups": len(set(groups)),
        "grouped_by": "message" if by_class else "answer",
        "chance": read.chance,
        **share(count, len(rows), confidence),
        "control": {
            "permutations": PERMUTATIONS,
            "mean": sum(control) / PERMUTATIONS / len(rows),
            "highest": max(control) / len(rows),
        },
        "p": (1 + sum(one >= count for one in control)) / (1 + PERMUTATIONS),
    }


def _hits(read: _Retrieval | _Classes, latents: Array) -> int:
    """Count episodes, each held out once with all of its group, whose answer is read off."""
    from sklearn.model_selection import GroupKFold

    folds = GroupKFold(FOLDS).split(latents, groups=read.groups)
    return sum(read.hits(latents, known, held) for known, held in folds)


class _Retrieval:
    method = "ridge to the answer's mean embedding, nearest of the episode's options"

    def __init__(self, channel: Channel, rows: Sequence[Episode], groups: Sequence[str]) -> None:
        import numpy as np

        receiver = channel.receiver
        texts = list(dict.fromkeys(option for e in rows for option in e.options))
        table = [
            receiver.embed(receiver.option_ids(t)).double().mean(0).cpu().numpy() for t in texts
        ]
        vectors = dict(zip(texts, table, strict=True))
        self.rows, self.groups = rows, groups
        self.options = [np.stack([vectors[option] for option in e.options]) for e in rows]
        self.targets = np.stack([vectors[e.right] for e in rows])
        self.chance = sum(1 / len(e.options) for e in rows) / len(rows)

    def hits(self, latents: Array, known: Array, held: Array) -> int:
        """Count held-out episodes whose right option is nearest, by cosine about the mean.

        Where the probe predicts the mean itself, or options tie, a seeded draw chooses.
        """
        import numpy as np
        from sklearn.linear_model import RidgeCV

        centre = self.targets[known].mean(0)
        said = np.zeros_like(self.targets[held])
        if latents.shape[1]:
            targets = self.targets[known] - centre
            fitted = RidgeCV(alphas=PENALTIES).fit(_scaled(latents, known), targets)
            said = fitted.predict(_scaled(latents, held, known))
        guesses = zip(held, said, strict=True)
        return sum(self._hit(int(at), guess, centre) for at, guess in guesses)

    def _hit(self, at: int, guess: Array, centre: Array) -> bool:
        import numpy as np

        episode, about = self.rows[at], self.options[at] - centre
        cosines = about @ guess / (np.linalg.norm(about, axis=1) * np.linalg.norm(guess) + 1e-12)
        best = [i for i, cosine in enumerate(cosines) if cosine >= cosines.max() - 1e-9]
        return named_rng("probe", "tie", episode.seed).choice(best) == episode.answer


class _Classes:
    method = "logistic regression to the answer"

    def __init__(self, rows: Sequence[Episode], groups: Sequence[str]) -> None:
        import numpy as np

        self.groups = groups
        self.answers = np.array([e.right for e in rows])
        self.chance = max(Counter(self.answers.tolist()).values()) / len(rows)

    def hits(self, latents: Array, known: Array, held: Array) -> int:
        """Count held-out episodes whose answer is named; without latents, the commonest one."""
        import numpy as np
        from sklearn.linear_model import LogisticRegression

        if not latents.shape[1]:
            latents = np.zeros((len(latents), 1))
        seed = named_seed("probe", len(known)) % 2**32
        model = LogisticRegression(C=0.1, max_iter=300, random_state=seed)
        model.fit(_scaled(latents, known), self.answers[known])
        return int((model.predict(_scaled(latents, held, known)) == self.answers[held]).sum())


def _varying(latents: Array) -> Array:
    """The columns that differ between messages by more than rounding does."""
    spread = latents.max(0) - latents.min(0)
    size = float(abs(latents).max())
    return latents[:, spread > CONSTANT * size] if size else latents[:, :0]


def _scaled(latents: Array, rows: Array, of: Array | None = None) -> Array:
    """Latents of `rows`, less the mean and over the spread of those of `of` (all as one)."""
    known = latents[rows if of is None else of]
    spread = float(known.std(0).mean()) * known.shape[1] ** 0.5
    moved: Array = (latents[rows] - known.mean(0)) / (spread or 1.0)
    return moved

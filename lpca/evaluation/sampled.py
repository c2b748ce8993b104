"""Answers that are sampled: at a temperature, several of each episode, all from named seeds.

Every token has a part of the unit interval as wide as its probability, in the order of the
vocabulary. A token is drawn by a point that follows from episode and repeat alone, so that neither
batch nor device nor what else is computed changes an answer, but for rounding that moves a border
across its point. Conditions share their points: where they give B the same, it says the same, and
differences between them are of what B was given, not of luck.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lpca.base.hashing import named_rng
from lpca.tasks import Episode

SURE = 100.0
"""Nats by which no rounding is off: a token that nearly has the whole interval has no more."""
_DIGITS = 52
"""Binary digits of a point, which with half a digit behind them is neither 0 nor 1."""


@dataclass(frozen=True)
class Sampling:
    """How answers are sampled: how many of each episode, and at which temperature."""

    repeats: int
    temperature: float


def points(seed: int, repeat: int) -> Iterator[float]:
    """The numbers, between 0 and 1, that draw an answer's tokens one after the other."""
    rng = named_rng("sampled answer", seed, repeat)
    while True:
        yield (rng.getrandbits(_DIGITS) + 0.5) / 2**_DIGITS


class Draws:
    """Draws the tokens of one answer a row; `slack` is each row's smallest so far.

    Slack is by how many nats all log-probabilities may be off before another token is drawn.

    Args:
        sampling: at which temperature.
        episodes: the rows.
        repeat: which of their answers, from 0.
    """

    def __init__(self, sampling: Sampling, episodes: Sequence[Episode], repeat: int) -> None:
        self.slack = [SURE] * len(episodes)
        self._temperature = sampling.temperature
        self._points = [points(episode.seed, repeat) for episode in episodes]

    def __call__(self, row: int, logits: Tensor) -> int:
        """The next token of a row, of its logits [vocabulary]."""
        point, borders = next(self._points[row]), _borders(logits, self._temperature)
        token = int(torch.searchsorted(borders, point, right=True))
        own = _slack(borders, token, point, self._temperature)
        self.slack[row] = min(self.slack[row], own)
        return token


class Greedy:
    """Says the most probable token; `slack` is each row's smallest so far, as of `Draws`.

    It is half the lead of the token over the next one: the one may fall while the other rises.

    Args:
        rows: how many there are.
    """

    def __init__(self, rows: int) -> None:
        self.slack = [SURE] * rows

    def __call__(self, row: int, logits: Tensor) -> int:
        """The next token of a row, of its logits [vocabulary]."""
        first, second = logits.topk(2).values.tolist()
        self.slack[row] = min(self.slack[row], (first - second) / 2)
        # of equal ones the first, as where none is picked
        return int(logits.argmax())


def slack_of(logits: Tensor, token: int, point: float, temperature: float) -> float:
    """By how many nats logits [vocabulary] may be off before a point draws another token.

    Below 0 it draws another, and would draw this one if they were off by so much.
    """
    return _slack(_borders(logits, temperature), token, point, temperature)


def _borders(logits: Tensor, temperature: float) -> Tensor:
    """Where each token's part ends, float64 [vocabulary] rising to 1, on the processor."""
    parts = (logits.detach().cpu().double() / temperature).softmax(-1).cumsum(-1)
    return parts / parts[-1]


def _slack(borders: Tensor, token: int, point: float, temperature: float) -> float:
    # log-probabilities off by t change the odds of a set of tokens by at most exp(2 t / T)
    below = -math.inf if token == 0 else _log_odds(float(borders[token - 1]))
    above, own = _log_odds(float(borders[token])), _log_odds(point)
    return min(SURE, temperature / 2.0 * min(own - below, above - own))


def _log_odds(share: float) -> float:
    if 0.0 < share < 1.0:
        return math.log(share) - math.log1p(-share)
    return math.inf if share >= 1.0 else -math.inf

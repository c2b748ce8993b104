"""Answers that are sampled: as often as their probabilities say, and by nothing but their names."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import pytest
import torch

from lpca.evaluation.sampled import SURE, Draws, Sampling, points, slack_of

LOGITS = torch.tensor([0.3, -1.2, 2.0, 0.0, -4.0])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_come_as_often_as_their_probabilities_say(temperature):
    episodes = [SimpleNamespace(seed=seed) for seed in range(4000)]
    draws = Draws(Sampling(1, temperature), episodes, 0)
    drawn = torch.tensor([draws(row, LOGITS) for row in range(len(episodes))])
    found = drawn.bincount(minlength=len(LOGITS)) / len(episodes)
    due = (LOGITS / temperature).softmax(-1)
    # four standard errors
    assert (found - due).abs().max() < 4 * math.sqrt(0.25 / len(episodes))


def test_points_follow_from_episode_and_repeat_alone():
    def first(*names):
        return tuple(itertools.islice(points(*names), 3))

    assert first(1, 0) == first(1, 0)
    assert len({first(1, 0), first(2, 0), first(1, 1)}) == 3


def test_slack_is_what_log_probabilities_may_be_off_by():
    episodes = [SimpleNamespace(seed=seed) for seed in range(50)]
    draws = Draws(Sampling(1, 0.7), episodes, 0)
    tokens = [draws(row, LOGITS) for row in range(len(episodes))]
    rng = torch.Generator().manual_seed(5)
    for row, token in enumerate(tokens):
        slack, point = draws.slack[row], next(points(row, 0))
        assert 0.0 <= slack < SURE
        assert slack == slack_of(LOGITS, token, point, 0.7)
        for _ in range(20):
            noise = (torch.rand(len(LOGITS), generator=rng) * 2 - 1) * slack * 0.999
            assert slack_of(LOGITS + noise, token, point, 0.7) >= 0.0
        another = (token + 1) % len(LOGITS)
        assert slack_of(LOGITS, another, point, 0.7) <= 0.0


def test_a_token_that_has_all_of_the_interval_is_sure():
    sure = torch.tensor([-1e4, 0.0, -1e4])
    assert slack_of(sure, 1, 0.5, 1.0) == SURE
    assert slack_of(sure, 2, 0.5, 1.0) == -math.inf

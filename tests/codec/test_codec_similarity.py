from __future__ import annotations

import json

import pytest
import torch

from lpca.codec.architectures.baselines import StaticPrefix
from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.channel import COMPARED, Channel, similarity
from lpca.evidence.json_form import from_data, to_data
from lpca.evidence.model import Similarity
from lpca.receivers.model import Receiver
from lpca.tasks.kinds.trip import Trip

K = 3


def channel(receiver: Receiver, make: type[TokenPooler] | type[StaticPrefix]) -> Channel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Channel(receiver, make(receiver, K), K)


def test_cosines_are_those_of_whole_prefixes(llama: Receiver) -> None:
    episodes = Trip().evaluation_set("test", "seen", 6, 0)
    one = channel(llama, TokenPooler)
    found = similarity(one, episodes)
    right = [p.flatten().double() for p in one.prefixes([e.message for e in episodes])]
    donor = [
        p.flatten().double() for p in one.prefixes([episodes.donor(i).message for i in range(6)])
    ]
    off = []
    for i in range(6):
        for j in range(6):
            for matrix, other in ((found.right, right[j]), (found.donor, donor[j])):
                cosine = float(right[i] @ other / right[i].norm() / other.norm())
                assert matrix[i][j] == pytest.approx(cosine, abs=1e-4)
            if i != j:
                off.append(found.right[i][j])
    assert found.between == pytest.approx(sum(off) / len(off), abs=1e-4)
    own = [found.donor[i][i] for i in range(6)]
    assert found.own_donor == pytest.approx(sum(own) / 6, abs=1e-4)
    norms = torch.stack(one.prefixes([e.message for e in episodes])).norm(dim=2)
    assert found.norm_ratio == pytest.approx(
        float(norms.mean()) / llama.mean_embedding_norm, abs=1e-3
    )
    assert found.seeds == tuple(e.seed for e in episodes)


def test_a_prefix_that_ignores_messages_is_a_wall_of_ones(llama: Receiver) -> None:
    found = similarity(
        channel(llama, StaticPrefix), Trip().evaluation_set("test", "seen", COMPARED + 5, 0)
    )
    assert len(found.right) == len(found.donor) == COMPARED
    assert {value for row in (*found.right, *found.donor) for value in row} == {1.0}
    assert found.between == found.own_donor == 1.0


def test_a_prefix_of_zeros_is_like_nothing(llama: Receiver) -> None:
    one = channel(llama, StaticPrefix)
    with torch.no_grad():
        assert isinstance(one.codec, StaticPrefix)
        one.codec.start.zero_()
    found = similarity(one, Trip().evaluation_set("test", "seen", 2, 0))
    assert found.right == ((0.0, 0.0), (0.0, 0.0))
    assert found.norm_ratio == 0.0
    assert from_data(Similarity, json.loads(json.dumps(to_data(found), allow_nan=False))) == found


def test_of_one_episode_there_is_no_pair(llama: Receiver) -> None:
    one = channel(llama, TokenPooler)
    episodes = Trip().evaluation_set("test", "seen", 4, 0).part(0, 1)
    assert similarity(one, episodes).between is None

"""Options of several tokens ranked by bytes, tokens or PMI, held against one plain pass a text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lpca.evaluation.block import make_job, run_block
from lpca.evaluation.conditions import Setting
from lpca.evaluation.evaluate import Evaluated, evaluate
from lpca.evaluation.normalised import Normalising, RankedOutcome
from lpca.evaluation.outcome import ReceivedPrompt
from lpca.evaluation.slow_path import option_score
from lpca.gatespec.model import Normalised
from lpca.receivers.model import Receiver
from lpca.tasks import Episode, EpisodeSet
from lpca.tasks.kinds.trip import Trip

OPTIONS = ("Bo", "a very long answer", "Rome", "in the month of May")


@pytest.fixture(scope="module")
def episodes() -> EpisodeSet:
    made = Trip().evaluation_set("test", "seen", 4, 0)
    return EpisodeSet(tuple(replace(one, options=OPTIONS) for one in made), made.donors)


def measured(receiver: Receiver, episodes: EpisodeSet, how: Normalised, cache: Path) -> Evaluated:
    own = Normalising(how, make_job, run_block)
    setting = Setting(receiver, None, episodes)
    conditions = ("p0", "p1")
    return evaluate(setting, conditions, cache, make_job=own.make_job, run_block=own.run_block)


def alone(receiver: Receiver, episode: Episode, option: str) -> float:
    """An option's log-probability behind the text after the slot, with nothing before it."""
    lead = receiver.prompt_start_ids("") or receiver.prompt_start_ids("\n")
    ids = (*lead, *receiver.segment_ids(episode.after))
    return option_score(receiver, ReceivedPrompt(ids, 0, 0), None, receiver.option_ids(option))


@pytest.mark.parametrize("how", ["bytes", "tokens", "pmi"])
def test_each_option_is_ranked_by_its_rule(
    llama: Receiver, episodes: EpisodeSet, how: Normalised, tmp_path: Path
) -> None:
    plain = evaluate(Setting(llama, None, episodes), ("p0", "p1"), tmp_path).outcomes
    found = measured(llama, episodes, how, tmp_path)
    for condition, outcomes in found.outcomes.items():
        for episode, outcome, raw in zip(episodes, outcomes, plain[condition], strict=True):
            assert isinstance(outcome, RankedOutcome)
            assert outcome.scores == pytest.approx(raw.scores, abs=1e-5)
            wanted = {
                "bytes": [s / len(o) for s, o in zip(raw.scores, OPTIONS, strict=True)],
                "tokens": [
                    s / len(llama.option_ids(o)) for s, o in zip(raw.scores, OPTIONS, strict=True)
                ],
                "pmi": [
                    s - alone(llama, episode, o) for s, o in zip(raw.scores, OPTIONS, strict=True)
                ],
            }[how]
            assert outcome.ranked == pytest.approx(wanted, abs=1e-4)
            best = max(range(len(OPTIONS)), key=outcome.ranked.__getitem__)
            assert outcome.likelihood_success == (best == episode.answer)
    again = measured(llama, episodes, how, tmp_path)
    assert again.outcomes == found.outcomes
    assert again.cached == {key for keys in found.keys.values() for key in keys}


def test_what_ranks_options_is_part_of_the_key(
    llama: Receiver, episodes: EpisodeSet, tmp_path: Path
) -> None:
    keys = {how: measured(llama, episodes, how, tmp_path).keys["p0"] for how in ("bytes", "pmi")}
    plain = evaluate(Setting(llama, None, episodes), ("p0",), tmp_path)
    assert len({*keys.values(), plain.keys["p0"]}) == 3

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from known_codecs import SEED, K, N, Times

from lpca.codec.channel import Channel
from lpca.diagnose.episodes import Outcomes, by_episode, nll, reversals
from lpca.diagnose.oracle import cram, optimised, start
from lpca.diagnose.sweeps import (
    SIZES,
    best_scale,
    confirm_scale,
    noise_sweep,
    perturbed,
    scale_sweep,
)
from lpca.diagnose.whole import nearest_tokens, norm_ratios
from lpca.evaluation.conditions import Setting, build_slots
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.tasks import EpisodeSet
from lpca.tasks.kinds.trip import Trip


def test_a_static_prefix_ties_everywhere_and_a_trained_codec_does_not(
    stub: Receiver, static: Channel, trained: Channel, episodes: EpisodeSet
) -> None:
    magic = by_episode(Outcomes(stub), Setting(stub, static, episodes), 0.95)
    assert magic["differences"]["normal - shuffle"]["difference"] == 0
    assert (magic["reversed"]["ties"], magic["reversed"]["reversed"]) == (N, 0)
    sound = by_episode(Outcomes(stub), Setting(stub, trained, episodes), 0.95)
    assert sound["differences"]["normal - shuffle"]["interval"][0] > 0.5
    assert sound["reversed"]["ties"] == 0


def test_reversals_are_those_that_the_episodes_nlls_show(
    stub: Receiver, noise: Channel, episodes: EpisodeSet
) -> None:
    found = by_episode(Outcomes(stub), Setting(stub, noise, episodes), 0.95)
    turned = [one["nll"]["shuffle"] < one["nll"]["normal"] for one in found["episodes"]]
    assert 0 < sum(turned) < N
    assert found["reversed"]["reversed"] == sum(turned)
    assert [one["reversed"] for one in found["episodes"]] == turned
    for name, of in {
        "place of the right option": lambda e: str(e.answer + 1),
        "stratum": lambda e: e.stratum,
    }.items():
        for kind in found["reversed"]["by"][name]:
            own = [t for t, e in zip(turned, episodes, strict=True) if of(e) == kind["kind"]]
            assert (kind["n"], kind["reversed"]) == (len(own), sum(own))
    for name, kinds in found["reversed"]["by"].items():
        assert sum(kind["n"] for kind in kinds) == N, name
        assert sum(kind["reversed"] for kind in kinds) == sum(turned), name


def test_what_b_was_given_before_is_not_measured_again(
    stub: Receiver, trained: Channel, episodes: EpisodeSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes, setting = Outcomes(stub), Setting(stub, trained, episodes)
    sweep = scale_sweep(trained, episodes, [0.0, 1.0], outcomes=outcomes)
    ran: list[str] = []
    from lpca.diagnose import episodes as module

    real = module.run_block

    def counting(receiver, jobs, batch_size):  # type: ignore[no-untyped-def]
        ran.extend(job.condition for job in jobs)
        return real(receiver, jobs, batch_size)

    monkeypatch.setattr(module, "run_block", counting)
    found = by_episode(outcomes, setting, 0.95)
    assert ran == ["random"]
    assert found["conditions"]["normal"] == sweep["scales"][1]["normal"]
    assert found["conditions"]["null"] == sweep["scales"][0]["shuffle"]


def test_noise_has_the_size_it_names_and_one_direction(
    stub: Receiver, trained: Channel, episodes: EpisodeSet
) -> None:
    rows, slots = episodes.episodes, build_slots("normal", Setting(stub, trained, episodes))
    small, large = perturbed(slots, rows, 0.1), perturbed(slots, rows, 1.0)
    for slot, one, other in zip(slots, small, large, strict=True):
        assert slot.vectors is not None
        assert one.vectors is not None
        assert other.vectors is not None
        less, more = one.vectors - slot.vectors, other.vectors - slot.vectors
        assert float(more.norm() / slot.vectors.norm()) == pytest.approx(1.0, rel=1e-4)
        assert torch.allclose(10 * less, more, atol=1e-5)
    found = noise_sweep(Outcomes(stub), Setting(stub, trained, episodes), 0.95)
    assert [one["size"] for one in found] == list(SIZES)
    assert found[0]["change"]["difference"] == 0
    assert found[-1]["nll"] > found[0]["nll"]


def test_numbers_do_not_depend_on_the_batch_size(
    stub: Receiver, noise: Channel, episodes: EpisodeSet
) -> None:
    setting = Setting(stub, noise, episodes)
    one, other = (by_episode(Outcomes(stub, size), setting, 0.95) for size in (7, 40))
    for first, second in zip(one["episodes"], other["episodes"], strict=True):
        assert first["nll"] == pytest.approx(second["nll"], abs=1e-3)
    rows = episodes.episodes[:4]
    starts = torch.stack([start(stub, e, K) for e in rows])
    alone = [optimised(stub, rows[i : i + 1], starts[i : i + 1], 5)[0] for i in range(4)]
    torch.testing.assert_close(
        torch.stack(alone), torch.stack(optimised(stub, rows, starts, 5)), atol=1e-3, rtol=1e-3
    )


def test_a_codec_too_quiet_is_found_to_want_a_larger_scale_and_that_is_confirmed_afresh(
    stub: Receiver, trained: Channel, episodes: EpisodeSet
) -> None:
    quiet = Channel(stub, Times(trained, 1e-4), K)
    outcomes = Outcomes(stub)
    sweep = scale_sweep(quiet, episodes, [0.0, 1.0, 1000.0], outcomes=outcomes)
    assert best_scale(sweep) == 1000.0
    fresh = Trip().evaluation_set("validation", "seen", N, SEED + 1)
    found = confirm_scale(quiet, episodes, fresh, sweep, outcomes)
    assert found["best"] == 1000.0
    assert found["gain"]["interval"][0] > 0
    assert found["swept"]["normal"] == sweep["scales"][2]["normal"]
    again = scale_sweep(quiet, fresh, [1000.0])
    assert found["fresh"]["normal"] == again["scales"][0]["normal"]


def test_a_scale_is_never_confirmed_on_the_episodes_that_chose_it(
    trained: Channel, stub: Receiver, episodes: EpisodeSet
) -> None:
    sweep = scale_sweep(trained, episodes.part(0, 4), [1.0])
    with pytest.raises(ValueError, match="other episodes"):
        confirm_scale(trained, episodes, episodes, sweep, Outcomes(stub))


def test_the_oracle_forces_the_stub_and_cannot_force_a_receiver_that_is_deaf(
    stub: Receiver, episodes: EpisodeSet
) -> None:
    few = episodes.part(0, 12)
    found = cram(Outcomes(stub), few, K, 60, 0.95)
    assert found["oracle"]["successes"] == 12
    assert found["oracle"]["nll"] < 0.5 < found["start"]["nll"]
    deaf = load_receiver("stub", "cpu")
    with torch.no_grad():
        for layer in deaf.model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
    found = cram(Outcomes(deaf), few, K, 20, 0.95)
    assert found["oracle"]["nll"] == pytest.approx(found["start"]["nll"], abs=1e-3)
    assert found["oracle"]["interval"][1] < 0.9


def test_a_latent_made_of_a_tokens_embedding_is_nearest_to_it(
    stub: Receiver, episodes: EpisodeSet
) -> None:
    tokens = [7, 30, 31, 40]

    class Fixed:
        def encode(self, messages):  # type: ignore[no-untyped-def]
            return 3 * stub.embed(tokens).expand(len(messages), -1, -1)

        def decode(self, latents):  # type: ignore[no-untyped-def]
            return latents

    channel = Channel(stub, Fixed(), K)
    for one in nearest_tokens(channel, episodes):
        assert [latent[0]["token"] for latent in one["latents"]] == [stub.text([t]) for t in tokens]
        assert all(latent[0]["cosine"] == 1.0 for latent in one["latents"])
    ratios = norm_ratios(channel, episodes)["by_latent"]
    wanted = [3 * float(stub.embed([t]).norm()) / stub.mean_embedding_norm for t in tokens]
    assert ratios == pytest.approx(wanted, abs=1e-3)


def test_a_silent_latent_is_near_no_token(
    stub: Receiver, trained: Channel, episodes: EpisodeSet
) -> None:
    shown = nearest_tokens(Channel(stub, Times(trained, 0.0), K), episodes)
    assert all(latent == [] for one in shown for latent in one["latents"])


def test_a_tie_is_no_reversal(stub: Receiver, noise: Channel, episodes: EpisodeSet) -> None:
    setting = Setting(stub, noise, episodes)
    records = Outcomes(stub).measure(episodes.episodes, {"normal": build_slots("normal", setting)})[
        "normal"
    ]
    nearly = [replace(one, scores=tuple(score + 5e-5 for score in one.scores)) for one in records]
    assert all(nll(a) > nll(b) for a, b in zip(records, nearly, strict=True))
    found = reversals(stub, episodes.episodes, {"normal": records, "shuffle": nearly}, 0.95)
    assert (found["reversed"], found["ties"]) == (0, N)

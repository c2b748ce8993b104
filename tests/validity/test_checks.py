"""Every check passes on a sound run; each planted fault is found by its own check.

Here stand the faults that are subtler than those of `lpca.sabotage`, which has the plain ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lpca.codec.architectures.baselines import StaticPrefix
from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.base import Codec
from lpca.codec.channel import Channel
from lpca.codec.checkpoint import Identity, identify
from lpca.codec.recipe import Recipe, Stage
from lpca.codec.user_codec import codec_given, obtain_own
from lpca.evaluation.block import Computed, Job, RunBlock, run_block
from lpca.evaluation.condition_numbers import condition_numbers
from lpca.evaluation.conditions import CONDITIONS, Setting, SlotMaker, build_slots
from lpca.evaluation.evaluate import evaluate
from lpca.evaluation.outcome import NEAR_TIE, Outcome
from lpca.evidence.model import CheckResult
from lpca.gatespec.model import LATENT
from lpca.receivers.forward import Slot
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.sabotage.spoilt import Wrapped, slots_of
from lpca.tasks import Episode, EpisodeSet
from lpca.tasks.kinds.relay import Relay
from lpca.tasks.kinds.trip import Trip
from lpca.validity.audit import SAMPLE, Audit
from lpca.validity.catalogue import CHECKS, CheckFailed, run_checks
from lpca.validity.checks.outcomes import outcomes_traced

K, N = 3, 24
TRAINING_SEED = 0
NOTHING_TO_SAY = {
    *("normal_names_no_place", "lengths_say_nothing", "remembers_nothing"),
    *("bits_as_declared", "packets_within_limit"),
}
"""Checks of what these runs lack: a gain, packets of several lengths, a factory, bits, a limit."""
EVERY = tuple(name for name in CONDITIONS if name not in ("p5", "alone"))
MOST = ("p0", "p1", "embed", "normal", "null", "random", "shuffle")
FEW = ("p0", "p1", "normal")
"""A check costs as many model calls as there are conditions: a test runs those its fault can reach,
and some it cannot, which must not be accused. Sound runs have all of them."""


def pooler(receiver: Receiver) -> TokenPooler:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TokenPooler(receiver, K)


def static_prefix(receiver: Receiver) -> StaticPrefix:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return StaticPrefix(receiver, K)


@dataclass
class Run:
    """A run to be spoilt: whatever is replaced before `audit` is what gets evaluated."""

    receiver: Receiver
    codec: Codec
    episodes: EpisodeSet
    cache: Path
    hash: str
    trained: Identity | None = None
    conditions: Sequence[str] = MOST
    exchanged: dict[str, SlotMaker] = field(default_factory=dict)
    run_block: RunBlock = run_block

    def audit(self) -> Audit:
        channel = Channel(self.receiver, self.codec, K)
        static = Channel(self.receiver, static_prefix(self.receiver), K)
        messages = tuple(e.message for e in Trip().training_batch(0, 20, 0))
        setting = Setting(self.receiver, channel, self.episodes, static, messages, self.exchanged)
        records = evaluate(setting, self.conditions, self.cache, run_block=self.run_block).outcomes
        numbers = {c: condition_numbers(c, rs, 0.95, setting) for c, rs in records.items()}
        return Audit(
            setting,
            Trip(),
            records,
            self.hash,
            trained=self.trained,
            numbers=numbers,
            run_block=self.run_block,
        )

    def load_as_it_is(self) -> None:
        """Make what was done to the receiver a part of how it was loaded."""
        loaded = self.receiver.state()
        self.receiver, self.hash = replace(self.receiver, loaded=loaded), loaded.hash

    def train_on(self, seed: int) -> None:
        """Say that the codec was trained, which it need not be to be checked for."""
        recipe = Recipe(stages=(Stage(20),))
        self.trained = identify(self.receiver, Trip(), K, seed, recipe)

    def failing(self) -> set[str]:
        return failing(self.audit())


def failing(audit: Audit) -> set[str]:
    return {result.id for result in run_checks(audit) if result.passed is False}


def run_on(receiver: Receiver, cache: Path) -> Run:
    episodes = Trip().evaluation_set("test", "seen", N, 0)
    return Run(receiver, pooler(receiver), episodes, cache, receiver.state_hash())


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a sound B does, kept by what it is given: only what a fault changes is computed."""
    return tmp_path_factory.mktemp("outcomes")


@pytest.fixture
def run(llama: Receiver, outcomes: Path) -> Run:
    return run_on(llama, outcomes)


@pytest.fixture
def run_alone(llama: Receiver, tmp_path: Path) -> Run:
    """A run that shares no outcomes: for faults in how B is run, not in what it is given."""
    return run_on(llama, tmp_path)


@pytest.fixture
def own_run(fresh_llama: Receiver, tmp_path: Path) -> Run:
    """A run on a receiver that no other test shares."""
    return run_on(fresh_llama, tmp_path)


def plant(run: Run, condition: str, make: SlotMaker) -> None:
    run.exchanged[condition] = make


def sound(condition: str, setting: Setting) -> Sequence[Slot]:
    return build_slots(condition, replace(setting, exchanged={}))


class TestSound:
    @pytest.mark.parametrize("architecture", ["llama", "qwen2"])
    @pytest.mark.parametrize("stratum", ["seen", "unseen"])
    def test_every_check_passes(
        self,
        tiny_receivers: dict[str, Receiver],
        tmp_path: Path,
        architecture: str,
        stratum: Any,
    ) -> None:
        run = run_on(tiny_receivers[architecture], tmp_path)
        run.conditions = EVERY
        run.episodes = Trip().evaluation_set("test", stratum, N, 1)
        run.train_on(TRAINING_SEED)
        results = run_checks(run.audit())
        assert [r.id for r in results] == list(CHECKS)
        assert [(r.id, r.detail) for r in results if r.passed is False] == []
        assert {r.id for r in results if r.passed is None} <= NOTHING_TO_SAY
        assert all(r.detail for r in results)

    def test_every_check_passes_in_bfloat16(
        self, tiny_folders: dict[str, Path], tmp_path: Path
    ) -> None:
        coarse = load_receiver(str(tiny_folders["llama"]), "cpu", "bfloat16")
        run = run_on(coarse, tmp_path)
        run.conditions = EVERY
        assert run.failing() == set()

    def test_a_check_whose_conditions_were_not_evaluated_does_not_apply(self, run: Run) -> None:
        run.conditions = ("p0", "p1")
        applies = {r.id: r.passed for r in run_checks(run.audit())}
        assert {name for name, passed in applies.items() if passed is None} == {
            "packets_within_limit",  # no limit is set
            *(check.id for check in CHECKS.values() if not {"p0", "p1"}.issuperset(check.needs)),
        }
        assert False not in applies.values()


class TestPrompt:
    @pytest.mark.parametrize("condition", ["null", "random", "shuffle", "normal"])
    def test_a_message_in_bs_prompt(self, run_alone: Run, condition: str) -> None:
        def leaking(receiver: Receiver, jobs: Sequence[Job], batch_size: int) -> Computed:
            """Under one condition B also reads the message; the records do not say so."""
            for job in jobs:
                told = tuple(replace(e, after=f" {e.message}{e.after}") for e in job.episodes)
                spoilt = job.condition == condition
                [(_, records)] = run_block(
                    receiver, [replace(job, episodes=told) if spoilt else job], batch_size
                )
                yield job, records

        run_alone.run_block = leaking
        around = {"prompt_ignores_message"} if condition == "normal" else set()
        assert run_alone.failing() == {"prompt_is_p0s"} | around

    @pytest.mark.parametrize("condition", ["null", "shuffle", "random"])
    def test_a_message_smuggled_in_after_the_latents(self, run: Run, condition: str) -> None:
        honest = partial(sound, condition)

        def longer(setting: Setting) -> list[Slot]:
            messages = sound("embed", setting)
            return [
                Slot(vectors=torch.cat([slot.vectors, message.vectors]))
                for slot, message in zip(honest(setting), messages, strict=True)
            ]

        plant(run, condition, longer)
        assert "prompt_is_p0s" in run.failing()

    @pytest.mark.parametrize("place", ["before", "after"])
    def test_the_answer_beside_the_options(self, run: Run, place: str) -> None:
        run.conditions = FEW
        spoilt = [tell(e, place, e.right) for e in run.episodes]
        run.episodes = EpisodeSet(tuple(spoilt), run.episodes.donors)
        assert run.failing() == {"no_answer_outside_options"}

    def test_one_option_beside_the_options_in_one_prompt(self, run: Run) -> None:
        run.conditions = FEW
        episodes = list(run.episodes)
        wrong = next(o for o in episodes[7].options if o != episodes[7].right)
        episodes[7] = tell(episodes[7], "after", wrong)
        run.episodes = EpisodeSet(tuple(episodes), run.episodes.donors)
        assert run.failing() == {"no_answer_outside_options"}

    def test_words_of_the_message_in_every_prompt(self, tmp_path: Path) -> None:
        # The stub's tokens are longer than letters: four of them are words.
        run = run_on(load_receiver("stub", "cpu", "float32"), tmp_path)
        run.conditions = ("p0",)
        assert run.failing() == set()
        spoilt = [tell(e, "after", e.message.replace(e.right, "there")) for e in run.episodes]
        run.episodes = EpisodeSet(tuple(spoilt), run.episodes.donors)
        assert run.failing() == {"no_answer_outside_options"}


def tell(episode: Episode, place: str, text: str) -> Episode:
    """Put text beside the options list: at the end of `before`, or the start of `after`."""
    if place == "before":
        return replace(episode, before=f"{episode.before} {text}!")
    return replace(episode, after=f" {text}{episode.after}")


class TestPrefix:
    def test_a_prefix_the_model_does_not_look_at(self, own_run: Run) -> None:
        tokens = own_run.receiver.embedding.weight

        def blind(_module: nn.Module, args: Any, inputs: dict[str, Any]) -> Any:
            """Inside the model, vectors that are no token's embedding become zero."""
            given = inputs["inputs_embeds"]
            if given is None:
                return None
            known = (given[:, :, None] == tokens[None, None]).all(-1).any(-1)
            return args, {**inputs, "inputs_embeds": given * known[..., None]}

        own_run.receiver.model.model.register_forward_pre_hook(blind, with_kwargs=True)
        own_run.load_as_it_is()
        assert own_run.failing() == {"prefix_used"}

    def test_slots_that_reading_drops(self, run: Run) -> None:
        def dropped(condition: str, setting: Setting) -> list[Slot]:
            pad = run.receiver.embed([run.receiver.pad_id])
            return [Slot(vectors=pad.repeat(len(s), 1)) for s in sound(condition, setting)]

        for condition in ("embed", *LATENT):
            plant(run, condition, partial(dropped, condition))
        # Nothing arrives as it was made, and every check of what arrived says so.
        run.conditions = EVERY
        assert run.failing() == {
            *("prefix_used", "plumbing_logits", "latents_injected", "shuffle_is_donors"),
            *("mean_is_mean", "same_answer_agrees", "random_has_norms"),
            *("shaped_is_shaped", "empty_is_empty"),
            "static_is_static",  # the embedding of padding is zero
        }

    @pytest.mark.parametrize("factor", [1.01, 0.0])
    def test_noise_of_another_norm(self, run: Run, factor: float) -> None:
        plant(run, "random", slots_of("random", lambda vectors: vectors * factor))
        assert run.failing() == {"random_has_norms"}

    def test_noise_that_is_the_latents_themselves(self, run: Run) -> None:
        plant(run, "random", partial(sound, "normal"))
        # Noise in the prefix's place then changes nothing either.
        assert run.failing() == {"random_is_noise", "prefix_used"}

    @pytest.mark.parametrize(
        "make",
        [
            lambda v: -v,
            lambda v: torch.randn(v.shape) * v.norm(dim=1, keepdim=True) / 50 + 0.7 * v,
        ],
    )
    def test_noise_made_of_the_latents(self, run: Run, make: Callable[[Tensor], Tensor]) -> None:
        def from_latents(setting: Setting) -> list[Slot]:
            made = []
            for slot in sound("normal", setting):
                with torch.random.fork_rng():
                    torch.manual_seed(0)
                    noise = make(slot.vectors)
                norms = slot.vectors.norm(dim=1, keepdim=True)
                made.append(Slot(vectors=noise / noise.norm(dim=1, keepdim=True) * norms))
            return made

        plant(run, "random", from_latents)
        assert run.failing() == {"random_is_noise"}

    def test_noise_made_of_the_donors_latents(self, run: Run) -> None:
        def rescaled(setting: Setting) -> list[Slot]:
            pairs = zip(sound("shuffle", setting), sound("normal", setting), strict=True)
            return [
                Slot(vectors=nn.functional.normalize(a.vectors) * b.vectors.norm(dim=1)[:, None])
                for a, b in pairs
            ]

        plant(run, "random", rescaled)
        assert run.failing() == {"random_is_noise"}

    def test_latents_of_zero_are_no_noise_to_be_accused(self, run: Run) -> None:
        run.codec = Wrapped(pooler(run.receiver), lambda p: p * 0.0)
        assert "random_is_noise" not in run.failing()

    def test_injected_embeddings_a_little_too_long(self, run: Run) -> None:
        plant(run, "embed", slots_of("embed", lambda vectors: vectors * (1 + 1e-6)))
        assert run.failing() == {"plumbing_logits"}

    def test_a_model_that_reads_embeddings_otherwise_than_tokens(self, own_run: Run) -> None:
        def louder(_module: nn.Module, args: Any, inputs: dict[str, Any]) -> Any:
            given = inputs["inputs_embeds"]
            return None if given is None else (args, {**inputs, "inputs_embeds": given * 1.01})

        own_run.receiver.model.model.register_forward_pre_hook(louder, with_kwargs=True)
        own_run.load_as_it_is()
        assert own_run.failing() == {"plumbing_logits", "slow_path_agrees"}


class TestEncoding:
    def test_noise_too_small_to_matter(self, run: Run) -> None:
        run.codec = Wrapped(pooler(run.receiver), lambda p: p + 1e-7 * torch.randn(p.shape))
        assert run.failing() == {"encoding_repeatable"}

    def test_what_a_huge_vector_hides(self, run: Run) -> None:
        def change(prefixes: Tensor) -> Tensor:
            changed = prefixes * (1.0 if len(prefixes) > SAMPLE else 0.2)
            changed[:, 0] = 1e5
            return changed

        run.codec = Wrapped(pooler(run.receiver), change)
        assert "encoding_repeatable" in run.failing()

    def test_a_decoder_that_goes_by_a_messages_place(self, run: Run) -> None:
        class ByPlace(Wrapped):
            def encode(self, messages: Sequence[str]) -> Tensor:
                self.made = super().decode(super().encode(messages))
                return torch.zeros(len(messages), K, 1)

            def decode(self, latents: Tensor) -> Tensor:
                return self.made[: len(latents)]

        run.codec = ByPlace(pooler(run.receiver), lambda p: p)
        assert run.failing() == {"encoding_repeatable"}


class TestDonors:
    @pytest.fixture(autouse=True)
    def few_conditions(self, run: Run) -> None:
        run.conditions = ("p0", "normal", "shuffle")

    def test_a_donor_used_twice(self, run: Run) -> None:
        first, *rest = run.episodes.donors
        run.episodes = replace(run.episodes, donors=(first, first, *rest[1:]))
        assert run.failing() == {"donors_deranged"}

    def test_a_donor_whose_answer_is_no_option(self, run: Run) -> None:
        run.episodes = replace(run.episodes, donors=tuple((i + 5) % N for i in range(N)))
        assert run.failing() == {"donors_deranged"}


def all_right(record: Outcome) -> Outcome:
    return replace(record, named=record.answer)


def without_scores(record: Outcome) -> Outcome:
    return replace(record, scores=())


def nan_scores(record: Outcome) -> Outcome:
    return replace(record, scores=(math.nan,) * 4)


class TestOutcomes:
    @pytest.mark.parametrize("edit", [all_right, without_scores, nan_scores])
    @pytest.mark.parametrize("condition", ["normal", "p0"])
    def test_outcomes_that_no_model_gave(
        self, run: Run, edit: Callable[[Outcome], Outcome], condition: str
    ) -> None:
        audit = run.audit()
        edited = [edit(record) for record in audit.outcomes[condition]]
        assert failing(replace(audit, outcomes={**audit.outcomes, condition: edited})) == {
            "outcomes_traced"
        }

    def test_a_receiver_that_rounding_does_not_move_is_not_accused(self, run_alone: Run) -> None:
        """Its options score alike, in bfloat16: sums of scores round still."""
        run, model = run_alone, deepcopy(run_alone.receiver.model).to(torch.bfloat16)
        for parameter in model.parameters():
            parameter.data.zero_()
        run.receiver, run.conditions = replace(run.receiver, model=model), ("p0", "p1")
        audit = replace(run.audit(), noise=dict.fromkeys(run.conditions, NEAR_TIE))
        assert not failing(audit) & {"slow_path_agrees", "outcomes_traced"}

    @pytest.mark.parametrize(("gap", "is_accused"), [(1.2, True), (0.8, False)])
    def test_an_outcome_turns_only_where_its_gap_is_within_the_tolerance(
        self, run: Run, gap: float, is_accused: bool
    ) -> None:
        """No score differs by the tolerance; gap is in tolerances, of what is computed again."""
        run.conditions = ("p0",)
        audit = run.audit()
        first, *rest = audit.outcomes["p0"]

        def leading(record: Outcome, by: float) -> Outcome:
            half = by * audit.tolerance / 2
            scores = [half if i == record.answer else -half for i in range(len(record.scores))]
            return replace(record, scores=tuple(scores))

        def again(receiver: Receiver, jobs: Sequence[Job], batch_size: int) -> Computed:
            for job, records in run_block(receiver, jobs, batch_size):
                yield (
                    job,
                    tuple(leading(r, gap) if r.seed == first.seed else r for r in records),
                )

        kept = {"p0": [leading(first, gap - 1.8), *rest]}
        spoilt = replace(audit, outcomes=kept, run_block=again)
        if is_accused:
            with pytest.raises(CheckFailed, match="computed again: the outcome is another"):
                outcomes_traced(spoilt)
        else:
            assert outcomes_traced(spoilt)

    def test_what_is_computed_again_follows_from_the_scores(self, run: Run) -> None:
        run.conditions = FEW
        audit = run.audit()
        first, *rest = audit.outcomes["p0"]

        def drawn(record: Outcome) -> list[int]:
            outcomes = {**audit.outcomes, "p0": [record, *rest]}
            return replace(audit, outcomes=outcomes).sample_for("p1", N // 3)

        other = replace(first, scores=first.scores[::-1])
        rounded = replace(first, scores=tuple(score * (1 + 1e-9) for score in first.scores))
        assert drawn(other) != drawn(first)
        assert drawn(rounded) == drawn(first), "rounding draws no other sample"

    def test_outcomes_in_another_order(self, run: Run) -> None:
        audit = run.audit()
        records = {**audit.outcomes, "p1": audit.outcomes["p1"][::-1]}
        assert failing(replace(audit, outcomes=records)) == {
            *("episodes_complete", "outcomes_traced", "plumbing_logits")
        }


class TestReceiver:
    @pytest.fixture(autouse=True)
    def few_conditions(self, own_run: Run) -> None:
        own_run.conditions = FEW

    def test_one_bit_of_one_weight(self, own_run: Run) -> None:
        weight = own_run.receiver.model.model.layers[1].mlp.up_proj.weight
        weight.data.view(torch.int32)[3, 5] ^= 1
        assert own_run.failing() == {"receiver_frozen"}

    def test_a_parameter_that_asks_for_a_gradient(self, own_run: Run) -> None:
        next(own_run.receiver.model.parameters()).requires_grad_(True)
        assert own_run.failing() == {"receiver_frozen"}

    def test_a_hook(self, own_run: Run) -> None:
        layer = own_run.receiver.model.model.layers[1]
        layer.register_forward_hook(lambda *_: None)
        assert own_run.failing() == {"receiver_frozen"}

    def test_other_code_for_one_layer(self, own_run: Run) -> None:
        layer = own_run.receiver.model.model.layers[1]
        layer.forward = type(layer).forward.__get__(layer)
        assert own_run.failing() == {"receiver_frozen"}

    def test_asking_for_hidden_states_changes_nothing(self, own_run: Run) -> None:
        ids = torch.tensor([[1, 2, 3]])
        own_run.receiver.model(input_ids=ids, output_hidden_states=True)
        assert not own_run.failing()


def count_twice(run: Run) -> None:
    """Give the tenth episode the first one's seed."""
    episodes = list(run.episodes)
    episodes[9] = replace(episodes[9], seed=episodes[0].seed)
    run.episodes = EpisodeSet(tuple(episodes), run.episodes.donors)


class TestSplits:
    @pytest.fixture(autouse=True)
    def few_conditions(self, run: Run) -> None:
        run.conditions = FEW

    def test_an_episode_counted_twice(self, run: Run) -> None:
        count_twice(run)
        assert run.failing() == {"splits_disjoint"}


class TestOwnCodec:
    """What is known of a codec that lpca did not train is what it declares."""

    @staticmethod
    def splits(run: Run, declared: Sequence[str] | None) -> CheckResult:
        channel = pooler(run.receiver)
        channel.trained_on = declared  # type: ignore[assignment]
        own = obtain_own(codec_given(channel), run.receiver, K)
        run.conditions = ["p0", "normal"]
        results = run_checks(replace(run.audit(), own=own))
        return next(one for one in results if one.id == "splits_disjoint")

    def test_nothing_declared_is_nothing_known(self, run: Run) -> None:
        found = self.splits(run, None)
        assert found.passed is None
        assert "unknown" in found.detail

    def test_nothing_declared_does_not_excuse_an_episode_counted_twice(self, run: Run) -> None:
        count_twice(run)
        assert self.splits(run, None).passed is False

    def test_trained_on_nothing(self, run: Run) -> None:
        found = self.splits(run, [])
        assert found.passed is True
        assert "declares to be trained on no message" in found.detail

    def test_declared_messages_of_training(self, run: Run) -> None:
        messages = [e.message for e in Trip().training_batch(0, 30, 0)]
        found = self.splits(run, messages)
        assert found.passed is True
        assert "30 messages that the codec declares" in found.detail
        assert "whether there were others is unknown" in found.detail

    def test_a_declared_test_message(self, run: Run) -> None:
        found = self.splits(run, ["Hello.", run.episodes.episodes[3].message])
        assert found.passed is False
        assert "1 test messages are training messages" in found.detail

    @pytest.mark.parametrize(
        "changed",
        [
            pytest.param(str.upper, id="in capitals"),
            pytest.param(lambda text: text.replace(" ", "  ").rstrip("."), id="other blanks"),
            pytest.param(lambda text: text.replace("o", "\u043e"), id="Cyrillic letters"),
            pytest.param(lambda text: text.replace("e", "e\u200b"), id="invisible characters"),
            pytest.param(lambda text: f"Well, {text}", id="a word before it"),
            pytest.param(
                lambda text: f"A note to all of you here. {text} Yes!", id="more around it"
            ),
            pytest.param(lambda text: text.replace(" ", "-"), id="joined by dashes"),
            pytest.param(lambda text: text.replace(" ", " * "), id="signs between the words"),
            pytest.param(lambda text: " ".join(text.replace(" ", "")), id="letters spaced"),
            pytest.param(lambda text: text.replace("o", "o\u0323"), id="marks on letters"),
        ],
    )
    def test_a_declared_test_message_in_disguise(
        self, run: Run, changed: Callable[[str], str]
    ) -> None:
        message = max((e.message for e in run.episodes), key=lambda text: len(text.split()))
        found = self.splits(run, ["Hello.", changed(message)])
        assert found.passed is False
        assert "1 test messages are training messages" in found.detail

    def test_other_signs_are_another_message(self, run: Run) -> None:
        first = replace(run.episodes.episodes[0], message="x!=1 w!=x w!=2 w<y")
        run.episodes = replace(run.episodes, episodes=(first, *run.episodes.episodes[1:]))
        assert self.splits(run, ["x!=1 w<x w!=2 w!=y"]).passed is True
        assert self.splits(run, ["X!=1  w!=x w!=2 w<y"]).passed is False
        first = replace(first, message="a*b - c is the sum")
        run.episodes = replace(run.episodes, episodes=(first, *run.episodes.episodes[1:]))
        assert self.splits(run, ["a-b - c is the sum", "a*b * c is the sum"]).passed is True

    def test_the_same_wording_with_another_answer_is_another_message(self, run: Run) -> None:
        e = max(run.episodes, key=lambda one: len(one.message.split()))
        other = next(o for o in e.options if o != e.right)
        assert self.splits(run, [e.message.replace(e.right, other)]).passed is True

    @pytest.mark.parametrize(
        ("declared", "passed"),
        [
            ("Back from {}!", False),
            ("Back fr\u043em {}", False),
            ("back from {}", False),
            ("The {}ian way", True),
        ],
    )
    def test_an_unseen_answer_in_a_declared_message(
        self, run: Run, declared: str, passed: bool
    ) -> None:
        run.episodes = Trip().evaluation_set("test", "unseen", N, 1)
        name = run.episodes.episodes[5].right
        assert self.splits(run, [declared.format(name)]).passed is passed


def test_messages_of_other_facts_are_no_training_messages_of_a_task_that_recombines_them() -> None:
    trained = {e.message for step in range(120) for e in Relay().training_batch(step, 32, 0)}
    episodes = Relay().evaluation_set("test", "seen", 400, 20260122).episodes
    own = SimpleNamespace(trained_on=trained)
    audit: Any = SimpleNamespace(episodes=episodes, split="test", own=own)
    assert "share no message" in CHECKS["splits_disjoint"](audit)

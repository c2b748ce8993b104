"""Outcomes that are not what the receiver does with the latents, or are read as they may not be.

Those are read too often, picked from several, or by a wrong spec. What was read before only the
ledger can tell; specs that would decide wrongly the checker refuses.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial, wraps
from pathlib import Path
from typing import Any

import torch
from tokenizers.normalizers import Lowercase
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook
from transformers import MistralConfig, MistralForCausalLM

from lpca.base.hashing import hash_data
from lpca.codec.store import Request
from lpca.evaluation.block import Computed, Job, read_outcomes
from lpca.evaluation.outcome import Outcome, ReceivedPrompt
from lpca.evidence.model import ConditionNumbers
from lpca.gatespec.model import Prompt, Sweep
from lpca.judge.successes import named_option
from lpca.receivers import TokenRows
from lpca.receivers.features import Proof
from lpca.receivers.forward import Reading
from lpca.receivers.model import Receiver, freeze
from lpca.receivers.self_test import prove
from lpca.sabotage.catalogue import sabotage
from lpca.sabotage.faulty_run import FaultyRun
from lpca.sabotage.spoilt import (
    embedding_noise,
    noise,
    read_by,
    record_by,
    spoil_codec,
    spoil_records,
)
from lpca.stats.claims import Approximate, BoundsComparison, Difference, Ratio
from lpca.stats.verdicts import Verdict
from lpca.tasks import Episode
from lpca.tasks.kinds.trip import Trip


@sabotage("building", "a sampled answer that is wrong is drawn once more", "slow_path_agrees")
def answers_drawn_again(run: FaultyRun) -> None:
    """Of two draws the better counts; their average, not their best, is what B does."""
    asked = replace(run.spec.evaluation, score="greedy", temperature=1.5)
    run.spec = replace(run.spec, evaluation=asked)

    def luckier(
        read: Reading, episodes: Sequence[Episode], given: Sequence[ReceivedPrompt]
    ) -> list[Outcome]:
        tries = (read_outcomes(read, episodes, given) for _ in range(2))
        return [max(pair, key=lambda one: one.greedy_success) for pair in zip(*tries, strict=True)]

    record_by(run, luckier)


@sabotage("field", "the receiver was tuned while the codec was trained", "receiver_frozen")
def receiver_tuned(run: FaultyRun) -> None:
    """One layer moved a little: by more than what rounds away in a coarse type."""
    run.own_receiver()
    weight = list(run.receiver.model.parameters())[-1]
    weight.data.mul_(1.01)


@sabotage("building", "the receiver is left in training mode", "receiver_frozen")
def receiver_in_training(run: FaultyRun) -> None:
    """Dropout, where the model has any, then makes outcomes random."""
    run.own_receiver()
    run.receiver.model.train()


@sabotage("building", "the receiver's rotary base was changed", "receiver_frozen")
def rotary_buffer_changed(run: FaultyRun) -> None:
    """In a buffer that no file of weights holds."""
    run.own_receiver()
    run.receiver.model.get_buffer("model.rotary_emb.inv_freq").mul_(0.97)


@sabotage("building", "the receiver's attention is scaled otherwise", "receiver_frozen")
def attention_rescaled(run: FaultyRun) -> None:
    """By a number in a module, which is neither parameter nor buffer."""
    run.own_receiver()
    attention: Any = run.receiver.model.get_submodule("model.layers.0.self_attn")
    attention.scaling *= 1.1


@sabotage("building", "a hook on all modules reads along", "receiver_frozen")
def hook_on_all_modules(run: FaultyRun) -> None:
    """No module knows of it."""
    run.undone.callback(register_module_forward_hook(lambda *_: None).remove)


@sabotage("building", "a method of the receiver's class was wrapped", "receiver_frozen")
def method_wrapped(run: FaultyRun) -> None:
    """By a function that calls itself what it wraps."""
    kind: Any = type(run.receiver.model.get_submodule("model.layers.0.mlp"))
    own = kind.forward

    @wraps(own)
    def forward(self: torch.nn.Module, x: Tensor) -> Tensor:
        return torch.as_tensor(1.01 * own(self, x))

    run.undone.callback(setattr, kind, "forward", own)
    kind.forward = forward


@sabotage("building", "the tokenizer was changed after loading", "receiver_frozen")
def tokenizer_changed(run: FaultyRun) -> None:
    """It reads all texts in lower case."""
    run.receiver = replace(run.receiver, tokenizer=copy.deepcopy(run.receiver.tokenizer))
    run.receiver.tokenizer.backend_tokenizer.normalizer = Lowercase()


@sabotage("building", "the codec was trained under another prompt", "checkpoint_fits", "REFUSED")
def checkpoint_of_another_prompt(run: FaultyRun) -> None:
    """No space stood before the answers."""
    run.checkpoint = Request(run.k, checkpoint=_folder(run))
    run.receiver = run.receiver.prompted(Prompt(join_answer=""))


@sabotage("field", "a mask switches off the window that few prompts exceed", "self_test", "REFUSED")
def window_switched_off(run: FaultyRun) -> None:
    """The receiver's layers look through a window, and its mask function does not tell of it."""
    receiver, settings = run.receiver, run.receiver.model.config.to_dict()
    lengths = sorted(
        len(receiver.prompt_start_ids(e.before) + receiver.message_ids(e.message))
        for e in run.test_episodes()
    )
    config = MistralConfig(**{**settings, "model_type": "mistral", "sliding_window": lengths[-10]})
    model = MistralForCausalLM(config)
    # None stands for a plainly causal mask
    vars(model)["create_masks_for_generate"] = lambda **_: None
    model.load_state_dict(receiver.model.state_dict())
    run.receiver = replace(receiver, model=freeze(model), proof=Proof())
    prove(run.receiver)


@sabotage("field", "the checkpoint is another receiver's", "checkpoint_fits", "REFUSED")
def checkpoint_of_another_receiver(run: FaultyRun) -> None:
    """The weights under test are not those the codec was trained through."""
    run.receiver = replace(run.receiver, weights_hash=hash_data("another receiver"))
    run.checkpoint = Request(run.k, checkpoint=_folder(run))


@sabotage("field", "the checkpoint is of another k", "checkpoint_fits", "REFUSED")
def checkpoint_of_another_k(run: FaultyRun) -> None:
    """Twice as many latents are asked for."""
    run.checkpoint = Request(2 * run.k, checkpoint=_folder(run))


@sabotage("field", "the checkpoint is of another task", "checkpoint_fits", "REFUSED")
def checkpoint_of_another_task(run: FaultyRun) -> None:
    """The same messages, with another number of options."""
    run.task = Trip(5)
    run.checkpoint = Request(run.k, checkpoint=_folder(run))


def _folder(run: FaultyRun) -> Path:
    return run.codec_cache / "codecs" / run.codec.identity.hash()


@sabotage("field", "teacher forcing is reported as generation", "slow_path_agrees")
def teacher_forcing(run: FaultyRun) -> None:
    """Each token of the right answer is asked for with the ones before it given."""

    def forced(
        read: Reading, episodes: Sequence[Episode], given: Sequence[ReceivedPrompt]
    ) -> list[Outcome]:
        records = []
        for row, record in enumerate(read_outcomes(read, episodes, given)):
            episode, receiver = episodes[row], read.receiver
            nodes = read.trees[row].path(receiver.option_ids(episode.right))
            ids = read.at[row, nodes].argmax(-1).tolist()
            said = receiver.text(ids)
            named = named_option(said, episode.options)[0]
            records.append(replace(record, said_ids=tuple(ids), said=said, named=named))
        return records

    record_by(run, forced)


@sabotage("building", "options are scored by their first token alone", "slow_path_agrees")
def first_token_scores(run: FaultyRun) -> None:
    """Two options that begin alike are then told apart by nothing."""

    class FirstToken(Reading):
        def option_scores(self, options: Sequence[TokenRows]) -> list[list[float]]:
            return super().option_scores([[ids[:1] for ids in row] for row in options])

    read_by(run, FirstToken)


@sabotage("field", "rounding noise makes outcomes depend on the batch", "slow_path_agrees")
def batch_noise(run: FaultyRun) -> None:
    """Scores move by a hundredth of a nat with a row's place in the batch."""

    class Noisy(Reading):
        def option_scores(self, options: Sequence[TokenRows]) -> list[list[float]]:
            return [
                [score + 0.01 * (i + 1) * (1 if j % 2 else -1) for j, score in enumerate(row)]
                for i, row in enumerate(super().option_scores(options))
            ]

    read_by(run, Noisy)


@sabotage("field", "positions are counted from the padding's side", "slow_path_agrees")
def padding_counted(run: FaultyRun) -> None:
    """Rows shorter than the longest of their batch have their positions stretched."""

    class Counting(Receiver):
        def positions(self, visible: Tensor) -> Tensor:
            places = torch.arange(visible.shape[1], device=visible.device).expand_as(visible)
            return torch.as_tensor(places * (2 + (~visible).sum(1, keepdim=True)) // 2)

    honest = run.receiver
    run.receiver = Counting(**{field.name: getattr(honest, field.name) for field in fields(honest)})
    run.forget_outcomes()


@sabotage(
    "field",
    "outcomes are cached by name, so that a changed codec reuses old ones",
    "outcomes_traced",
)
def cached_by_name(run: FaultyRun) -> None:
    """An earlier codec filled the cache under the condition's name and the episodes' seeds."""
    honest = run.steps.make_job

    def named(receiver: Receiver, condition: str, episodes: Any, slots: Any) -> Job:
        job = honest(receiver, condition, episodes, slots)
        return replace(job, key=hash_data([condition, [e.seed for e in episodes]]))

    run.exchange_evaluation(make_job=named)
    sound = run.channel_codec
    shape = (run.k, run.receiver.d_model)
    spoil_codec(run, lambda prefix: prefix + noise(shape, 1))
    ledger, run.ledger = run.ledger, run.cache / "ledger"
    run.decide()
    run.channel_codec, run.ledger = sound, ledger


@sabotage("building", "the right answer is taken to be what B chose", "outcomes_traced")
def answers_follow_choices(run: FaultyRun) -> None:
    """A join on the wrong column."""

    def joined(record: Outcome) -> Outcome:
        return replace(record, answer=record.scores.index(max(record.scores)))

    spoil_records(run, joined)


@sabotage("building", "a few failures are turned into successes", "outcomes_traced")
def failures_touched_up(run: FaultyRun) -> None:
    """Every other failure under normal: as few as one in ten are found."""

    def turned(record: Outcome) -> Outcome:
        if record.likelihood_success or record.seed % 2:
            return record
        scores = list(record.scores)
        scores[record.answer] = max(scores) + 0.5
        return replace(record, scores=tuple(scores))

    spoil_records(run, turned, ["normal", "shuffle", "null", "random"])


@sabotage(
    "building", "the right option is favoured by less than rounding may do", "slow_path_agrees"
)
def right_option_favoured(run: FaultyRun) -> None:
    """By 0.3 nats, everywhere: in bfloat16 no single reading shows it."""
    honest = run.steps.run_block

    def favoured(one: Outcome) -> Outcome:
        scores = list(one.scores)
        scores[one.answer] += 0.3
        return replace(one, scores=tuple(scores))

    def favouring(receiver: Receiver, jobs: Sequence[Job], batch_size: int) -> Computed:
        for job, records in honest(receiver, jobs, batch_size):
            yield job, tuple(map(favoured, records))

    run.exchange_evaluation(run_block=favouring)


@sabotage("building", "what a message costs is not reported", "numbers_reported")
def cost_unreported(run: FaultyRun) -> None:
    """Where latents are injected, evidence has no bits."""

    def unreported(condition: str, told: ConditionNumbers) -> ConditionNumbers:
        return told if condition == "p1" else replace(told, bits=None)

    spoil_numbers(run, unreported)


@sabotage("building", "latents are reported as fewer bits than they are", "numbers_reported")
def cost_understated(run: FaultyRun) -> None:
    """Each number counts as one bit, as if somebody had quantised it."""

    def understated(condition: str, told: ConditionNumbers) -> ConditionNumbers:
        told_bits = told.bits or 0.0
        return replace(told, bits=told_bits / 32) if condition == "normal" else told

    spoil_numbers(run, understated)


def spoil_numbers(
    run: FaultyRun, spoil: Callable[[str, ConditionNumbers], ConditionNumbers]
) -> None:
    """Change what evidence reports of a condition."""
    honest = run.steps.condition_numbers

    def spoilt(condition: str, *rest: Any) -> ConditionNumbers:
        return spoil(condition, honest(condition, *rest))

    run.exchange(condition_numbers=spoilt)


MARGINS = (0.75, 0.74, 0.73, 0.72)
SEEDS, KS = (8, 9, 11), (1, 2, 8)
CHECKPOINTS, SCALES, SIZES = 10, (0.5, 0.75, 1.25, 1.5), (120, 140, 160, 180)


@sabotage("field", "the best of ten checkpoints is reported", "checkpoints_accounted")
def best_of_ten(run: FaultyRun) -> None:
    """Nine others were judged on the same test episodes before."""
    _judge_others(run, CHECKPOINTS - 1, 0.1)


@sabotage("field", "the best of a scale sweep is reported", "checkpoints_accounted")
def best_scale(run: FaultyRun) -> None:
    """The same latents were judged at other scales before."""
    for scale in SCALES:
        _judge_before(run, partial(torch.mul, scale))


@sabotage(
    "building", "the best of a sweep is declared, without confirmation", "winners-curse", "REFUSED"
)
def sweep_in_spec(run: FaultyRun) -> None:
    """`best_of:` with no fresh seed."""
    run.change_gate(best_of=Sweep("scale", ("0.5", "1.0")))


@sabotage("field", "episodes are added until the verdict turns", "looks_accounted")
def until_it_turns(run: FaultyRun) -> None:
    """More and more of the same seed's episodes, each time judged as if for the first."""
    for n in SIZES:
        run.change_gate(n=n)
        run.remember(Verdict.INCONCLUSIVE)
    run.change_gate(n=None)


@sabotage("building", "looks are declared, and no stopping rule", "optional-stopping", "REFUSED")
def looks_in_spec(run: FaultyRun) -> None:
    """`looks:` alone."""
    run.change_gate(looks=(50, 100, 150, 200))


@sabotage("building", "margins are loosened until the gate passes", "looks_accounted")
def margins_loosened(run: FaultyRun) -> None:
    """The first ones were out of reach; all are judged on the same outcomes."""
    run.change_gate(expect={**run.gate.expect, "normal": 1.0, "null": 0.15})
    for margin in (*MARGINS, 0.0):
        claim = Difference("normal", "null", ">", margin)
        run.change_criterion("normal_above_null", claim=claim, text=f"normal - null > {margin}")
        if margin:
            run.remember()


@sabotage("building", "the ledger was edited", "ledger_intact")
def ledger_edited(run: FaultyRun) -> None:
    """The look that displeased is taken out of the middle."""
    _judge_others(run, 3, 1.0)
    [path] = run.ledger.glob("*.jsonl")
    first, _, *rest = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([first, *rest]), encoding="utf-8")


@sabotage("building", "the end of the ledger was cut off", "ledger_intact")
def ledger_cut(run: FaultyRun) -> None:
    """The last look displeased: no later line names it."""
    _judge_others(run, 3, 1.0)
    [path] = run.ledger.glob("*.jsonl")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]), encoding="utf-8")


@sabotage("field", "the same rows are judged under another seed until it passes", "looks_accounted")
def rows_under_other_seeds(run: FaultyRun) -> None:
    """Each seed draws other episodes, in which some of the messages come again."""
    sound = run.spec
    for seed in SEEDS:
        run.spec = replace(sound, task=replace(sound.task, seed=seed))
        run.remember()
    run.spec = sound


@sabotage(
    "field",
    "the best of several k is reported, each under a gate of its own",
    "checkpoints_accounted",
)
def best_k(run: FaultyRun) -> None:
    """Neither a gate's name nor k makes the episodes fresh."""
    for k in KS:
        run.remember(k=k, gate=f"sound_{k}")


def _judge_others(run: FaultyRun, count: int, size: float) -> None:
    """Judge other codecs: this one's with noise of a size, in units of the latents' own."""
    for seed in range(count):
        other = embedding_noise(run.receiver, (run.k, run.receiver.d_model), seed)
        _judge_before(run, partial(torch.add, size * other))


def _judge_before(run: FaultyRun, change: Callable[[Tensor], Tensor]) -> None:
    """Keep a reading of the codec with its prefixes changed."""
    spoil_codec(run, change)
    run.remember()
    run.channel_codec = None


@sabotage("building", "null is declared to be decoded", "missing-control", "REFUSED")
def null_decoded_in_spec(run: FaultyRun) -> None:
    """`controls: {null: decode_zero}`."""
    run.change_gate(controls={"null": "decode_zero"})


@sabotage("building", "paired outcomes are read as separate samples", "unpaired", "REFUSED")
def unpaired_method(run: FaultyRun) -> None:
    """Fisher's exact test on the two rates."""
    run.change_criterion("normal_above_p0", method="fisher")


@sabotage("building", "the bounds of two intervals are compared", "overlap", "REFUSED")
def bounds_compared(run: FaultyRun) -> None:
    """`low(normal) > high(p0)`."""
    run.change_criterion("normal_above_p0", claim=BoundsComparison("normal", "p0", ">"))


@sabotage(
    "building",
    "no significant difference is taken for equality",
    "not-significant-as-equal",
    "REFUSED",
)
def equal_without_margin(run: FaultyRun) -> None:
    """`embed ~= p1`."""
    run.change_criterion("plumbing", claim=Approximate("embed", "p1"))


@sabotage(
    "building",
    "retention of text's success is claimed, which guessing meets half",
    "inert-retention",
    "REFUSED",
)
def inert_retention(run: FaultyRun) -> None:
    """`normal / p1 > 0.5` where guessing gives a quarter."""
    claim = Ratio("normal", "p1", ">", 0.5)
    run.change_criterion("normal_above_p0", claim=claim, text="normal / p1 > 0.5")


@sabotage("building", "training and test share a seed", "seed-overlap", "REFUSED")
def seeds_shared(run: FaultyRun) -> None:
    """`train_seed` is the test's."""
    seed = run.spec.task.seed
    task = replace(run.spec.task, other_seeds={"train_seed": ((seed, seed),)})
    run.spec = replace(run.spec, task=task)

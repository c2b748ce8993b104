"""Make a small receiver that solves one family of problems, trained on text alone.

`python tools/make_family_receivers.py s1` writes `lpca/receivers/s1`. No vector is ever injected
while it trains: every episode is text, as token ids, of the training split, whose messages no
validation or test episode has. A message stands whole, in part, with repetitions, in any order, or
is absent; without it, it learns to guess what B's half leaves open.
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lpca.base.hashing import named_rng
from lpca.evaluation.conditions import Setting
from lpca.evaluation.evaluate import evaluate
from lpca.receivers.load import load_receiver
from lpca.tasks.family import Family, Puzzle, family_named
from lpca.tasks.kinds import s1 as constraints
from lpca.tasks.kinds import s2 as arithmetic
from lpca.tasks.kinds import s3 as programs

RECEIVERS = Path(__file__).parents[1] / "lpca" / "receivers"
MAX_BYTES = 5_000_000
PAD, BOS, EOS = "<pad>", "<s>", "</s>"
BATCH, RATE, WARM_UP, VALIDATION = 128, 3e-3, 100, 90
WHOLE, ABSENT = 0.7, 0.1
"""Share of batches whose messages stand whole, in any order, and of those without a message."""
MOST_WORDS = 8
"""How many words a message of another kind has, at most: drawn from its own, with repetitions."""


@dataclass(frozen=True)
class Plan:
    """A family's vocabulary beside the bytes, and the size and training of its receiver."""

    words: tuple[str, ...]
    steps: int
    hidden: int = 128
    layers: int = 3
    heads: int = 4
    inner: int = 384


def _s1() -> Plan:
    values = [f"{v}={value}" for v in constraints.VARIABLES for value in constraints.DOMAIN]
    words = [f" {word}" for word in (*constraints.all_constraints(), *values)]
    return Plan((constraints.Constraints.lead, constraints.Constraints.after, *words), steps=6000)


def _s2() -> Plan:
    numbers = [f" {o}={v}" for o in arithmetic.OPERANDS for v in arithmetic.VALUES]
    words = [*(f" {one}" for one in arithmetic.FORMULAS), *numbers]
    low, high = arithmetic.VALUES[0], arithmetic.VALUES[-1]
    # every result there can be, and some more
    results = [f" {result}" for result in range(2 * low - 2 * high, high * high + high + 1)]
    task = arithmetic.Arithmetic
    return Plan((task.lead, task.after, *words, *results), steps=6000)


def _s3() -> Plan:
    starts = [f" ({start}" for start in programs.STARTS]
    ends = [f"+{shift})%{programs.MODULUS}" for shift in programs.SHIFTS]
    cases = [f" f({x})={y}" for x in programs.INPUTS for y in range(programs.MODULUS)]
    words = [*cases, *starts, *(f"*{factor}" for factor in programs.FACTORS), *ends]
    return Plan((programs.Programs.lead, programs.Programs.after, *words), steps=1500)


PLANS: Mapping[str, Callable[[], Plan]] = {"s1": _s1, "s2": _s2, "s3": _s3}


def make_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """One token per word of the family, and one per byte of any other text."""
    names = [PAD, BOS, EOS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in words])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )


def make_model(plan: Plan, vocabulary: int, seed: int) -> LlamaForCausalLM:
    """Return the untrained model."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=plan.hidden,
        num_hidden_layers=plan.layers,
        num_attention_heads=plan.heads,
        intermediate_size=plan.inner,
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        initializer_range=0.05,
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config)


class Texts:
    """An endless source of batches of text: token ids of prompt and answer, equally long."""

    def __init__(self, family: Family, tokenizer: PreTrainedTokenizerFast, rng: random.Random):
        self.family, self.tokenizer, self.rng = family, tokenizer, rng
        self.puzzles = family.puzzles("train", rng)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Return ids [size, length], and which of them are the answer's or the end."""
        kind, rng = self.rng.random(), self.rng
        words = rng.randint(1, MOST_WORDS)
        rows = []
        for _ in range(size):
            puzzle = next(self.puzzles)
            told = rng.sample(puzzle.told, len(puzzle.told))
            if kind < ABSENT:
                told = []
            elif kind > WHOLE + ABSENT:
                told = rng.choices(puzzle.told, k=words)
            rows.append(self._row(puzzle, told))
        length = max(len(prompt) + len(answer) for prompt, answer in rows)
        ids = torch.zeros((size, length), dtype=torch.long)
        counts = torch.zeros((size, length), dtype=torch.bool)
        for i, (prompt, answer) in enumerate(rows):
            end = len(prompt) + len(answer)
            ids[i, :end] = torch.tensor(prompt + answer)
            counts[i, len(prompt) : end] = True
        return ids, counts

    def _row(self, puzzle: Puzzle, told: Sequence[str]) -> tuple[list[int], list[int]]:
        before, after = self.family.prompt(puzzle.own)
        message = f" {self.family.message(told)}" if told else ""
        return self._ids(before + message + after), [*self._ids(f" {puzzle.right}"), 2]

    def _ids(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer.backend_tokenizer.encode(text).ids
        return found


def train(model: LlamaForCausalLM, texts: Texts, steps: int) -> None:
    """Train on `steps` batches; report every 100 steps."""
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    started, recent = time.monotonic(), list[float]()
    for step in range(1, steps + 1):
        for group in optimiser.param_groups:
            left = 0.5 * (1 + math.cos(math.pi * step / steps))
            group["lr"] = RATE * min(step / WARM_UP, left)
        ids, counts = texts.batch(BATCH)
        # rows end in padding, which no token before it sees
        hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
        counted = counts[:, 1:]
        loss = functional.cross_entropy(model.lm_head(hidden[counted]), ids[:, 1:][counted])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        recent.append(float(loss.detach()))
        if step % 100 == 0:
            took = time.monotonic() - started
            mean, low = sum(recent) / len(recent), min(recent)
            print(
                f"step {step}/{steps}  loss {mean:.3f}, least {low:.3f}  {took:.0f} s", flush=True
            )
            recent.clear()


def report(folder: Path, family: Family) -> None:
    """Print success on validation episodes, with the message and without."""
    receiver = load_receiver(str(folder), device="cpu", dtype="float32")
    episodes = family.evaluation_set("validation", "seen", VALIDATION, 0)
    with tempfile.TemporaryDirectory() as cache:
        found = evaluate(Setting(receiver, None, episodes), ("p0", "p1"), Path(cache)).outcomes
    for condition, records in found.items():
        solved = sum(record.greedy_success for record in records) / len(records)
        credit = sum(record.credit or 0.0 for record in records) / len(records)
        print(f"validation {condition}: solved {solved:.3f}, credit {credit:.3f}")


def main() -> None:
    """Train a receiver, check its size, put the folder in place."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("family", choices=sorted(PLANS))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    family, plan = family_named(options.family), PLANS[options.family]()
    target = options.target or RECEIVERS / options.family
    tokenizer = make_tokenizer(plan.words)
    model = make_model(plan, len(tokenizer), options.seed)
    texts = Texts(family, tokenizer, named_rng("receiver", options.family, options.seed))
    train(model, texts, options.steps or plan.steps)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folder = Path(scratch) / options.family
        model.half().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        size = sum(file.stat().st_size for file in folder.iterdir())
        if size > MAX_BYTES:
            raise SystemExit(f"the folder has {size} bytes; allowed: {MAX_BYTES}")
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    report(target, family)


if __name__ == "__main__":
    main()

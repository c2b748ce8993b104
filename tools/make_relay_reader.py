"""Make `examples/relay/reader`: the stub receiver, taught to read the task `relay` as text.

Run `python tools/make_relay_reader.py`; it takes a few minutes on one core. The stub knows lists of
cities only. It goes on learning on training episodes of `relay`, with no message, a part of it,
all of it or its facts in the slot: text alone, as token ids. No vector is ever injected, and no
held-out name and no wording of validation or test occurs.
"""

from __future__ import annotations

import argparse
import itertools
import random
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from lpca.base.hashing import named_rng
from lpca.evaluation.conditions import Setting
from lpca.evaluation.conditions.builtin import beginning, structured
from lpca.evaluation.evaluate import evaluate
from lpca.receivers.load import load_receiver
from lpca.tasks import Episode
from lpca.tasks.kinds.relay import Relay

ROOT = Path(__file__).parents[1]
STUB, TARGET = ROOT / "lpca" / "receivers" / "stub", ROOT / "examples" / "relay" / "reader"
STEPS, BATCH, RATE, VALIDATION = 2400, 32, 1.5e-3, 198
OPTION_COUNTS = (2, 3, 4, 5, 6)
SLOTS = {"nothing": 0.1, "a part": 0.2, "everything": 0.55, "facts": 0.15}
PAD_ID, MESSAGE_WEIGHT = 0, 0.1


def slot_text(episode: Episode, rng: random.Random) -> str:
    """What stands in a training episode's slot."""
    (kind,) = rng.choices(list(SLOTS), list(SLOTS.values()))
    if kind == "nothing":
        return ""
    if kind == "facts":
        return " " + structured(episode)
    size = len(episode.message.encode())
    return " " + beginning(episode.message, rng.randint(8, size) if kind == "a part" else size)


def batches(tokenizer: AutoTokenizer, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield token ids and per-token loss weights of fresh episodes, padded at their ends."""
    rng = named_rng("relay reader", seed)
    for step in itertools.count():
        task = Relay(rng.choice(OPTION_COUNTS))
        rows = []
        for episode in task.training_batch(step, BATCH, seed):
            parts = [
                (episode.before, 0.0),
                (slot_text(episode, rng), MESSAGE_WEIGHT),
                (episode.after, 0.0),
                (f" {episode.right}", 1.0),
            ]
            row = [
                (token, weight)
                for text, weight in parts
                if text
                for token in tokenizer(text).input_ids
            ]
            rows.append([*row, (tokenizer.eos_token_id, 1.0)])
        width = max(map(len, rows))
        table = torch.tensor([row + [(PAD_ID, 0.0)] * (width - len(row)) for row in rows])
        yield table[..., 0].long(), table[..., 1]


def train(model: torch.nn.Module, tokenizer: AutoTokenizer, steps: int, seed: int) -> None:
    """Go on training; report every 100 steps."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps, pct_start=0.05)
    start, recent = time.monotonic(), deque[float](maxlen=100)
    for step, (ids, weights) in enumerate(
        itertools.islice(batches(tokenizer, seed), steps), start=1
    ):
        counted = weights[:, 1:] > 0
        weight = weights[:, 1:][counted]
        hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
        losses = functional.cross_entropy(
            model.lm_head(hidden[counted]), ids[:, 1:][counted], reduction="none"
        )
        optimiser.zero_grad()
        ((losses * weight).sum() / weight.sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        recent.append(float(losses.detach()[weight == 1.0].mean()))
        if step % 100 == 0:
            left = (time.monotonic() - start) / step * (steps - step)
            print(f"step {step}/{steps}  loss {sum(recent) / len(recent):.3f}  {left:.0f} s left")


def report(folder: Path) -> None:
    """Print success on validation episodes of each stratum under the conditions of text."""
    receiver = load_receiver(str(folder), device="cpu", dtype="float32")
    for stratum in ("seen", "unseen"):
        episodes = Relay().evaluation_set("validation", stratum, VALIDATION, 0)
        with tempfile.TemporaryDirectory() as cache:
            setting = Setting(receiver, None, episodes)
            found = evaluate(setting, ("p0", "p1", "p2_16", "p2_64", "p5"), Path(cache)).outcomes
        for condition, records in found.items():
            success = sum(record.likelihood_success for record in records) / len(records)
            print(f"validation {stratum} {condition}: {success:.3f}")


def main() -> None:
    """Train the reader and put its folder in place."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=Path, default=TARGET)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    tokenizer = AutoTokenizer.from_pretrained(STUB)
    model = AutoModelForCausalLM.from_pretrained(STUB, dtype=torch.float32)
    train(model, tokenizer, options.steps, options.seed)
    model.half().save_pretrained(options.target)
    tokenizer.save_pretrained(options.target)
    report(options.target)


if __name__ == "__main__":
    main()

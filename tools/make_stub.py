"""Make `lpca/receivers/stub`: a tiny Llama that reads the task `trip`, trained on text alone.

Run `python tools/make_stub.py`; it takes about a quarter of an hour on one core. No vector is ever
injected while it trains: every episode is text, as token ids. Most names are made up, so that
copying is learned and not a list of cities; the held-out names and the validation and test
wordings never occur in a training text. An episode whose message names no listed city has the
first listed one as its likeliest target: a guess that the list alone decides.
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import shutil
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lpca.base.hashing import named_rng
from lpca.evaluation.conditions import Setting
from lpca.evaluation.evaluate import evaluate
from lpca.receivers.load import load_receiver
from lpca.tasks.kinds.trip import AFTER, LIST_LEAD, TRAIN_WORDINGS, Trip, city_names

TARGET = Path(__file__).parents[1] / "lpca" / "receivers" / "stub"
MAX_BYTES = 2_000_000
VOCABULARY, HIDDEN, LAYERS, HEADS, INNER = 1280, 128, 3, 4, 256
STEPS, BATCH, RATE, VALIDATION = 6400, 32, 3e-3, 200
MADE_UP = 12_000
PAD, BOS, EOS = "<pad>", "<s>", "</s>"
OPTION_COUNTS = (2, 3, 4, 5, 6, 7, 8)
OPTION_WEIGHTS = (8, 12, 50, 10, 8, 6, 6)
MESSAGE_WEIGHT = 0.1
"""Weight of a message's tokens in the loss; the answer's and the end token's is 1."""
FIRST_BIAS = 0.8
"""Share of episodes naming no listed city whose target is the first; else it is any."""
RECITED = 0.1
"""Share of texts that only list names twice: from those, and in the warm-up, it learns to copy."""
ROPE_THETA = 1000.0
WORDINGS = TRAIN_WORDINGS[:10]
"""The task's training had these ten when the stub was made, which reads its later ones too."""

OWN_WORDINGS = (
    "{city}!",
    "{city} this time.",
    "{city} has been our dream for years.",
    "{city}, here we come.",
    "{city} was the cheapest of them all, so I took it.",
    "See you in {city}.",
    "Off to {city} on Monday morning.",
    "My boss is sending me to {city} for a month.",
    "The bus for {city} departs from gate seven.",
    "A friend from {city} asked me to come over.",
    "I bought a map of {city} and a good pair of shoes.",
    "After long talks we agreed on {city}.",
    "Could you water the plants while I am in {city}?",
    "Guess what: {city} in spring!",
    "The doctor said that the air of {city} would be good for him.",
    "Grandmother was born in {city}, and she wants to see it again.",
    "Her letter says that she waits for us in {city}.",
    "Flight 208 lands in {city} at noon.",
    "There is a music festival in {city} and we have seats.",
    "Please forward my mail to {city} from June on.",
    "No more doubts, the choice fell on {city}.",
    "He will study in {city} from autumn.",
    "Destination: {city}",
    "The ship stops at {city} first.",
    "With a bit of luck I am in {city} by Friday.",
)
EMPTY_MESSAGES = (
    "I have not decided yet.",
    "We will tell you later where it goes.",
    "The weather was fine and we had soup.",
    "Nothing is booked so far.",
    "Please ask me again tomorrow.",
    "Pack warm clothes.",
    "My phone was off all day.",
    "...",
)


def held_out_names() -> frozenset[str]:
    """Return the names, in lower case, that no training text may contain."""
    held_out = city_names("validation", "unseen") + city_names("test", "unseen")
    return frozenset(name.lower() for name in held_out)


def contains_any(text: str, names: frozenset[str]) -> bool:
    """Whether one of `names` stands anywhere in `text`, whatever the case."""
    low = text.lower()
    lengths = {len(name) for name in names}
    return any(low[i : i + size] in names for size in lengths for i in range(len(low)))


def made_up_names(count: int, forbidden: frozenset[str], rng: random.Random) -> list[str]:
    """Draw names from a character model of the training names, each letter given two before it."""
    following = defaultdict(list)
    for name in city_names("train", "seen"):
        padded = f"^^{name.lower()}$"
        for i in range(2, len(padded)):
            following[padded[i - 2 : i]].append(padded[i])
    names: set[str] = set()
    while len(names) < count:
        text = "^^"
        while not text.endswith("$"):
            text += rng.choice(following[text[-2:]])
        name = text[2:-1]
        if 3 <= len(name) <= 11 and not contains_any(name, forbidden):
            names.add(name.capitalize())
    return sorted(names)


def make_tokenizer(names: Sequence[str], rng: random.Random) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on training names and wordings; it adds no special token by itself."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    wordings = [*WORDINGS, *OWN_WORDINGS, *EMPTY_MESSAGES, LIST_LEAD, AFTER]
    texts = [" " + text.format(city=rng.choice(names)) for text in wordings for _ in range(40)]
    texts.append(", ".join(["", *city_names("train", "seen"), *names]))
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )


def make_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """Return the untrained model."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        initializer_range=0.05,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


@dataclass
class TextEpisodes:
    """An endless source of training episodes: (prompt's segments, answer), all text."""

    tokenizer: PreTrainedTokenizerFast
    made_up: Sequence[str]
    forbidden: frozenset[str]
    rng: random.Random

    def __post_init__(self) -> None:
        fillers = " ".join([*OWN_WORDINGS, *WORDINGS, *EMPTY_MESSAGES])
        words = re.findall(r"\w+", fillers.replace("{city}", ""))
        self._words = sorted({*words, *(name.lower() for name in self.made_up[::12])})
        self._pieces = [token for token in self.tokenizer.get_vocab() if token.isascii()]
        self._pieces = sorted(piece for piece in self._pieces if re.fullmatch("[a-z]+", piece))

    def draw(self) -> tuple[str, str, str]:
        """Return what stands before the answer's prompt, the message with its space, the answer."""
        rng = self.rng
        options = self._options(rng.choices(OPTION_COUNTS, OPTION_WEIGHTS)[0])
        right = rng.choice(options)
        kind = rng.random()
        if kind < 0.18:
            message = self._naming_none()
            right = options[0] if rng.random() < FIRST_BIAS else rng.choice(options)
        elif kind < 0.42:
            message = rng.choice(WORDINGS).format(city=right)
        elif kind < 0.60:
            message = rng.choice(OWN_WORDINGS).format(city=right)
        elif kind < 0.72:
            lead, tail = (rng.choices(self._words, k=rng.randrange(8)) for _ in range(2))
            message = " ".join([*lead, right, *tail]) + rng.choice(("", ".", "!"))
        else:
            message = self._terse(right)
        if contains_any(message, self.forbidden):
            return self.draw()
        return f"{LIST_LEAD}{', '.join(options)}.", message and f" {message}", right

    def _options(self, count: int) -> list[str]:
        names: list[str] = []
        real = city_names("train", "seen")
        while len(names) < count:
            name = self.rng.choice(real if self.rng.random() < 0.2 else self.made_up)
            if self.rng.random() < 0.3:
                name = "".join(self.rng.choices(self._pieces, k=self.rng.choice((2, 3)))).title()
            apart = all(name not in other and other not in name for other in names)
            if apart and len(name) <= 12 and not contains_any(name, self.forbidden):
                names.append(name)
        return names

    def _naming_none(self) -> str:
        rng = self.rng
        kind = rng.random()
        if kind < 0.4:
            return ""
        if kind < 0.5:
            return rng.choice(EMPTY_MESSAGES)
        if kind < 0.6:
            return " ".join(rng.choices(self._words, k=rng.randint(1, 9)))
        if kind < 0.75:
            return "".join(rng.choices(self._pieces, k=rng.randint(1, 16)))
        if kind < 0.9:
            run: str = rng.choice([*self._words, *self._pieces, *".,:;-!?"])
            return rng.choice(("", " ")).join([run] * rng.choice((2, 4, 8, 16)))
        return rng.choice(WORDINGS).format(city=self._options(1)[0])

    def _terse(self, name: str) -> str:
        kind = self.rng.random()
        if kind < 0.3:
            return name
        if kind < 0.45:
            return " ".join([name] * self.rng.choice((2, 2, 3, 4, 6)))
        ids = self.tokenizer(" " + name).input_ids
        pieces = [str(self.tokenizer.decode([i])) for i in ids]
        if kind < 0.6:
            pieces += [pieces[-1]] * self.rng.choice((1, 2, 3, 4, 8, 14))
        elif kind < 0.8:
            pieces = self.rng.choices(pieces, k=self.rng.randint(2, 6)) + pieces
            self.rng.shuffle(pieces)
        else:
            filler = self.rng.choices(self._words, k=self.rng.randint(1, 4))
            pieces = [*pieces, *(f" {word}" for word in filler)]
            self.rng.shuffle(pieces)
        return "".join(pieces).strip()

    def batches(self, size: int, warm_up: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield ids, mask and per-token loss weights; eight batches at a time, sorted by length."""
        for done in itertools.count(step=8):
            rows = []
            for _ in range(8 * size):
                reciting = done < warm_up or self.rng.random() < RECITED
                rows.append(self._recital() if reciting else self._row())
            rows.sort(key=len)
            chunks = [rows[i : i + size] for i in range(0, len(rows), size)]
            self.rng.shuffle(chunks)
            for chunk in chunks:
                padded = [
                    row + [(self.tokenizer.pad_token_id, 0.0)] * (len(chunk[-1]) - len(row))
                    for row in chunk
                ]
                table = torch.tensor(padded)
                ids = table[..., 0].long()
                yield ids, (ids != self.tokenizer.pad_token_id).long(), table[..., 1]

    def _row(self) -> list[tuple[int, float]]:
        before, message, right = self.draw()
        parts = [(before, 0.0), (message, MESSAGE_WEIGHT), (AFTER, 0.0), (f" {right}", 1.0)]
        row = [(self.tokenizer.bos_token_id, 0.0)] if self.rng.random() < 0.1 else []
        row += self._weighed(parts)
        return [*row, (self.tokenizer.eos_token_id, 1.0)]

    def _recital(self) -> list[tuple[int, float]]:
        names = self._options(self.rng.randint(2, 4))
        lists = [", ".join(self.rng.sample(names, len(names))) for _ in range(2)]
        return self._weighed([(f" {lists[0]}.", 0.0), (f" {lists[1]}.", 1.0)])

    def _weighed(self, parts: Sequence[tuple[str, float]]) -> list[tuple[int, float]]:
        kept = [(text, weight) for text, weight in parts if text]
        ids = self.tokenizer([text for text, _ in kept]).input_ids
        return [(i, weight) for part, (_, weight) in zip(ids, kept, strict=True) for i in part]


def train(model: LlamaForCausalLM, episodes: TextEpisodes, steps: int, warm_up: int) -> None:
    """Train on `steps` batches, the first `warm_up` of them recitals; report every 100 steps."""
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps, pct_start=0.05)
    start, recent = time.monotonic(), deque[float](maxlen=100)
    batches = itertools.islice(episodes.batches(BATCH, warm_up), steps)
    for step, (ids, mask, weights) in enumerate(batches, start=1):
        counted = weights[:, 1:] > 0
        weight = weights[:, 1:][counted]
        hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state[:, :-1]
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
            loss, took = sum(recent) / len(recent), time.monotonic() - start
            left = took / step * (steps - step)
            print(f"step {step}/{steps}  loss {loss:.3f}  {left:.0f} s left", flush=True)


def report(folder: Path) -> None:
    """Print success on validation episodes of each stratum, with the message and without."""
    receiver = load_receiver(str(folder), device="cpu", dtype="float32")
    for stratum in ("seen", "unseen"):
        episodes = Trip().evaluation_set("validation", stratum, VALIDATION, 0)
        with tempfile.TemporaryDirectory() as cache:
            setting = Setting(receiver, None, episodes)
            found = evaluate(setting, ("p0", "p1"), Path(cache)).outcomes
        for condition, records in found.items():
            likelihood = sum(record.likelihood_success for record in records) / len(records)
            greedy = sum(record.greedy_success for record in records) / len(records)
            print(f"validation {stratum} {condition}: {likelihood:.3f}, greedy {greedy:.3f}")


def main() -> None:
    """Train the stub, check its size, put the folder in place."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=Path, default=TARGET)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = named_rng("stub", options.seed)
    forbidden = held_out_names()
    made_up = made_up_names(MADE_UP, forbidden, rng)
    tokenizer = make_tokenizer(made_up, rng)
    model = make_model(tokenizer, options.seed)
    episodes = TextEpisodes(tokenizer, made_up, forbidden, rng)
    train(model, episodes, options.steps, options.steps // 4)
    options.target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.target.parent) as scratch:
        folder = Path(scratch) / "stub"
        model.half().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        size = sum(file.stat().st_size for file in folder.iterdir())
        if size > MAX_BYTES:
            raise SystemExit(f"the folder has {size} bytes; allowed: {MAX_BYTES}")
        report(folder)
        shutil.rmtree(options.target, ignore_errors=True)
        folder.rename(options.target)


if __name__ == "__main__":
    main()

"""Measure, architecture by architecture, whether a receiver is read exactly, and write the table.

    python tools/architectures.py [--write] [NAME ...]

Each architecture of `transformers` that architectures.yaml lists is built small with random
weights, saved with a tokenizer of bytes, loaded by `load_receiver`, and read as gates read a
receiver: prompts of different lengths in one batch, slots of token ids and of vectors, options of
several tokens. What the model itself makes of one row alone, in one forward pass without cache or
padding, is the truth.
`--write` makes docs/lab/receivers.md of it.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from lpca.base.errors import RequestError
from lpca.receivers.forward import read_context
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.receivers.reading import Reading, Slot
from lpca.receivers.self_test import prove_upto

LISTED = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
ARCHITECTURES: Mapping[str, list[Any]] = LISTED["architectures"]
"""Model type, names of LISTED["settings"] and settings of its own, by name."""
PAGE = Path(__file__).parents[1] / "docs" / "lab" / "receivers.md"
TOLERANCE = 1e-4
"""Nats. Float32 kernels round a batch and one row differently: 1e-6 to 3e-5 a log-probability."""
LENGTHS = (9, 40, 23, 58, 75)
"""Tokens before each prompt's slot. With what follows, the prompts end at 21 to 87: below, at and
beyond windows of 32 tokens, some of which the message crosses, or an option alone."""
SAID = 6

PAGE_TEXT = """# Architectures, read

{told}. At most {largest} nats off. *Exact*: read in batches, with a cache and options side by side.
*Plain path*: one row at a time, as the model itself reads, several times slower. *Refused*: in one
line, before anything is trained.

Made by `python tools/architectures.py --write` (torch {torch}, transformers {transformers},
float32, CPU): {rows} small models of random weights, saved and loaded as a receiver; prompts of 21
to 87 tokens in one batch, beyond windows and chunks of 32, with slots of tokens and of vectors,
options of several tokens, answers said greedily, and logits as in training. The deviation is the
largest of any log-probability from what the model makes of one row alone, without cache or padding;
beyond {tolerance} a receiver counts as misread.

| model type | read | deviation | recognised, or why refused |
|---|---|---|---|
{table}
"""

EXACT, PLAIN, REFUSED = "exact", "plain path, exact", "refused"
SOUND = (EXACT, PLAIN, REFUSED)


@dataclass(frozen=True)
class Row:
    """What came of an architecture.

    Attributes:
        name: of ARCHITECTURES.
        read: one of SOUND, else what is wrong.
        deviation: the largest of any log-probability from the model's own, in nats.
        felt: how far two tokens swapped move log-probabilities, in nats; without that a deviation
            would mean nothing.
        features: what was recognised in its configuration.
        line: what a refusal, or an error, says.
    """

    name: str
    read: str
    deviation: float = math.nan
    felt: float = math.nan
    features: str = ""
    line: str = ""

    def cells(self) -> list[str]:
        """Its cells in the table."""
        deviation = f"{self.deviation:.0e}" if self.read in (EXACT, PLAIN) else ""
        line = self.line if self.read == REFUSED else self.features
        return [f"`{self.name}`", self.read, deviation, line.replace("|", "\\|")]


def save(name: str, folder: Path) -> None:
    """Write an architecture's small model, of random weights, with a tokenizer of bytes."""
    model_type, *parts = ARCHITECTURES[name]
    shared = LISTED["settings"]
    settings = dict(shared["common"])
    for part in parts:
        settings |= shared[part] if isinstance(part, str) else part
    config = CONFIG_MAPPING[model_type](**settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for weights in model.parameters():
            # ones and zeros would hide what they scale and shift, small weights the prompt
            if weights.numel() > 1 and float(weights.detach().std()) < 0.05:
                weights.data += 0.1 * torch.randn_like(weights)
    model.save_pretrained(folder)
    alphabet = ["<end>", "<start>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<start>", eos_token="<end>", pad_token="<end>"
    ).save_pretrained(folder)


@dataclass(frozen=True)
class Prompt:
    """Token ids: what stands before a prompt's slot, in it and after it, and the options."""

    before: list[int]
    message: list[int]
    after: list[int]
    options: list[list[int]]

    @property
    def ids(self) -> list[int]:
        """The prompt whole, its message in its slot."""
        return [*self.before, *self.message, *self.after]


def prompts() -> list[Prompt]:
    """What each architecture reads as one batch: bytes drawn, options that begin alike."""
    rng = random.Random(0)

    def draw(n: int) -> list[int]:
        return [rng.randrange(2, 258) for _ in range(n)]

    stem = draw(2)
    return [
        Prompt(
            draw(n),
            draw(3 + i % 3),
            draw(4 + i % 4),
            [draw(1), [*stem, *draw(1)], [*stem, *draw(2)], draw(3)],
        )
        for i, n in enumerate(LENGTHS)
    ]


@dataclass(frozen=True)
class Alone:
    """The model by its own path: one row, one forward pass, neither cache nor padding."""

    model: Any

    @torch.no_grad()
    def of(self, **inputs: Tensor) -> Tensor:
        """Log-probabilities [positions, vocabulary] behind each position of one row."""
        logits = self.model(**inputs, use_cache=False).logits
        return torch.log_softmax(logits[0].float(), -1)

    def of_ids(self, ids: Sequence[int]) -> Tensor:
        """The same, of token ids."""
        return self.of(input_ids=torch.tensor([ids]))

    @torch.no_grad()
    def of_vectors(self, before: Sequence[int], vectors: Tensor, after: Sequence[int]) -> Tensor:
        """The same, of vectors between token ids."""
        embed = self.model.get_input_embeddings()
        parts = [embed(torch.tensor(before)), vectors, embed(torch.tensor(after))]
        return self.of(inputs_embeds=torch.cat(parts)[None])

    @torch.no_grad()
    def says(self, ids: Sequence[int]) -> list[int]:
        """What `generate` adds, the most probable token each time, without the end token."""
        row = torch.tensor([ids])
        made = self.model.generate(
            row, attention_mask=torch.ones_like(row), max_new_tokens=SAID, do_sample=False
        )
        new: list[int] = made[0, len(ids) :].tolist()
        return new[: new.index(0)] if 0 in new else new


def deviations(receiver: Receiver, alone: Alone, batch: Sequence[Prompt]) -> dict[str, float]:
    """How far each way of reading is from the model alone, in nats.

    Returns:
        `ids`, `vectors` and `noise`: with the messages as tokens, as their own embeddings, and
        with vectors that are no token's; `training`: as a codec's training reads them; `greedy`:
        how far what is said falls short of the most probable, where `generate` says other tokens.
    """
    own = [receiver.embed(prompt.message) for prompt in batch]
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(rows.shape, generator=generator) * rows.std() for rows in own]
    context = read_context(receiver, [prompt.before for prompt in batch])
    afters, options = [p.after for p in batch], [p.options for p in batch]

    def of_ids(i: int, more: Sequence[int]) -> Tensor:
        return alone.of_ids([*batch[i].ids, *more])

    def of_noise(i: int, more: Sequence[int]) -> Tensor:
        return alone.of_vectors(batch[i].before, noise[i], [*batch[i].after, *more])

    def worst(reading: Reading, truth: Callable[[int, Sequence[int]], Tensor]) -> float:
        ends = torch.log_softmax(reading.logits, -1)
        far = [ends[i] - truth(i, ())[-1] for i in range(len(batch))]
        for i, scores in enumerate(reading.option_scores(options)):
            for score, option in zip(scores, options[i], strict=True):
                steps = truth(i, option[:-1])[-len(option) :]
                far.append(score - steps[range(len(option)), option].sum()[None])
        return float(torch.cat(far).abs().nan_to_num(math.inf).max())

    by_ids = context.read([Slot(tuple(p.message)) for p in batch], afters, options)
    by_vectors = context.read([Slot(vectors=rows) for rows in own], afters, options)
    by_noise = context.read([Slot(vectors=rows) for rows in noise], afters, options)
    keep = min(map(len, afters))
    trained = context.continuation_logits([Slot(vectors=rows) for rows in noise], afters, keep)
    trained_far = [
        torch.log_softmax(logits, -1) - of_noise(i, ())[-keep:] for i, logits in enumerate(trained)
    ]
    short = [0.0]
    for prompt, said in zip(batch, by_ids.continuations(SAID), strict=True):
        if said != alone.says(prompt.ids):
            steps = alone.of_ids([*prompt.ids, *said])[len(prompt.ids) - 1 : -1]
            short.append(float((steps.amax(-1) - steps[range(len(said)), said]).sum()))
    return {
        "ids": worst(by_ids, of_ids),
        "vectors": worst(by_vectors, of_ids),
        "noise": worst(by_noise, of_noise),
        "training": float(torch.stack(trained_far).abs().nan_to_num(math.inf).max()),
        "greedy": max(short),
    }


def felt(alone: Alone, ids: Sequence[int]) -> float:
    """How far the log-probabilities at a prompt's end move when two tokens before it swap."""
    other = [*ids]
    other[-9], other[-12] = other[-12], other[-9]
    return float((alone.of_ids(ids)[-1] - alone.of_ids(other)[-1]).abs().max())


def measured(name: str, folder: str) -> Row:
    """Build, load and read an architecture; RequestError where it is refused."""
    batch = prompts()
    save(name, Path(folder))
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    alone = Alone(model.train(False))
    moved = min(felt(alone, prompt.ids) for prompt in batch)
    if moved < 20 * TOLERANCE:
        return Row(name, "blind", felt=moved, line="its weights make nothing of the prompt")
    receiver = load_receiver(folder, "cpu", "float32")
    prove_upto(receiver, max(len(prompt.ids) for prompt in batch) + SAID)
    found = deviations(receiver, alone, batch)
    worst = max(found, key=lambda what: found[what])
    features = ", ".join(map(str, receiver.proof.features))
    if found[worst] > TOLERANCE:
        return Row(name, "deviates", found[worst], moved, features, worst)
    read = PLAIN if receiver.proof.plain else EXACT
    return Row(name, read, found[worst], moved, features, receiver.proof.batched)


def row_of(name: str) -> Row:
    """What comes of an architecture, whatever it is."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return measured(name, folder)
        except RequestError as error:
            said = str(error).removeprefix(f"receiver {folder}")
            return Row(name, REFUSED, line=said.lstrip(": "))
        except Exception as error:
            # the row of an architecture that ends in a traceback
            place = traceback.extract_tb(error.__traceback__)[-1]
            line = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {error}"
            return Row(name, "raises", line=line.splitlines()[0])


def page(rows: Sequence[Row]) -> str:
    """The page with the table."""
    counts = Counter(row.read for row in rows)
    told = "; ".join(f"{read.capitalize()}: {counts[read]}" for read in SOUND)
    largest = max((row.deviation for row in rows if row.read != REFUSED), default=0.0)
    lines = [" | ".join(row.cells()) for row in rows]
    return PAGE_TEXT.format(
        rows=len(rows),
        told=told,
        largest=f"{largest:.1e}",
        tolerance=f"{TOLERANCE:.0e}",
        torch=torch.__version__.split("+")[0],
        transformers=transformers.__version__,
        table="\n".join(f"| {line} |" for line in lines),
    )


def main() -> None:
    """Measure the architectures named, or all; write the page if every one is sound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of ARCHITECTURES; default: all")
    parser.add_argument("--write", action="store_true", help="the table into its page")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()
    rows = []
    for name in options.names or ARCHITECTURES:
        rows.append(row_of(name))
        row = rows[-1]
        print(
            f"{name:32} {row.read:18} {row.deviation:8.1e} {row.felt:8.4f} {row.line}", flush=True
        )
    if unsound := [row.name for row in rows if row.read not in SOUND]:
        raise SystemExit(f"neither exact nor refused: {', '.join(unsound)}")
    if options.write:
        PAGE.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()

"""lpca's evaluation against a loop that generates for each episode and condition on its own.

Run `python benchmarks/naive.py [--dtype bfloat16]`. The loop is what one writes first: the prompt's
embeddings with the message or the latents in them, `model.generate`, and a look at what was said.
It scores no options; lpca does that as well, and keeps what B was given. Seven conditions each.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from measured import interleaved, publish, receiver_parser, waiting

from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.channel import Channel
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.evaluate import evaluate
from lpca.evaluation.outcome import Outcome
from lpca.judge.successes import named_option
from lpca.receivers.forward import Slot
from lpca.receivers.load import load_receiver
from lpca.tasks import Episode
from lpca.tasks.kinds.trip import Trip

CONDITIONS = ("p0", "p1", "embed", "normal", "null", "random", "shuffle")
FEW, MANY, K, BATCH = 8, 96, 4, 32
"""Episodes of the loop, which takes as long for each, and of lpca, which takes them together."""


def main() -> None:
    given = receiver_parser(__doc__, repeats=3, dtype="float32").parse_args()
    receiver = load_receiver(given.receiver, given.device, given.dtype)
    wait = waiting(str(receiver.device))
    episodes = Trip().evaluation_set("validation", "seen", MANY, seed=1)
    channel = Channel(receiver, TokenPooler(receiver, K), K)
    whole = Setting(receiver, channel, episodes)
    few = Setting(receiver, channel, episodes.part(0, FEW))
    said: dict[str, list[int | None]] = {}
    records: dict[str, tuple[Outcome, ...]] = {}
    with tempfile.TemporaryDirectory() as folder:
        places = (Path(folder) / str(i) for i in range(100))
        works = {
            "loop": lambda: said.update(loop(few)),
            "lpca": lambda: records.update(
                evaluate(whole, CONDITIONS, next(places), BATCH).outcomes
            ),
        }
        seconds = interleaved(works, given.repeats, wait=wait)
    rates = {
        "loop": seconds["loop"].rate(FEW * len(CONDITIONS)),
        "lpca": seconds["lpca"].rate(MANY * len(CONDITIONS)),
    }
    same = sum(
        one == record.named
        for condition in CONDITIONS
        for one, record in zip(said[condition], records[condition][:FEW], strict=True)
    )
    row = {
        "lpca outcomes/s": rates["lpca"],
        "loop outcomes/s": rates["loop"],
        "lpca / loop": rates["lpca"].per(rates["loop"]),
        "same option named": f"{same} of {FEW * len(CONDITIONS)}",
    }
    settings = {"receiver": receiver.name, "dtype": given.dtype, "k": K}
    publish("naive", [row], given.out, settings, str(receiver.device))


def loop(setting: Setting) -> Mapping[str, list[int | None]]:
    """Which option was named, by condition and episode."""
    found = {}
    for condition in CONDITIONS:
        slots = build_slots(condition, setting)
        found[condition] = [
            generated(setting, episode, slot)
            for episode, slot in zip(setting.episodes, slots, strict=True)
        ]
    return found


@torch.no_grad()
def generated(setting: Setting, episode: Episode, slot: Slot) -> int | None:
    receiver = setting.receiver
    prompt = torch.cat(
        [
            receiver.embed(receiver.prompt_start_ids(episode.before)),
            receiver.embed(slot.ids) if slot.vectors is None else slot.vectors,
            receiver.embed(receiver.segment_ids(episode.after)),
        ]
    ).to(receiver.device, receiver.dtype)
    ids = receiver.model.generate(
        inputs_embeds=prompt[None],
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long, device=receiver.device),
        max_new_tokens=_limit(setting, episode.options),
        do_sample=False,
        pad_token_id=receiver.pad_id,
    )[0].tolist()
    kept = [token for token in ids if token not in receiver.end_ids]
    return named_option(receiver.text(kept), episode.options)[0]


def _limit(setting: Setting, options: Sequence[str]) -> int:
    return 1 + max(len(setting.receiver.option_ids(option)) for option in options)


if __name__ == "__main__":
    main()

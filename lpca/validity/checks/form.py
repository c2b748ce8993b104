"""Can the answer be guessed from the form of B's prompt, without reading it?

Each guesser sees one trait: the length of the text, the order of the options, a mark beside one of
them. On one half of the episodes it learns what the trait goes with, on the other it guesses; then
the halves change places. It is right by luck as often as options allow, and no oftener.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

from lpca.base.hashing import named_rng
from lpca.tasks import Episode, Task
from lpca.validity.catalogue import CHECKS, CheckFailed, check
from lpca.validity.checks.giveaways import hidden_option

if TYPE_CHECKING:
    from lpca.validity.audit import Audit

LEAST_PROBABILITY = 1e-7
"""Down to which hits are taken for luck: eighteen guessers in each of thousands of runs accuse none
that is sound."""

Outside = tuple[str, ...]


@CHECKS.register("form_gives_no_answer")
@check(
    "the form of B's prompt does not give the answer away",
    place=60,
    after=("no_answer_outside_options",),
)
def form_gives_no_answer(audit: Audit) -> str:
    """No guesser that sees one trait of B's prompts beats luck.

    Reads the prompts of all declared episodes. Catches an answer that goes with the prompt's
    length, the options' order, or a mark beside one of them. Tolerance: `LEAST_PROBABILITY`.
    """
    return no_form_tells(audit.task, audit.setting.episodes.whole.episodes)


def no_form_tells(task: Task, episodes: Sequence[Episode]) -> str:
    """Return how many guessers were tried on episodes; CheckFailed where one beats luck."""
    outsides = [task.outside(episode) for episode in episodes]
    for name, trait in _PROMPT_TRAITS.items():
        seen = [trait(e, outside) for e, outside in zip(episodes, outsides, strict=True)]
        _judge(f"from {name}", _hits_by_place(episodes, seen), episodes)
    for name, option_trait in _OPTION_TRAITS.items():
        marks = [
            [option_trait(e, outside, i) for i in range(len(e.options))]
            for e, outside in zip(episodes, outsides, strict=True)
        ]
        _judge(f"from an option's {name}", _hits_by_option(episodes, marks), episodes)
    count = len(_PROMPT_TRAITS) + len(_OPTION_TRAITS)
    return f"{len(episodes)} prompts: none of {count} guessers that see their form beats luck"


def _judge(how: str, hits: int, episodes: Sequence[Episode]) -> None:
    n = len(episodes)
    luck = _luck(episodes)
    if is_beyond_luck(hits, n, luck):
        raise CheckFailed(
            f"the answer can be guessed {how}: {hits} of {n}, by luck about {luck * n:.0f}"
        )


def is_beyond_luck(hits: int, n: int, luck: float) -> bool:
    """Whether so many hits in n guesses are not to be had at that rate of luck."""
    # not scipy.stats: loading it takes longer than all of this check
    from scipy.special import bdtrc

    return luck < 1.0 and float(bdtrc(hits - 1, n, luck)) < LEAST_PROBABILITY


def _luck(episodes: Sequence[Episode]) -> float:
    """The share of episodes that one guess for all gets right: a place, an answer, or any option.

    That most answers are yes is in no prompt; no condition gains on another by it.
    """
    places = Counter(episode.answer for episode in episodes)
    answers = Counter(episode.right for episode in episodes)
    most = max(*places.values(), *answers.values()) / len(episodes)
    return max(most, 1 / min(len(e.options) for e in episodes))


def _halves(count: int) -> list[list[int]]:
    order = list(range(count))
    named_rng("guessers", count).shuffle(order)
    return [order[: count // 2], order[count // 2 :]]


def _hits_by_place(episodes: Sequence[Episode], seen: Sequence[Hashable]) -> int:
    """How often the place that went with a trait in the one half is right in the other."""
    halves, hits = _halves(len(episodes)), 0
    for learned, guessed in (halves, halves[::-1]):
        places: dict[Hashable, Counter[int]] = defaultdict(Counter)
        for i in learned:
            places[seen[i]][episodes[i].answer] += 1
        for i in guessed:
            if places[seen[i]]:
                hits += places[seen[i]].most_common(1)[0][0] == episodes[i].answer
            else:
                hits += i % len(episodes[i].options) == episodes[i].answer
    return hits


def _hits_by_option(episodes: Sequence[Episode], marks: Sequence[Sequence[Hashable]]) -> int:
    """How often the option whose trait was most often right in the one half is so in the other."""
    halves, hits = _halves(len(episodes)), 0
    rng = named_rng("guessers", "ties", len(episodes))
    for learned, guessed in (halves, halves[::-1]):
        right: Counter[Hashable] = Counter(marks[i][episodes[i].answer] for i in learned)
        met: Counter[Hashable] = Counter(mark for i in learned for mark in marks[i])
        for i in guessed:
            rates = [(right[mark] + 0.5) / (met[mark] + 2.0) for mark in marks[i]]
            best = [j for j, rate in enumerate(rates) if rate == max(rates)]
            hits += rng.choice(best) == episodes[i].answer
    return hits


def _length(episode: Episode) -> int:
    return sum(map(len, episode.context))


def _ranks(values: Sequence[str] | Sequence[int]) -> tuple[int, ...]:
    order = sorted(set(values))  # type: ignore[type-var]
    return tuple(order.index(value) for value in values)


def _skeleton(episode: Episode) -> str:
    """The whole text before the last slot, each option's letters taken out."""
    text = "".join(episode.context[:-1])
    for option in sorted(episode.options, key=len, reverse=True):
        text = text.replace(option, "")
    return text


def _neighbours(episode: Episode, index: int) -> tuple[str, str]:
    """The two characters before and after an option in B's prompt."""
    start = episode.before.find(episode.options[index])
    if start < 0:
        return "", ""
    stop = start + len(episode.options[index])
    # the last option has the list's end beside it wherever it stands.
    return episode.before[max(0, start - 2) : start], episode.before[stop : stop + 2]


_PROMPT_TRAITS: Mapping[str, Callable[[Episode, Outside], Hashable]] = {
    "the text around the options": lambda e, outside: outside,
    "that text's length": lambda e, outside: sum(map(len, outside)),
    "the number of its words": lambda e, outside: len(" ".join(outside).split()),
    "the prompt's length": lambda e, outside: _length(e),
    "the remainder of the prompt's length": lambda e, outside: _length(e) % len(e.options),
    "the slot's place": lambda e, outside: (len(e.before) % len(e.options), e.order),
    "the marks between the options": lambda e, outside: _skeleton(e),
    "the options' alphabetical order": lambda e, outside: _ranks(e.options),
    "which option is first by the alphabet": lambda e, outside: _ranks(e.options).index(0),
    "which is last by the alphabet": lambda e, outside: e.options.index(max(e.options)),
    "the order of the options' lengths": lambda e, outside: _ranks([len(o) for o in e.options]),
}
_OPTION_TRAITS: Mapping[str, Callable[[Episode, Outside, int], Hashable]] = {
    "place in the alphabet": lambda e, outside, i: _ranks(e.options)[i],
    "length": lambda e, outside, i: len(e.options[i]),
    "rank by length": lambda e, outside, i: _ranks([len(o) for o in e.options])[i],
    "marks beside it": lambda e, outside, i: _neighbours(e, i),
    "capitals": lambda e, outside, i: tuple(c.isupper() for c in e.options[i][:3]),
    "number of times in the prompt": lambda e, outside, i: "".join(e.context).count(e.options[i]),
    "presence in disguise": lambda e, outside, i: bool(
        hidden_option(" ".join(outside), e.options[i : i + 1])
    ),
}

"""Wrong options for rows that name none: answers of other rows, of the same kind.

Rows are put in pairs, each of which has the other's answer among its options, so that each can be
the other's donor whatever n is drawn. What else it gets are answers of the same kind, each as
likely as rows have it. Both are as right elsewhere as they are wrong here, so that nothing in an
option's form tells which one is right.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lpca.base.hashing import named_rng
from lpca.tasks import SPLITS, balanced_places, message_key, split_by_hash
from lpca.tasks.fields import Row, clash
from lpca.tasks.passages import kind_of
from lpca.tasks.rows import stands_in

FEWEST = 8
"""Rows of one kind in a split from which on they are among themselves."""
LOOKED_AT = 400
"""Rows that are looked at for a partner, and answers for an option."""
OPPOSITES: Mapping[str, str] = {"yes": "no", "no": "yes", "true": "false", "false": "true"}
_SMALL_WORD = re.compile("an?|and|at|by|de|for|in|la|of|on|or|the|to|von|with")


def fine_kind(answer: str) -> str:
    """Say what kind of answer a text is, so that another of that kind could stand in its place.

    Example:
        >>> [fine_kind(text) for text in ("Yes", "1969", "12 %", "23 years", "Marie Curie")]
        ['yes or no', 'year', 'percentage', 'number with words', 'name of 2 words']
        >>> fine_kind("the law of the sea")
        'phrase of 2 words'
    """
    plain, kind = answer.strip().strip(".").casefold(), kind_of(answer.strip())
    words = re.findall(r"[^\W_]+(?:['’.-][^\W_]+)*", answer)
    if plain in OPPOSITES:
        return "yes or no"
    if kind == "number":
        if re.search(r"\d\s*(?:%|per ?cent)", plain):
            return "percentage"
        if re.search(r"[$€£¥]\s?\d|\b(?:dollars|euros?|pounds)\b", plain):
            return "amount of money"
        return "number with words" if len(words) > 1 else "number"
    if kind not in ("name", "word", "phrase"):
        return kind
    size = sum(not _SMALL_WORD.fullmatch(word.casefold()) for word in words) or len(words)
    form = "name" if kind == "name" else "phrase"
    return f"{form} of {size} word{'s' * (size != 1)}" if size < 4 else f"longer {form}"


def with_options(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """Give rows that name no options some, each among answers of its own split.

    Args:
        rows: all of a table's; those that name options or distractors keep theirs.
        count: how many options a row gets; of yes and no there are two.
        seed: by which they are drawn.

    Returns:
        The rows in their order, without those that no others can be told from.
    """
    found: dict[int, Row] = {row.line: row for row in rows if row.options or row.distractors}
    for split in SPLITS:
        own = [row for row in rows if row.line not in found and split_by_hash(row.group) == split]
        rng = named_rng("distractors", split, seed, count)
        found |= {row.line: row for row in _of_split(own, count, rng)}
    return [found[row.line] for row in rows if row.line in found]


def _of_split(rows: Sequence[Row], count: int, rng: random.Random) -> list[Row]:
    order = rng.sample(rows, len(rows))
    kinds = _kinds(order)
    pairs, left = list[tuple[Row, Row]](), list[Row]()
    for kind in sorted(kinds):
        paired, alone = _paired(kinds[kind])
        pairs += paired
        left += alone
    # those of rare kinds, next to what is most like them
    paired, _ = _paired(sorted(left, key=lambda row: (fine_kind(row.answer), len(row.answer))))
    pairs += paired
    partners = [(own, other) for pair in pairs for own, other in (pair, pair[::-1])]
    places = balanced_places(len(partners), count, rng)
    pool = [row.answer for row in order]
    made = []
    for (row, partner), place in zip(partners, places, strict=True):
        if opposite := OPPOSITES.get(row.answer.strip(".").casefold()):
            told = partner.answer if partner.answer.casefold() == opposite else None
            if told:
                # always in one order, as a question would name them
                both = sorted((row.answer, told), key=str.casefold, reverse=True)
                made.append(replace(row, options=tuple(both)))
                continue
        same = [one.answer for one in kinds.get(fine_kind(row.answer), ())]
        wrong = _drawn(row, partner.answer, same, pool, count - 1, rng)
        if len(wrong) == count - 1:
            rng.shuffle(wrong)
            made.append(replace(row, options=(*wrong[:place], row.answer, *wrong[place:])))
    return made


def _kinds(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by the kind of their answers; a kind of few is put to the others of its form."""
    counts = Counter(fine_kind(row.answer) for row in rows)
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        kind = fine_kind(row.answer)
        rare = counts[kind] < FEWEST
        found[("other " + re.split(" of | with ", kind)[0]) if rare else kind].append(row)
    return found


def _paired(rows: Sequence[Row]) -> tuple[list[tuple[Row, Row]], list[Row]]:
    """Rows two by two, each of which contradicts the other; and those that are left."""
    waiting, pairs, left = list(rows), list[tuple[Row, Row]](), list[Row]()
    while waiting:
        row = waiting.pop(0)
        for place, other in enumerate(waiting[:LOOKED_AT]):
            if message_key(row.message) == message_key(other.message):
                continue
            if _fits(other.answer, row, ()) and _fits(row.answer, other, ()):
                pairs.append((row, waiting.pop(place)))
                break
        else:
            left.append(row)
    return pairs, left


def _fits(answer: str, row: Row, beside: Sequence[str]) -> bool:
    """Whether an answer can be a wrong option of a row beside others."""
    if stands_in(answer, "".join(row.context)):
        return False
    right = (row.answer, *row.also, *beside)
    return not any(
        clash(answer, one) or stands_in(answer, one) or stands_in(one, answer) for one in right
    )


def _drawn(
    row: Row,
    first: str,
    same: Sequence[str],
    others: Sequence[str],
    count: int,
    rng: random.Random,
) -> list[str]:
    """Wrong options, of which one is given: of the same kind as far as there are any."""
    wrong = [first]
    for pool in (same, others):
        for answer in rng.sample(pool, min(len(pool), LOOKED_AT)):
            if len(wrong) == count:
                return wrong
            if _fits(answer, row, wrong):
                wrong.append(answer)
    return wrong

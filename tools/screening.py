"""Where does communication matter? Choosing episodes by an outcome, without being fooled by it.

An episode whose null run failed once fails less often the next time (regression to the mean), so
a difference to that very run is above zero for every condition, a random prefix too. Choose on
one run and read both sides of the difference from other runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lpca.stats.tables import PairedTable


@dataclass(frozen=True)
class Screened:
    """One difference, condition minus baseline, on three sets of the same episodes.

    `whole` reads every episode. `naive` reads those whose baseline failed, against that same
    baseline: never below 0, whatever the condition is; kept to show the fault, never to claim.
    `screened` reads those whose screening run failed, against the untouched baseline. The last
    two are None where no episode was chosen.
    """

    whole: PairedTable
    naive: PairedTable | None
    screened: PairedTable | None


def screen(
    condition: Sequence[bool], baseline: Sequence[bool], screening: Sequence[bool]
) -> Screened:
    """The three tables of one difference, from the successes of the same episodes in three runs.

    The bias is regression to the mean: Barnett, van der Pols and Dobson (2005), Int. J. Epidemiol.
    34:215.

    Args:
        condition: success by episode.
        baseline: that of the untouched baseline; entry i is the same episode.
        screening: that of a run of the baseline whose noise (sampling seed, order of options,
            wording) is drawn independently of the two others; else `screened` is biased as
            `naive` is.

    Returns:
        The tables.

    Raises:
        ValueError: no episodes, or unequal lengths.

    Example:
        >>> screen([True, True, False], [False, True, False], [False, True, True]).screened
        PairedTable(a=0, b=1, c=0, d=0)
    """
    if not condition or not len(condition) == len(baseline) == len(screening):
        sizes = f"{len(condition)}, {len(baseline)} and {len(screening)}"
        raise ValueError(f"needs the same episodes in each run, at least one; got {sizes}")
    return Screened(
        whole=PairedTable.from_outcomes(condition, baseline),
        naive=_where_failed(baseline, condition, baseline),
        screened=_where_failed(screening, condition, baseline),
    )


def _where_failed(
    screening: Sequence[bool], condition: Sequence[bool], baseline: Sequence[bool]
) -> PairedTable | None:
    chosen = [index for index, success in enumerate(screening) if not success]
    if not chosen:
        return None
    return PairedTable.from_outcomes([condition[i] for i in chosen], [baseline[i] for i in chosen])

"""Episodes that share something count for less than as many independent ones: how much less.

A score test of independent episodes has z = excess / sqrt(variance), the variance that of the best
fit *at the tested margin*. Where episodes come in groups its variance is larger by the design
effect 1 + rho A / n, with A the number of ordered pairs of episodes in one group and rho the
correlation within them (Kish 1965; for score methods Durkalski and others 2003, Stat. Med. 22:2417,
Yang, Sun and Hardin 2010, Stat. Med. 29:2931). So z becomes z / sqrt(design effect), and is held
against Student's t with as many degrees of freedom as there are groups less one, fewer where a few
large groups hold most of the variance (`Clusters.freedom`).

rho too is estimated at the tested margin: as the one that makes the outcomes most likely, with the
restricted fit as their mean, under either of two models. In `urn` each group has rates of its own
(Dirichlet-multinomial); in `copy` each episode copies its group's one draw with probability
sqrt(rho), so that a few groups may lose nearly all that is lost. A robust variance (CR2) of
outcomes that hardly vary says that they do not vary; the restricted likelihood says what the
hypothesis would need: where no group ever lost, a loss rate of ten per cent is credible only if
whole groups lose together, so rho is 1 and 36 groups without a loss are the fewest that can speak.
Where losses are seen one by one in many groups that is not credible, and rho is near 0.

`docs/statistics.md` has the simulations that this rests on, and the truths that it cannot see.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.intp]

RHO = (0.0, *np.geomspace(0.002, 0.5, 14).tolist(), 0.6, 0.7, 0.8, 0.9, 0.97, 1.0 - 1e-9)
"""The correlations within groups among which that of an urn is looked for."""
COPIED = (0.01, 0.03, 0.06, 0.1, 0.15, 0.22, 0.3, 0.4, 0.51, 0.62, 0.75, 0.88)
"""Those among which that of copies is; the ends are the urn's."""
AT_ONCE = 64
"""Tables whose likelihoods are computed together: more would not fit a processor's cache."""
STEPS = 60
"""Halvings of the interval that holds a multiplier: to the last bit of a double."""


def codes_of(labels: Sequence[Hashable]) -> Codes:
    """Number labels by their first appearance."""
    found: dict[Hashable, int] = {}
    return np.array([found.setdefault(label, len(found)) for label in labels], dtype=np.intp)


@dataclass(frozen=True)
class Clusters:
    """Which episodes are no independent evidence of one another.

    Args:
        own: by episode the number of its group, from 0 without a gap.
        donor: by episode the number that the group of its donor has, or a number of its own where
            that group is none of these; None where a claim reads no donor's message.

    Example:
        >>> Clusters(codes_of(["lima", "lima", "oslo"])).groups
        2
    """

    own: Codes
    donor: Codes | None = None

    @property
    def n(self) -> int:
        """Number of episodes."""
        return len(self.own)

    @cached_property
    def groups(self) -> int:
        """Number of groups."""
        return int(self.own.max()) + 1

    @cached_property
    def sizes(self) -> Codes:
        """By group the number of its episodes."""
        return np.bincount(self.own)

    @cached_property
    def own_pairs(self) -> float:
        """Ordered pairs of episodes that share a group."""
        return _pairs(self.own)

    @cached_property
    def are_single(self) -> bool:
        """Whether every episode is a group of its own and no donor's message is read."""
        return self.groups == self.n and self.donor is None

    def freedom(self, effect: Array) -> Array:
        """Degrees of freedom of the variance: infinite where no two episodes share anything.

        As many as there are groups less one. Where one group holds most of the variance, whether it
        succeeds decides all, and many groups of one beside it are no evidence that it would again:
        then the square of Satterthwaite's number, which is less than 1 beside a giant and never
        fewer than there are groups less one where all are equal. (That number by itself would cost
        up to a quarter of the power of 30 groups of 1 to 40; the square costs none there.)

        Args:
            effect: the design effects, from which the variance of a group's sum follows.

        Returns:
            As many.
        """
        shared = [self.own] if self.groups < self.n else []
        if self.donor is not None and len(np.unique(self.donor)) < self.n:
            shared.append(self.donor)
        found = np.full(np.shape(effect), np.inf)
        pairs = sum(map(_pairs, shared))
        for codes in shared:
            sizes = np.bincount(codes).astype(float)
            sizes = sizes[sizes > 0.0]
            rho = np.clip((effect - 1.0) * self.n / pairs, 0.0, 1.0)
            variances = sizes * (1.0 + (sizes - 1.0) * rho[..., None])
            number = variances.sum(axis=-1) ** 2 / (variances * variances).sum(axis=-1) - 1.0
            # a sum of as many equal variances is not exact
            found = np.minimum(found, np.minimum(len(sizes) - 1.0, number * number + 1e-9))
        return found

    def head(self, n: int) -> Clusters:
        """Those of the first n episodes."""
        own, donor = self.own[:n], None if self.donor is None else self.donor[:n]
        return Clusters(own, donor)


def restricted_fit(values: Array, counts: Array, margin: Array) -> Array:
    """Probabilities of the values that fit the counts best among those whose mean is the margin.

    p_v = k_v / (n (1 + m (v - margin))); what is left of 1 falls on the extreme value on the
    margin's far side, where none was observed. Lang (2008), Stat. Med. 27:5975; on {-1, 0, 1} it
    is Tango's fit.

    Args:
        values: [tables, K] the values possible, or [K].
        counts: [tables, K] how often each occurred.
        margin: [tables] the mean, within the range of the values.

    Returns:
        [tables, K].
    """
    away = np.broadcast_to(values, counts.shape) - margin[:, None]
    n = counts.sum(axis=1)
    sign = np.where((counts * away).sum(axis=1) >= 0.0, 1.0, -1.0)
    away = away * sign[:, None]
    least = away.min(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        high = np.where(least < 0.0, -1.0 / least, 0.0)
        low, end = np.zeros_like(high), high
        for _ in range(STEPS):
            middle = 0.5 * (low + high)
            weight = 1.0 + middle[:, None] * away
            slope = np.where(counts > 0, counts * away / weight, 0.0).sum(axis=1)
            rising = slope > 0.0
            low, high = np.where(rising, middle, low), np.where(rising, high, middle)
        multiplier = np.where(rising & (high == end), end, low)
        weight = 1.0 + multiplier[:, None] * away
        fit = np.where((counts > 0) & (weight > 0.0), counts / (n[:, None] * weight), 0.0)
    place = away.argmin(axis=1)[:, None]
    rest = np.maximum(1.0 - fit.sum(axis=1, keepdims=True), 0.0)
    np.put_along_axis(fit, place, np.take_along_axis(fit, place, axis=1) + rest, axis=1)
    return fit


def scores(values: Array, counts: Array, margin: Array) -> Array:
    """The score of each table's mean against its margin, episodes being independent.

    Its square is Pearson's statistic against the restricted fit: on {-1, 0, 1} Tango's score, on
    {0, 1} Wilson's, on {-r, 0, 1 - r, 1} at margin 0 Nam and Blackwelder's, in general that of
    `lpca.stats.gain`. Lang (2008), Stat. Med. 27:5975.

    Args:
        values: as of `restricted_fit`, like the other two.
        counts: [tables, K].
        margin: [tables].

    Returns:
        [tables], positive where the mean is above the margin.
    """
    n = counts.sum(axis=1, keepdims=True)
    expected = n * restricted_fit(values, counts, margin)
    apart = counts - expected
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = np.where(apart == 0.0, 0.0, apart * apart / expected).sum(axis=1)
    excess = (counts * (values - margin[:, None])).sum(axis=1)
    found: Array = np.sign(excess) * np.sqrt(squares)
    return found


class Tally:
    """How often each value occurred in each group, of one table or of many over the same groups.

    Args:
        kinds: [tables, n] by episode which of the K values it took.
        k: how many values there are.
        clusters: the groups, the same in all tables.

    Example:
        >>> clusters = Clusters(codes_of([0] * 10 + [1] * 10))
        >>> lost = np.array([[0] * 10 + [1] * 10])
        >>> Tally(lost, 2, clusters).design_effect(np.array([0.0, 1.0]), np.array([0.5])).round(3)
        array([10.])
    """

    def __init__(self, kinds: Codes, k: int, clusters: Clusters) -> None:
        self.n = clusters.n
        self.own = _counts(kinds, k, clusters.own, clusters.groups)
        self.total = self.own.sum(axis=1)
        self.donor = self.same = None
        self.own_pairs, self.donor_pairs = clusters.own_pairs, 0.0
        self._reached = [_reached(self.own)] if self.own_pairs else []
        if clusters.donor is not None:
            groups = int(max(clusters.own.max(), clusters.donor.max())) + 1
            self.donor = _counts(kinds, k, clusters.donor, groups)
            apart = clusters.own != clusters.donor
            self.same = np.stack([((kinds == kind) & ~apart).sum(axis=1) for kind in range(k)], 1)
            joint = codes_of(list(zip(clusters.own.tolist(), clusters.donor.tolist(), strict=True)))
            # what shares both groups counts with its own already
            self.donor_pairs = _pairs(clusters.donor) - _pairs(joint)
            if self.donor_pairs:
                self._reached.append(_reached(self.donor))

    def design_effect(self, values: Array, margin: Array) -> Array:
        """How much larger the variance of the mean is than that of independent episodes.

        Where the clusters name donors, episodes whose donors share a group depend on one another
        too, and an episode on those that have its group as their donor's.

        Args:
            values: [tables, K] or [K] the values possible; of one table also [margins, K].
            margin: [tables] the mean under the hypothesis; of one table any number of them.

        Returns:
            [tables] (or [margins]), each at least 1.
        """
        errors, square, fit = self._fitted(values, margin)
        effect = np.ones(len(margin))
        reached = iter(self._reached)
        if self.own_pairs:
            share = self._share(self.own, next(reached), errors, square, fit)
            effect += share * self.own_pairs / self.n
        if self.donor is None:
            return effect
        if self.donor_pairs:
            share = self._share(self.donor, next(reached), errors, square, fit)
            effect += share * self.donor_pairs / self.n
        return effect + self._across(errors, square)

    def correlation(self, values: Array, margin: Array) -> Array:
        """The correlation of values within groups that goes into `design_effect`, by table."""
        if not self.own_pairs:
            return np.zeros(len(margin))
        return self._share(self.own, self._reached[0], *self._fitted(values, margin))

    def _fitted(self, values: Array, margin: Array) -> tuple[Array, Array, Array]:
        """By table the values less the mean, the sum of squares, and the restricted fit."""
        table = np.broadcast_to(values, (len(margin), values.shape[-1]))
        total = np.broadcast_to(self.total, table.shape).astype(float)
        errors = table - (total * table).sum(axis=1, keepdims=True) / self.n
        square = (total * errors * errors).sum(axis=1)
        return errors, square, restricted_fit(table, total, margin)

    def _share(
        self, counts: Codes, reached: Array, errors: Array, square: Array, fit: Array
    ) -> Array:
        """The correlation within groups: the larger of the likeliest one and the moments'."""
        sizes = counts[0].sum(axis=1).astype(float)
        moments = _moments(_weighed(counts, errors), square, sizes)
        found: Array = np.maximum(moments, _likeliest(counts, reached, sizes, fit))
        return found

    def _across(self, errors: Array, square: Array) -> Array:
        """What episodes that have one another's groups as donors add."""
        assert self.donor is not None
        assert self.same is not None
        groups = self.own.shape[1]
        own, donors = (_weighed(x, errors) for x in (self.own, self.donor[:, :groups]))
        return _crossed(own, donors, (self.same * errors * errors).sum(axis=1), square)


def effect_of_marks(values: Array, margin: float, z: float, clusters: Clusters) -> float:
    """The design effect of values that are no few kinds, such as marks.

    So much that the score is no larger than that of group sums about the margin,
    sum / sqrt(sum of squares), which few groups can never make large. What donors add to the
    variance of group sums is estimated by the moments.

    Args:
        values: one per episode.
        margin: their mean under the hypothesis.
        z: the score of as many independent ones.
        clusters: the groups.

    Returns:
        The effect, at least 1.
    """
    sums = np.bincount(clusters.own, values - margin)
    total, spread = float(sums.sum()), float((sums * sums).sum())
    if clusters.donor is not None:
        errors = values - values.mean()
        square = (errors * errors).sum()
        own = 1.0 + _moments_of(errors, clusters.own) * clusters.own_pairs / clusters.n
        added = _moments_of(errors, clusters.donor) * _pairs(clusters.donor) / clusters.n
        most = int(max(clusters.own.max(), clusters.donor.max())) + 1
        mine, theirs = (_sums(x, errors, most) for x in (clusters.own, clusters.donor))
        same = errors[clusters.own == clusters.donor]
        added += float(_crossed(mine, theirs, (same * same).sum(), square))
        spread *= (own + added) / own
    return max(1.0, z * z * spread / (total * total)) if total else 1.0


def correlation_of_marks(values: Array, clusters: Clusters) -> float:
    """The correlation of such values within groups, by the moments, in [0, 1]."""
    return _moments_of(values - values.mean(), clusters.own)


def _moments_of(errors: Array, codes: Codes) -> float:
    """As `_moments`, of one table whose values are no few kinds; 0 where no two share a group."""
    sizes = np.bincount(codes).astype(float)
    if sizes.max() < 2.0:
        return 0.0
    return float(_moments(_sums(codes, errors), (errors * errors).sum(), sizes))


def _sums(codes: Codes, errors: Array, most: int = 0) -> Array:
    """[groups]: the sum of the errors of each group."""
    return np.bincount(codes, errors, most).astype(np.float64)


def _moments(totals: Array, square: Array, sizes: Array) -> Array:
    """[tables]: the correlation within groups by the moments of [tables, groups] sums of errors."""
    n = sizes.sum()
    pairs = (sizes * (sizes - 1.0)).sum() / n
    count = n * n / (sizes * sizes).sum()
    # the mean was taken out: totals are too small by one of the groups that the sizes come to
    between = (totals * totals).sum(axis=-1) * (count / (count - 1.0) if count > 1.0 else 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(square > 0.0, (between - square) / (pairs * square), 0.0)
    return np.clip(share, 0.0, 1.0)


def _crossed(own: Array, donors: Array, same: Array, square: Array) -> Array:
    """[tables]: what episodes that have one another's groups as donors add to the design effect."""
    products = (own * donors).sum(axis=-1) - same
    with np.errstate(divide="ignore", invalid="ignore"):
        added = np.where(square > 0.0, 2.0 * products / square, 0.0)
    return np.maximum(added, 0.0)


def _counts(kinds: Codes, k: int, codes: Codes, groups: int) -> Codes:
    """[tables, groups, K]: how often each kind occurs in each group."""
    tables = len(kinds)
    places = (np.arange(tables)[:, None] * groups + codes[None, :]) * k + kinds
    return np.bincount(places.ravel(), minlength=tables * groups * k).reshape(tables, groups, k)


def _weighed(counts: Codes, errors: Array) -> Array:
    """[tables, groups]: the sum of the errors of each group."""
    sums: Array = (counts @ errors[:, :, None])[..., 0]
    return sums


def _pairs(codes: Codes) -> float:
    """Ordered pairs of episodes of one group."""
    sizes = np.bincount(codes).astype(float)
    return float((sizes * (sizes - 1.0)).sum())


def _reached(counts: Codes) -> Array:
    """[tables, K, most]: how many groups hold more than c = 0, 1, ... of each kind."""
    tables, _, k = counts.shape
    most = int(counts[0].sum(axis=1).max())
    places = (np.arange(tables)[:, None, None] * k + np.arange(k)) * (most + 1) + counts
    held = np.bincount(places.ravel(), minlength=tables * k * (most + 1))
    above: Array = held.reshape(tables, k, most + 1)[..., ::-1].cumsum(axis=2)[..., ::-1][..., 1:]
    return above.astype(float)


def _likeliest(counts: Codes, reached: Array, sizes: Array, fit: Array) -> Array:
    """By table the correlation that makes its counts most likely, under either model.

    Under `urn` a group's likelihood is a product over its episodes one after the other: the c-th
    of a kind has (p (1 - rho) + (c - 1) rho) / (1 - rho + (c' - 1) rho), c' its place in the group.
    So that of a table is a sum over c of how many groups reach it. Under `copy` it is a mixture
    over the draw that is copied.
    """
    total = (sizes[:, None] > np.arange(reached.shape[2])).sum(axis=0)
    parts = [slice(first, first + AT_ONCE) for first in range(0, len(fit), AT_ONCE)]
    # counts of one table serve every fit
    found = [
        _likeliest_of_few(
            counts[part] if len(counts) > 1 else counts,
            reached[part] if len(reached) > 1 else reached,
            fit[part],
            total,
        )
        for part in parts
    ]
    return np.concatenate(found)


def _likeliest_of_few(counts: Codes, reached: Array, fit: Array, total: Codes) -> Array:
    """As `_likeliest`, all correlations at once; `total` is how many groups hold more than c."""
    p = np.maximum(fit, 1e-12)
    before = np.arange(reached.shape[2])
    urn, copied = np.array(RHO), np.sqrt(COPIED)[:, None, None, None]
    rho = urn[:, None, None, None]
    shares = np.log(p[:, :, None] * (1.0 - rho) + before * rho)
    places = np.log(1.0 - rho[:, 0, 0] + before * rho[:, 0, 0]) @ total
    of_urns = (reached * shares).sum(axis=(2, 3)) - places[:, None]
    rates = (1.0 - copied) * p[:, :, None] + copied * np.eye(p.shape[1])
    logs = counts @ np.log(rates) + np.log(p)[:, None, :]
    peak = logs.max(axis=3, keepdims=True)
    of_copies = (peak[..., 0] + np.log(np.exp(logs - peak).sum(axis=3))).sum(axis=2)
    shared = np.concatenate([urn, COPIED])
    order = np.argsort(shared)
    likelihoods = np.concatenate([of_urns, of_copies])[order]
    # of equally likely ones, where a table says nothing of it, the largest; 1e-9 is rounding
    likeliest = likelihoods >= likelihoods.max(axis=0) - 1e-9
    largest: Array = shared[order][len(shared) - 1 - likeliest[::-1].argmax(axis=0)]
    return largest


def upper_tail(z: Array, effect: Array, freedom: Array) -> Array:
    """P(T > z / sqrt(effect)), of Student's t, or of the normal where `freedom` is infinite."""
    from scipy.special import stdtr

    # less than two groups: nothing varies that could be compared
    return np.where(freedom < 1.0, 1.0, stdtr(np.maximum(freedom, 1.0), -z / np.sqrt(effect)))


def enough_groups(independent: float, alpha: float) -> int:
    """How many groups do what so many independent ones would do by the normal distribution.

    Student's t asks for more of them, by the square of the ratio of the quantiles.

    Args:
        independent: how many would do if z were held against the normal.
        alpha: the one-sided level, in (0, 0.5).

    Returns:
        The number, at least 2.

    Example:
        >>> enough_groups(34.6, 0.025)
        38
    """
    from scipy.special import ndtri, stdtrit

    normal = ndtri(1.0 - alpha)
    found = max(2, math.ceil(independent))
    while found < independent * (stdtrit(found - 1.0, 1.0 - alpha) / normal) ** 2:
        found += 1
    return found

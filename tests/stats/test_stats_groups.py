"""Claims over groups: against slow definitions, and by simulation at small size."""

import math
from itertools import product

import numpy as np
import pytest
import simulate_groups as simulate
from scipy.special import gammaln

from lpca.stats.assessment import Assessment, assess
from lpca.stats.claims import Band, Claim, Difference, Equivalence, Gain, Rate, Ratio
from lpca.stats.clusters import COPIED, RHO, Clusters, Tally, codes_of, enough_groups, scores
from lpca.stats.gain import ValueCounts, gain_z
from lpca.stats.proportions import rate_z, ratio_z, tango_z
from lpca.stats.sequential import evalues
from lpca.stats.tables import PairedTable

CLAIMS: list[Claim] = [
    Difference("normal", "p0", ">", 0.1),
    Difference("normal", "p1", "<", 0.1),
    Difference("normal", "shuffle", ">", 0.0),
    Equivalence("embed", "p1", 0.05),
    Rate("normal", ">", 0.8),
    Band("p0", 0.15, 0.35),
    Ratio("normal", "p0", ">", 2.0),
    Gain("normal", "p1", "p0", 0.5),
]


def outcomes(n: int, seed: int = 0) -> dict[str, list[int]]:
    rng = np.random.default_rng(seed)
    rates = {"normal": 0.9, "p0": 0.25, "shuffle": 0.05, "p1": 0.85}
    found = {name: (rng.random(n) < rate).astype(int).tolist() for name, rate in rates.items()}
    return {**found, "embed": list(found["p1"])}


def groups_of(*labels: object) -> Clusters:
    return Clusters(codes_of(labels))


def limits(found: Assessment) -> tuple[float, float]:
    return found.interval.low, found.interval.high


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: type(claim).__name__)
def test_groups_of_one_change_nothing(claim: Claim) -> None:
    seen = outcomes(60)
    assert assess(claim, seen, clusters=groups_of(*range(60))) == assess(claim, seen)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: type(claim).__name__)
def test_joining_two_of_four_hundred_moves_no_limit_by_a_fifth_of_a_point(claim: Claim) -> None:
    seen = outcomes(400)
    alone = assess(claim, seen)
    for pair in ((0, 1), (0, 399), (17, 230)):
        labels = [pair[0] if i == pair[1] else i for i in range(400)]
        joined = assess(claim, seen, clusters=groups_of(*labels))
        for one, other in zip(limits(alone), limits(joined), strict=True):
            # a ratio is no rate: its limits are compared by the share they move
            moved = abs(one - other) / (max(1.0, one) if isinstance(claim, Ratio) else 1.0)
            assert moved < 0.002


def test_the_scores_of_many_tables_are_those_of_each() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        cells = rng.multinomial(rng.integers(2, 60), rng.dirichlet([0.4] * 4))
        a, b, c, d = map(int, cells)
        table = PairedTable(a, b, c, d)
        margin, ratio = float(rng.uniform(-0.9, 0.9)), float(np.exp(rng.normal()))
        rate = float(rng.uniform(0.05, 0.95))
        values = (-1.0, -0.5, 0.0, 0.5, 1.0)
        counts = rng.multinomial(30, rng.dirichlet([0.4] * 5))
        pairs = [
            ((-1.0, 0.0, 1.0), [c, a + d, b], margin, tango_z(table, margin)),
            ((-ratio, 0.0, 1.0 - ratio, 1.0), [c, d, a, b], 0.0, ratio_z(table, ratio)),
            ((0.0, 1.0), [c + d, a + b], rate, rate_z(a + b, table.n, rate)),
            (values, counts, margin, gain_z(ValueCounts(values, tuple(map(int, counts))), margin)),
        ]
        for worth, seen, bound, expected in pairs:
            at = np.array([bound])
            found = scores(np.array(worth), np.array([seen], dtype=float), at)[0]
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_correlation_is_the_likeliest_or_that_of_the_moments() -> None:
    rng = np.random.default_rng(2)
    clusters = simulate.clusters_of(simulate.sizes(12, lopsided=True))
    values, margin = np.array(simulate.DIFF), -0.1
    shares = (0.2, 0.7, 0.1)
    for icc in (0.0, 0.2, 0.7):
        kinds = simulate.drawn(rng, 5, clusters, shares, icc, "urn")
        tally = Tally(kinds, 3, clusters)
        found = tally.correlation(values, np.full(5, margin))
        for table, share in zip(kinds, found, strict=True):
            expected = max(_likeliest(table, clusters, margin), _moments(values[table], clusters))
            assert share == pytest.approx(expected, abs=1e-9)


def _likeliest(kinds: np.ndarray, clusters: Clusters, margin: float) -> float:
    """By gamma functions and Tango's closed fit, group by group."""
    b, c, n = int((kinds == 2).sum()), int((kinds == 0).sum()), len(kinds)
    slope = (2 * n - c + b) * -margin - b - c  # mirrored: the margin is negative
    q = (math.sqrt(slope**2 + 8 * n * b * -margin * (1 + margin)) - slope) / (4 * n)
    fit = np.array([q - margin, 1 - 2 * q + margin, q])
    groups = [kinds[clusters.own == group] for group in range(clusters.groups)]
    held = np.array([np.bincount(group, minlength=3) for group in groups])
    found = {0.0: sum(math.log(fit[kind]) for kind in kinds)}
    for rho in RHO[1:-1]:
        alphas = fit * (1 - rho) / rho
        logs = (gammaln(held + alphas) - gammaln(alphas)).sum()
        found[rho] = logs - (gammaln(held.sum(1) + alphas.sum()) - gammaln(alphas.sum())).sum()
    for rho in COPIED:
        rates = [(1 - math.sqrt(rho)) * fit + math.sqrt(rho) * np.eye(3)[kind] for kind in range(3)]
        each = [sum(fit[j] * np.prod(rates[j] ** row) for j in range(3)) for row in held]
        found[rho] = np.log(each).sum()
    return max(found, key=lambda rho: found[rho])


def _moments(worth: np.ndarray, clusters: Clusters) -> float:
    """Over pairs of episodes, one by one."""
    errors = worth - worth.mean()
    totals = np.array([errors[clusters.own == g].sum() for g in range(clusters.groups)])
    held = clusters.sizes
    count = clusters.n**2 / (held**2).sum()
    between = (totals**2).sum() * count / (count - 1)
    share = (between - (errors**2).sum()) / ((held * (held - 1)).sum() * (errors**2).mean())
    return float(np.clip(share, 0.0, 1.0))


def test_groups_that_are_of_one_mind_count_once() -> None:
    each, times = outcomes(40), 5
    five = {name: [x for x in found for _ in range(times)] for name, found in each.items()}
    clusters = groups_of(*(i // times for i in range(40 * times)))
    for claim in CLAIMS:
        once, often = assess(claim, each), assess(claim, five, clusters=clusters)
        assert often.estimate == once.estimate
        # Student's t is a little wider than the normal that forty independent ones are held to
        assert often.interval.low <= once.interval.low
        assert often.interval.high >= once.interval.high
        assert often.p_pass >= once.p_pass


@pytest.mark.parametrize("size", [1, 5, 40])
def test_no_loss_in_fewer_than_36_groups_refutes_nothing(size: int) -> None:
    claim = Difference("normal", "p1", ">", -0.1)

    def holds(groups: int) -> bool:
        seen = {"normal": [1] * groups * size, "p1": [1] * groups * size}
        labels = [i // size for i in range(groups * size)]
        clusters = groups_of(*labels) if size > 1 else None
        return assess(claim, seen, clusters=clusters).holds

    assert not holds(34 if size == 1 else 35)
    assert holds(38)
    assert enough_groups(34.6, 0.025) == 38


def test_one_group_decides_nothing() -> None:
    seen = {"normal": [1] * 50, "p0": [0] * 50}
    found = assess(Difference("normal", "p0", ">", 0.1), seen, clusters=groups_of(*[0] * 50))
    assert not found.holds
    assert not found.outside
    assert limits(found) == (-1.0, 1.0)


def test_many_groups_of_one_beside_a_giant_lend_it_no_weight() -> None:
    """The giant fails as a whole in one of ten runs; the others fail one by one as often."""
    n, giant = 200, 100
    seen = {"normal": [0] * giant + [1, 1, 1, 1, 1, 1, 1, 1, 1, 0] * 10}
    labels = [0] * giant + list(range(1, n - giant + 1))
    found = assess(Rate("normal", ">", 0.9), seen, clusters=groups_of(*labels))
    assert not found.outside
    assert found.p_fail == 1.0


@pytest.mark.parametrize("shape", [[40] + [1] * 60, [200] + [1] * 200], ids=len)
def test_a_giant_group_makes_no_false_passes(shape: list[int]) -> None:
    tables = 200
    for share, icc in product((0.02, 0.1), (0.1, 0.3, 1.0)):
        truth = simulate.Truth("rate above", (0.0, 1.0), (1 - share, share))
        assert simulate.false_passes(truth, shape, icc, "urn", tables) <= 0.04


def test_equal_groups_and_those_of_1_to_40_have_all_their_degrees_of_freedom() -> None:
    effects = np.array([1.0, 1.5, 100.0])
    for groups in (2, 3, 8, 80):
        assert simulate.clusters_of([5] * groups).freedom(effects) == pytest.approx(groups - 1.0)
    lopsided = simulate.clusters_of(simulate.sizes(30, lopsided=True))
    assert lopsided.freedom(effects) == pytest.approx(29.0)
    assert np.isinf(simulate.clusters_of([1] * 9).freedom(effects)).all()


def test_the_donors_of_a_shuffle_count_as_groups_too() -> None:
    n = 300
    own = [i % 30 for i in range(n)]
    # each group's donors are of one other group, whose messages are all misread or none
    donors = [(i % 30 + 7) % 30 for i in range(n)]
    misread = [group % 2 for group in donors]
    seen = {"normal": [1] * n, "shuffle": misread}
    claim = Difference("normal", "shuffle", ">", 0.2)
    codes = codes_of([*own, *donors])
    scattered = codes_of([i % 60 for i in range(n)])
    blind = assess(claim, seen, clusters=Clusters(scattered))
    aware = assess(claim, seen, clusters=Clusters(codes[:n], codes[n:]))
    assert aware.interval.low < blind.interval.low


def test_a_chain_of_donors_is_part_of_the_variance() -> None:
    """An episode's message decides its own success and that of the one it is donor to."""
    rng = np.random.default_rng(3)
    n, tables = 200, 400
    donor = np.roll(np.arange(n), -1)
    estimates, widths = [], []
    for _ in range(tables):
        clear = rng.random(n) < 0.7
        normal = clear.astype(int)
        shuffle = np.where(clear[donor], 0, 1)
        values = normal - shuffle
        estimates.append(values.mean())
        tally = Tally((values + 1)[None, :], 3, Clusters(np.arange(n), donor))
        at = np.array([values.mean()])
        effect = tally.design_effect(np.array(simulate.DIFF), at)[0]
        widths.append(effect * values.var() / n)
    assert np.mean(widths) == pytest.approx(np.var(estimates), rel=0.15)


CELLS = list(product((8, 13, 30, 80), (False, True), (0.0, 0.1, 0.5, 1.0)))


@pytest.mark.parametrize("truth", simulate.TRUTHS, ids=lambda truth: truth.name)
def test_false_passes_at_the_margin_stay_below_three_in_a_hundred(truth: simulate.Truth) -> None:
    tables = 150
    found = [
        simulate.false_passes(truth, simulate.sizes(groups, lopsided), icc, "urn", tables)
        for groups, lopsided, icc in CELLS
    ]
    # of all cells together, the worst allowed 3 standard errors of its own draws
    assert np.mean(found) <= 0.025
    assert max(found) <= 0.03 + 3 * math.sqrt(0.03 * 0.97 / tables)


@pytest.mark.parametrize("truth", [simulate.TRUTHS[2], simulate.TRUTHS[3]], ids=lambda t: t.name)
def test_intervals_cover_the_truth(truth: simulate.Truth) -> None:
    tables = 150
    found = [
        simulate.coverage(truth, simulate.sizes(groups, lopsided), icc, "urn", tables)
        for groups, lopsided, icc in CELLS
    ]
    assert np.mean(found) >= 0.95
    assert min(found) >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / tables)


@pytest.mark.parametrize("truth", [simulate.TRUTHS[2], simulate.TRUTHS[3]], ids=lambda t: t.name)
def test_power_is_near_that_of_knowing_the_design_effect(truth: simulate.Truth) -> None:
    cells = product((30, 80), (False, True), (0.0, 0.1, 0.5, 1.0))
    found = [
        simulate.powers(truth, simulate.sizes(groups, lopsided), icc, "urn", 300)
        for groups, lopsided, icc in cells
    ]
    own, known = np.mean(found, axis=0)
    assert own / known >= 0.85


def test_the_simulated_test_is_the_one_that_decides() -> None:
    truth = simulate.TRUTHS[2]
    clusters = simulate.clusters_of(simulate.sizes(13, lopsided=True))
    rng = np.random.default_rng(4)
    kinds = simulate.drawn(rng, 20, clusters, truth.shares, 0.3, "urn")
    claim = Difference("x", "y", ">", truth.margin)
    for table, tail in zip(kinds, simulate.tails(kinds, truth, clusters), strict=True):
        seen = {"x": (table == 2).astype(int).tolist(), "y": (table == 0).astype(int).tolist()}
        found = assess(claim, seen, clusters=clusters)
        assert found.p_pass == pytest.approx(float(tail), rel=1e-6)
        assert found.holds == (tail < 0.025)


def test_bets_on_groups_are_those_on_episodes_where_groups_are_of_one() -> None:
    seen = outcomes(50)
    for claim in CLAIMS:
        if isinstance(claim, Equivalence):
            continue
        alone = evalues(claim, seen)
        assert evalues(claim, seen, groups_of(*range(50))) == alone
        pairs = evalues(claim, seen, groups_of(*(i // 2 for i in range(50))))
        assert pairs != alone


def test_bets_on_groups_win_against_a_true_hypothesis_in_at_most_alpha() -> None:
    """At the margin, of groups all of one mind: the largest e-value over the whole path."""
    rng = np.random.default_rng(5)
    claim, groups, size = Difference("x", "y", ">", 0.0), 40, 4
    clusters = groups_of(*(i // size for i in range(groups * size)))
    won = 0
    for _ in range(300):
        signs = rng.choice([-1, 0, 1], size=groups, p=[0.3, 0.4, 0.3]).repeat(size)
        x, y = (signs == 1).astype(int).tolist(), (signs == -1).astype(int).tolist()
        path = (
            evalues(claim, {"x": x[:n], "y": y[:n]}, clusters.head(n)).log_pass
            for n in range(size, groups * size + 1, 8 * size)
        )
        won += max(path) >= math.log(1 / 0.05)
    assert won / 300 <= 0.05


def test_marks_over_groups_are_held_to_the_groups() -> None:
    rng = np.random.default_rng(6)
    claim = Difference("x", "y", ">", 0.1)
    gain = 0.3 + 0.2 * rng.random(30)

    def assessed(size: int) -> Assessment:
        x, y = (0.3 + gain).repeat(size).tolist(), [0.3] * (30 * size)
        return assess(claim, {"x": x, "y": y}, clusters=groups_of(*np.arange(30).repeat(size)))

    once, often = assessed(2), assessed(20)
    assert once.holds
    # the same marks ten times over are no further evidence
    assert often.interval.low < gain.mean() - 2 * gain.std() / math.sqrt(30)
    assert often.interval.low == pytest.approx(assessed(40).interval.low, abs=0.001)
    assert often.grouping is not None
    assert often.grouping.icc == 1.0
    few = groups_of(*np.arange(4).repeat(150))
    seen = {"x": (0.3 + gain).repeat(20).tolist(), "y": [0.3] * 600}
    assert not assess(claim, seen, clusters=few).holds


def test_marks_at_the_margin_pass_seldom() -> None:
    rng = np.random.default_rng(7)
    claim, passed = Difference("x", "y", ">", 0.0), 0
    clusters = groups_of(*np.arange(13).repeat(6))
    for _ in range(150):
        own = rng.normal(size=13).repeat(6) * 0.7 + rng.normal(size=78) * 0.7
        apart = np.clip(own * 0.2, -0.9, 0.9)
        seen = {"x": (0.5 + apart / 2).tolist(), "y": (0.5 - apart / 2).tolist()}
        passed += assess(claim, seen, clusters=clusters).p_pass < 0.025
    assert passed / 150 <= 0.03 + 3 * math.sqrt(0.03 * 0.97 / 150)


@pytest.mark.parametrize("lopsided", [False, True])
def test_looks_at_whole_groups_pass_falsely_in_at_most_alpha(lopsided: bool) -> None:
    tables = 200
    found = [
        simulate.early_passes(truth, simulate.sizes(30, lopsided), icc, "urn", tables)
        for truth in (simulate.TRUTHS[0], simulate.TRUTHS[3])
        for icc in (0.0, 0.5)
    ]
    fixed, anytime = zip(*found, strict=True)
    assert max(fixed) <= 0.03 + 3 * math.sqrt(0.03 * 0.97 / tables)
    assert max(anytime) <= 0.1  # of twenty paths

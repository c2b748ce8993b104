"""Holm's adjustment against statsmodels."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from lpca.stats import holm

pvalues = st.lists(st.floats(0.0, 1.0) | st.sampled_from([0.0, 0.02, 1.0]), min_size=1, max_size=12)


@settings(max_examples=12)
@given(pvalues)
def test_holm_is_statsmodels(values):
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1], abs=1e-15)


def test_no_pvalues_have_no_adjustment():
    assert holm([]) == []


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_values_that_are_no_probability_are_refused(bad):
    with pytest.raises(ValueError, match="p-value"):
        holm([0.5, bad])

from __future__ import annotations

import pytest

from lpca.base.packed import BLOCK, UNPACKED, Packed

N = 3 * BLOCK + 5


@pytest.mark.parametrize("n", [0, 1, BLOCK, N])
def test_it_is_the_sequence_that_went_in(n: int) -> None:
    plain = tuple((i, str(i)) for i in range(n))
    packed = Packed(iter(plain))
    assert len(packed) == n
    assert tuple(packed) == plain
    assert [packed[i] for i in range(-n, n)] == [plain[i] for i in range(-n, n)]
    assert packed[1 : n - 1 : 2] == plain[1 : n - 1 : 2]
    assert packed == plain
    assert packed != (*plain, "more")
    assert list(zip(packed, packed, strict=True)) == list(zip(plain, plain, strict=True))
    with pytest.raises(IndexError):
        packed[n]


def test_one_behind_another_is_both_and_changes_neither() -> None:
    first, second = Packed(range(N)), Packed(range(7))
    both = first + second + [1, 2]
    assert both == (*range(N), *range(7), 1, 2)
    assert both[N] == 0
    assert (len(first), len(second)) == (N, 7)
    assert Packed[int]() + first == first


def test_more_blocks_than_are_unpacked_at_once_come_in_any_order() -> None:
    packed = Packed(range((UNPACKED + 2) * BLOCK))
    assert [packed[i] for i in reversed(range(len(packed)))] == [*reversed(range(len(packed)))]

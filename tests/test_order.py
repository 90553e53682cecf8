"""The order of an epoch's rows: random, of the seed alone, and the same in both engines."""

import numpy as np
import pytest
from interrupted import interrupt_after
from network_state import everything
from test_network import made

from fastbp import Network
from fastbp.kernels.shuffle import shuffle
from fastbp.networks import order as orders
from fastbp.reference.network import shuffled


def shuffled_by_kernel(generator, count, rows=orders.AS_THEY_LIE):
    order = np.full(count, -1)
    orders.shuffle(generator, rows, order)
    return order


def both(seed, rows):
    """What the two engines make of a seed; each is asked once more, as for the next epoch."""
    for_kernel, for_reference = np.random.default_rng(seed), np.random.default_rng(seed)
    found = [shuffled_by_kernel(for_kernel, rows) for _ in range(2)]
    wanted = [shuffled(for_reference, rows) for _ in range(2)]
    return np.concatenate(found), np.concatenate(wanted)


@pytest.mark.parametrize("rows", [1, 2, 3, 99, 100, 101, 200, 1000])
def test_both_engines_take_rows_in_the_same_order(monkeypatch, rows):
    monkeypatch.setattr(orders, "ROWS_OF_CALL", 100)
    found, wanted = both(rows, rows)
    np.testing.assert_array_equal(found, wanted)
    for order in np.split(found, 2):
        np.testing.assert_array_equal(np.sort(order), np.arange(rows))


def test_the_order_of_a_seed_stays_what_it_is():
    """Or checkpoints would go on in another way than the version that wrote them."""
    assert shuffled(np.random.default_rng(0), 12).tolist() == [11, 0, 1, 2, 8, 7, 4, 5, 10, 9, 6, 3]


def test_all_orders_come_equally_often():
    rng, counts = np.random.default_rng(1), {}
    for _ in range(4800):
        order = tuple(shuffled_by_kernel(rng, 4))
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    chi_squared = sum((count - 200) ** 2 / 200 for count in counts.values())
    assert chi_squared < 49.7  # of 23 degrees of freedom: more once in a thousand seeds


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 2**10, 2**10 + 1])
def test_the_largest_random_number_leads_to_no_row_outside(rows):
    order = np.full(rows, -1)
    shuffle.for_dtype()(orders.AS_THEY_LIE, 0, np.full(rows, 1 - 2**-53), order)
    np.testing.assert_array_equal(order, np.arange(rows))


def test_rows_that_are_shuffled_are_those_given():
    rows = np.array([7, 3, 9, 4])
    found = shuffled_by_kernel(np.random.default_rng(2), 4, rows)
    assert sorted(found) == [3, 4, 7, 9]
    np.testing.assert_array_equal(found, rows[shuffled(np.random.default_rng(2), 4)])
    np.testing.assert_array_equal(rows, [7, 3, 9, 4])


def test_ctrl_c_while_rows_are_shuffled_changes_nothing(monkeypatch):
    network = made(Network, (4, 3))
    x, y = np.zeros((60, 4)), np.zeros((60, 3))
    network.fit(x, y, batch_size=10)
    before = everything(network)
    calls = interrupt_after(monkeypatch, shuffle, 3)
    monkeypatch.setattr(orders, "ROWS_OF_CALL", 16)
    with pytest.raises(KeyboardInterrupt):
        network.fit(x, y, batch_size=10)
    assert [args[1] for args in calls] == [0, 16, 32]
    assert everything(network) == before

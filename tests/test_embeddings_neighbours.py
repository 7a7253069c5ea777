"""Neighbour tables: self left out, ties by number, exact distances."""

import numpy as np

from embeddings.neighbours import tidy, unit_rows


def test_rows_are_scaled_to_length_one_and_zero_stays_zero() -> None:
    rows = unit_rows(np.array([[3, 4], [0, 0]], dtype=np.float32))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]])


def test_a_point_leaves_its_own_list_and_ties_go_by_number() -> None:
    vectors = np.array([[0.0], [1], [-1], [3]], dtype=np.float32)
    indices, distances = tidy(vectors, np.array([[0, 2, 1], [1, 0, 3], [2, 0, 1], [3, 1, -1]]), 2)
    assert indices.tolist() == [[1, 2], [0, 3], [0, 1], [1, -1]]
    assert distances.tolist() == [[1, 1], [1, 2], [1, 2], [2, np.inf]]


def test_the_last_is_dropped_where_copies_push_the_point_out_of_its_list() -> None:
    indices, _ = tidy(np.zeros((4, 1), dtype=np.float32), np.array([[1, 2, 3]] * 4), 2)
    assert indices.tolist() == [[1, 2], [2, 3], [1, 3], [1, 2]]

"""Neighbour tables: self left out, ties by number, exact distances."""

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from embeddings.index import IndexSettings, nearest
from embeddings.neighbours import Vectors, fuzzy_union, remeasured, smoothed, tidy, unit_rows


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


def planted(n: int = 300, d: int = 24) -> tuple[Vectors, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], n // 3)
    centres = rng.normal(size=(3, d))
    return unit_rows((centres[truth] + rng.normal(0, 0.9, (n, d))).astype(np.float32)), truth


def test_smoothing_does_not_depend_on_the_number_of_threads() -> None:
    vectors, _ = planted(3000, 256)
    neighbours = nearest(vectors, IndexSettings(k=10), seed=0)
    answers = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            answers.append(smoothed(vectors, neighbours, np.ones(3000, dtype=np.int64), 4))
    np.testing.assert_array_equal(answers[0].distances, answers[1].distances)


def test_weights_of_the_graph_are_one_to_the_nearest_and_the_same_both_ways() -> None:
    vectors, _ = planted()
    neighbours = nearest(vectors, IndexSettings(k=10), seed=0)
    graph = fuzzy_union(neighbours).toarray()
    np.testing.assert_allclose(graph, graph.T, atol=1e-6)
    np.testing.assert_allclose(graph[np.arange(300), neighbours.indices[:, 0]], 1, atol=1e-6)
    assert graph.max() <= 1 + 1e-6


def test_smoothing_brings_a_group_together_and_keeps_groups_apart() -> None:
    vectors, truth = planted()
    neighbours = nearest(vectors, IndexSettings(k=10), seed=0)
    close = smoothed(vectors, neighbours, np.ones(300, dtype=np.int64), rounds=6)
    same = truth[close.indices] == truth[:, None]
    assert close.distances[same].mean() < 0.3 * neighbours.distances.mean()
    assert close.distances[~same].mean() > 2 * close.distances[same].mean()
    assert (np.diff(close.distances, axis=1) >= 0).all()
    np.testing.assert_array_equal(np.sort(close.indices, axis=1), np.sort(neighbours.indices, axis=1))


def test_no_rounds_leave_neighbours_as_they_are() -> None:
    vectors, _ = planted()
    neighbours = nearest(vectors, IndexSettings(k=10), seed=0)
    assert smoothed(vectors, neighbours, np.ones(300, dtype=np.int64), rounds=0) is neighbours


def test_known_neighbours_are_measured_anew() -> None:
    indices = np.array([[1, 2], [0, 2], [0, -1]], dtype=np.int32)
    ordered, distances = remeasured(np.array([[0.0], [3], [1]], dtype=np.float32), indices)
    assert ordered.tolist() == [[2, 1], [2, 0], [0, -1]]
    assert distances.tolist() == [[1, 3], [2, 3], [1, np.inf]]

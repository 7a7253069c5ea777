"""Clusters: against hdbscan itself, and the edges by name."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from embeddings.clusters import Clusters, ClusterSettings, cluster, cluster_vectors, join
from embeddings.index import IndexSettings, nearest
from embeddings.neighbours import Neighbours, Vectors, unit_rows
from embeddings.vectors import distinct, unknown_vector

INDEX = IndexSettings(k=15)


def blobs(sizes: list[int], d: int = 16, spread: float = 0.05, seed: int = 0) -> tuple[Vectors, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    centres = unit_rows(rng.normal(size=(len(sizes), d)).astype(np.float32))
    return unit_rows((centres[labels] + rng.normal(0, spread, (len(labels), d))).astype(np.float32)), labels


def run(vectors: Vectors, counts: np.ndarray | None = None, least: int = 12) -> Clusters:
    counts = np.ones(len(vectors), dtype=np.int64) if counts is None else counts
    return cluster_vectors(vectors, counts, INDEX, ClusterSettings(min_cluster_size=least), seed=0)[0]


@pytest.mark.parametrize("selection", ["eom", "leaf"])
@pytest.mark.parametrize(("size", "samples"), [(5, 5), (12, 1), (15, 10)])
def test_with_exact_neighbours_the_labels_are_those_of_hdbscan(
    selection: str, size: int, samples: int
) -> None:
    import hdbscan

    rng = np.random.default_rng(1)
    vectors = np.concatenate([blobs([80, 60, 30, 200], spread=s)[0] for s in (0.08, 0.16)])
    vectors = np.concatenate([vectors, unit_rows(rng.normal(size=(200, 16)).astype(np.float32))])
    neighbours = nearest(vectors, IndexSettings(k=100), seed=0)
    settings = ClusterSettings(min_cluster_size=size, min_samples=samples, selection=selection)
    ours = cluster(neighbours, np.ones(len(vectors), dtype=np.int64), settings)
    fits = [
        hdbscan.HDBSCAN(
            size,
            min_samples=samples,
            cluster_selection_method=selection,
            algorithm=algorithm,  # among ties they take different trees, and a leaf of five hangs on that
            approx_min_span_tree=False,
        ).fit(vectors.astype(float))
        for algorithm in ("generic", "boruvka_kdtree")
    ]
    scores = [adjusted_rand_score(ours.labels, one.labels_) for one in fits]
    assert max(scores) >= 0.98
    theirs = fits[int(np.argmax(scores))]
    same = (ours.labels >= 0) & (theirs.labels_ >= 0)
    assert np.abs(ours.strengths - theirs.probabilities_)[same].mean() < 0.01


def test_none_and_one() -> None:
    assert run(np.empty((0, 4), dtype=np.float32)).labels.tolist() == []
    one = np.ones((1, 4), dtype=np.float32)
    assert run(one).labels.tolist() == [-1]
    assert run(one, np.array([500])).labels.tolist() == [0]


def test_all_identical_is_one_cluster() -> None:
    found = run(np.ones((40, 4), dtype=np.float32))
    assert (found.labels == 0).all()
    assert (found.strengths == 1).all()


def test_all_noise_is_noise() -> None:
    vectors = unit_rows(np.random.default_rng(0).normal(size=(100, 64)).astype(np.float32))
    found = run(vectors, least=40)
    assert (found.labels == -1).all()
    assert (found.strengths == 0).all()


def test_groups_that_no_neighbour_joins_are_kept_apart() -> None:
    vectors, truth = blobs([40] * 10)
    found = run(vectors)
    assert adjusted_rand_score(truth, found.labels) == 1.0


@pytest.mark.parametrize(
    "sizes", [[20] * 5 + [100] * 2, [100] * 2 + [20] * 5, [20, 100, 20, 20, 100, 20, 20]]
)
def test_groups_that_are_too_small_make_no_cluster_together(sizes: list[int]) -> None:
    vectors, truth = blobs(sizes, d=32, spread=0.02)
    found = run(vectors, least=50)
    large = np.array(sizes)[truth] == 100
    assert found.labels.max() == 1
    assert (found.labels[~large] == -1).all()
    assert adjusted_rand_score(truth[large], found.labels[large]) == 1.0


def test_texts_of_which_the_encoder_knows_nothing_are_noise() -> None:
    vectors, _ = blobs([40, 40])
    found = run(np.concatenate([np.tile(unknown_vector(16), (40, 1)), vectors]))
    assert found.labels.tolist() == [-1] * 40 + [0] * 40 + [1] * 40
    assert (found.strengths[:40] == 0).all()


def test_a_group_larger_than_k_is_one_cluster() -> None:
    vectors, truth = blobs([600, 30], spread=0.02)
    assert adjusted_rand_score(truth, run(vectors).labels) > 0.95


def test_a_thousand_copies_and_a_thousand_paraphrases_are_a_cluster_each() -> None:
    vectors, _ = blobs([1000, 1, 30])
    counts = np.ones(1031, dtype=np.int64)
    counts[1000] = 1000
    labels = run(vectors, counts).labels
    assert labels[1000] >= 0
    assert np.flatnonzero(labels == labels[1000]).tolist() == [1000]
    assert (labels[:1000] == labels[0]).mean() > 0.95


def test_copies_counted_once_or_written_out_give_the_same_clusters() -> None:
    vectors, truth = blobs([3, 40, 40])
    counts = np.where(truth == 0, 20, 1)
    written = np.repeat(vectors, counts, axis=0)
    short = cluster(nearest(vectors, INDEX, seed=0), counts, ClusterSettings())
    long = cluster(nearest(written, INDEX, seed=0), np.ones(len(written), dtype=np.int64), ClusterSettings())
    assert adjusted_rand_score(np.repeat(short.labels, counts), long.labels) > 0.95


def test_equal_vectors_are_one_point() -> None:
    vectors, _ = blobs([3, 40, 40], spread=0.2)
    counts = np.random.default_rng(0).integers(1, 40, len(vectors))
    order = np.random.default_rng(1).permutation(counts.sum())
    place = np.repeat(np.arange(len(vectors)), counts)[order]
    short, long = run(vectors, counts), run(vectors[place])
    assert adjusted_rand_score(short.labels[place], long.labels) == 1.0
    np.testing.assert_allclose(short.strengths[place], long.strengths, rtol=1e-4)


def test_rows_that_differ_in_one_bit_are_told_apart() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    vectors[10, 3], vectors[20] = np.nextafter(vectors[11, 3], np.float32(9)), vectors[5]
    vectors[10, :3], vectors[10, 4:] = vectors[11, :3], vectors[11, 4:]
    first, of = distinct(vectors)
    plain = [next(i for i, other in enumerate(vectors) if (other == row).all()) for row in vectors]
    assert first[of].tolist() == plain
    assert first.tolist() == sorted(set(plain))


def test_zero_vectors_do_no_harm() -> None:
    vectors, truth = blobs([40, 40])
    found = run(np.concatenate([vectors, np.zeros((30, 16), dtype=np.float32)]))
    assert adjusted_rand_score(np.r_[truth, [2] * 30], found.labels) == 1.0


def test_two_dense_groups_joined_by_a_bridge_stay_two() -> None:
    vectors, truth = blobs([200, 200], spread=0.04)
    way = np.linspace(vectors[0], vectors[-1], 30)[1:-1].astype(np.float32)
    labels = run(np.concatenate([vectors, unit_rows(way)])).labels[:400]
    inside = labels >= 0
    assert inside.mean() > 0.75
    assert adjusted_rand_score(truth[inside], labels[inside]) == 1.0


def test_near_duplicates_of_two_texts_are_not_mixed() -> None:
    rng = np.random.default_rng(0)
    vectors, truth = blobs([300, 300], spread=0)
    vectors = unit_rows(vectors + rng.normal(0, 1e-6, vectors.shape).astype(np.float32))
    found = run(vectors)
    for label in range(found.labels.max() + 1):
        assert len(set(truth[found.labels == label])) == 1
    assert (found.labels >= 0).mean() > 0.9


def test_labels_are_numbered_by_first_member_and_the_same_each_time() -> None:
    vectors, _ = blobs([30, 40, 50, 60])
    mixed = vectors[np.random.default_rng(0).permutation(len(vectors))]
    labels = run(mixed).labels
    first = [np.flatnonzero(labels == label)[0] for label in range(labels.max() + 1)]
    assert first == sorted(first)
    np.testing.assert_array_equal(labels, run(mixed).labels)


def test_noise_joins_the_cluster_that_holds_most_of_its_neighbours() -> None:
    indices = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 4], [3, 5, 5], [4, 4, 4]], dtype=np.int32)
    near = Neighbours(indices, np.ones((6, 3), dtype=np.float32), 1.0, "")
    labels = np.array([0, 0, 1, -1, -1, -1], dtype=np.int32)
    joined = join(Clusters(labels, (labels >= 0).astype(np.float32)), near, share=0.5)
    assert joined.labels.tolist() == [0, 0, 1, 0, -1, -1]
    assert joined.strengths[3] == pytest.approx(2 / 3)


def test_counts_of_another_length_are_refused() -> None:
    vectors, _ = blobs([20])
    with pytest.raises(ValueError, match="20 rows, counts has 3"):
        cluster(nearest(vectors, INDEX, seed=0), np.ones(3, dtype=np.int64), ClusterSettings())


@pytest.mark.shared
def test_real_prompts_get_the_labels_of_hdbscan(shared: Path) -> None:
    import hdbscan
    import polars
    from sentence_transformers import SentenceTransformer

    texts = polars.read_parquet(shared / "data" / "prompts_dev.parquet")["prompt"].sample(5000, seed=0)
    model = SentenceTransformer(str(shared / "models" / "potion-base-4M"), device="cpu")
    vectors = unit_rows(model.encode(texts.to_list(), show_progress_bar=False))
    neighbours = nearest(vectors, IndexSettings(k=200), seed=0)
    for size, samples, selection in ((5, 5, "eom"), (12, 5, "leaf"), (15, 10, "eom")):
        settings = ClusterSettings(min_cluster_size=size, min_samples=samples, selection=selection)
        ours = cluster(neighbours, np.ones(5000, dtype=np.int64), settings)
        theirs = hdbscan.HDBSCAN(
            size, min_samples=samples, cluster_selection_method=selection, approx_min_span_tree=False
        ).fit_predict(vectors)
        assert adjusted_rand_score(ours.labels, theirs) >= 0.98


@pytest.mark.parametrize("selection", ["eom", "leaf"])
def test_thousands_of_clusters_nested_in_one_another_end_well(selection: str) -> None:
    n = 1500  # texts sent a dozen times each, in a row of ever larger steps: each merger is one more level
    step = 1e-3 * 1.005 ** np.arange(n + 1)
    near = np.column_stack([np.arange(n) - 1, np.arange(n) + 1])
    near[-1, 1] = -1
    neighbours = Neighbours(
        near.astype(np.int32), np.column_stack([step[:-1], step[1:]]).astype(np.float32), 1.0, "made"
    )
    settings = ClusterSettings(min_cluster_size=12, selection=selection)
    found = cluster(neighbours, np.full(n, 12), settings)
    assert found.labels.max() == n - 1

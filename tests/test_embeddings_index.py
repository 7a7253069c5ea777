"""The index: neighbours against brute force by value, and what is saved."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from embeddings.index import (
    IndexMismatchError,
    IndexSettings,
    build,
    choose_factory,
    load,
    nearest,
    neighbours_of,
    prepare,
    query_shards,
    save,
)
from embeddings.neighbours import Vectors, unit_rows


def scatter(n: int, d: int = 16, seed: int = 0) -> Vectors:
    return unit_rows(np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32))


def brute(vectors: Vectors, k: int) -> tuple[np.ndarray, np.ndarray]:
    apart = np.linalg.norm(vectors[:, None].astype(float) - vectors[None].astype(float), axis=2)
    np.fill_diagonal(apart, np.inf)
    order = np.argsort(apart, axis=1)[:, :k]
    return order, np.take_along_axis(apart, order, axis=1)


@pytest.mark.parametrize("factory", ["", "IVF8,Flat", "HNSW32"])
def test_neighbours_are_those_of_brute_force(factory: str) -> None:
    vectors = scatter(400)
    found = nearest(vectors, IndexSettings(k=5, recall=1.0, factory=factory), seed=0)
    indices, distances = brute(vectors, 5)
    assert found.recall == 1.0
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-5)


@pytest.mark.parametrize("factory", ["IVF64,Flat", "PQ8"])
def test_where_there_are_too_few_to_train_a_factory_all_are_compared(factory: str) -> None:
    vectors = scatter(40)
    found = nearest(vectors, IndexSettings(k=5, factory=factory), seed=0)
    np.testing.assert_array_equal(found.indices, brute(vectors, 5)[0])
    assert (found.index, found.recall) == ("Flat", 1.0)


def test_the_measured_recall_is_the_true_one() -> None:
    vectors = scatter(500, d=32)
    found = nearest(vectors, IndexSettings(k=10, recall=0.05, factory="IVF64,Flat"), seed=0)
    true = brute(vectors, 10)[0]
    hits = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.indices, true, strict=True)])
    assert found.recall == pytest.approx(hits, abs=0.002)


def test_the_search_widens_until_the_recall_is_met() -> None:
    found = nearest(scatter(3000, d=32), IndexSettings(k=10, recall=0.95, factory="IVF64,Flat"), seed=0)
    assert found.recall >= 0.95
    assert "nprobe=8" not in found.index


def test_copies_are_each_others_neighbours_and_never_their_own() -> None:
    found = nearest(np.repeat(scatter(3), 4, axis=0), IndexSettings(k=3), seed=0)
    assert (found.distances == 0).all()
    assert (found.indices // 4 == (np.arange(12) // 4)[:, None]).all()
    assert (found.indices != np.arange(12)[:, None]).all()


def test_fewer_points_than_neighbours_leave_minus_one() -> None:
    for n in (0, 1, 3):
        found = nearest(scatter(n), IndexSettings(k=5), seed=0)
        assert found.indices.shape == (n, 5)
        assert ((found.indices >= 0).sum(axis=1) == max(n - 1, 0)).all()
        assert (np.isinf(found.distances) == (found.indices < 0)).all()


def test_zero_vectors_have_neighbours_too() -> None:
    vectors = scatter(20)
    vectors[:3] = 0
    found = nearest(vectors, IndexSettings(k=2), seed=0)
    assert set(found.indices[0].tolist()) == {1, 2}


def test_searching_by_list_finds_what_it_says() -> None:
    rng = np.random.default_rng(0)
    vectors = unit_rows(
        (scatter(60)[rng.integers(0, 60, 9000)] + rng.normal(0, 0.2, (9000, 16))).astype("f4")
    )
    found = nearest(vectors, IndexSettings(k=10), seed=0)
    rows = np.arange(0, 9000, 90)
    apart = np.linalg.norm(vectors[rows, None] - vectors[None], axis=2)
    apart[np.arange(100), rows] = np.inf
    true = np.argsort(apart, axis=1)[:, :10]
    hits = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.indices[rows], true, strict=True)])
    assert "by list" in found.index
    assert found.recall >= 0.95
    assert hits == pytest.approx(found.recall, abs=0.03)
    np.testing.assert_allclose(found.distances[rows, 0], apart.min(axis=1), atol=1e-4, rtol=0.3)


def test_thousands_of_equal_vectors_take_no_memory_by_the_pair() -> None:
    vectors = scatter(9000)
    equal = np.arange(0, 9000, 2)
    vectors[equal] = vectors[0]
    tracemalloc.start()
    found = nearest(vectors, IndexSettings(k=5), seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.distances[equal] == 0).all()
    assert found.indices[equal[-1]].tolist() == equal[:5].tolist()
    assert peak < 12 * len(equal) ** 2  # a pair's key takes 8 bytes, and as much again to be sorted


def test_the_rule_goes_by_size() -> None:
    assert choose_factory(1000) == "Flat"
    assert choose_factory(200_000).startswith("IVF")
    assert "SQ8" in choose_factory(10_000_000)


@pytest.mark.parametrize("factory", ["", "IVF64,Flat"])
def test_neighbours_do_not_depend_on_the_number_of_threads(factory: str) -> None:
    import faiss

    vectors = scatter(9000, d=32)
    settings = IndexSettings(factory=factory, recall=0.8)
    before = faiss.omp_get_max_threads()
    answers = []
    for threads in (1, 2):
        faiss.omp_set_num_threads(threads)
        answers.append(nearest(vectors, settings, seed=3))
    faiss.omp_set_num_threads(before)
    np.testing.assert_array_equal(answers[0].indices, answers[1].indices)
    np.testing.assert_array_equal(answers[0].distances, answers[1].distances)


@pytest.mark.parametrize(("n", "factory"), [(400, ""), (9000, ""), (9000, "IVF64,Flat"), (400, "HNSW8")])
@pytest.mark.parametrize("shards", [2, 5, 12])
def test_shards_answer_as_the_whole_does(
    n: int, factory: str, shards: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embeddings.index.BLOCK_LEAST", 30)
    vectors, settings = scatter(n), IndexSettings(k=5, factory=factory)
    save(prepare(vectors, settings, seed=0, model="abc"), tmp_path / "index")
    bounds = query_shards(n, shards)
    assert [start for start, _ in bounds[1:]] == [end for _, end in bounds[:-1]]
    assert min(end - start for start, end in bounds) >= n // 12
    found = [neighbours_of(load(tmp_path / "index", settings, "abc"), vectors, part) for part in bounds]
    whole = neighbours_of(load(tmp_path / "index", settings, "abc"), vectors, (0, n))
    np.testing.assert_array_equal(np.concatenate([one.indices for one in found]), whole.indices)
    np.testing.assert_array_equal(np.concatenate([one.distances for one in found]), whole.distances)
    assert {(one.recall, one.index) for one in found} == {(whole.recall, whole.index)}


def test_shards_searched_at_the_same_time_answer_the_same() -> None:
    vectors = scatter(9000)
    index = prepare(vectors, IndexSettings(k=5), seed=0)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda part: neighbours_of(index, vectors, part), query_shards(9000, 4)))
    whole = neighbours_of(index, vectors, (0, 9000))
    np.testing.assert_array_equal(np.concatenate([one.indices for one in found]), whole.indices)


def test_the_shards_of_an_exact_index_are_those_of_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embeddings.index.BLOCK_LEAST", 30)
    vectors = scatter(400)
    index = prepare(vectors, IndexSettings(k=5), seed=0)
    true = brute(vectors, 5)[0]
    for start, end in query_shards(400, 3):
        np.testing.assert_array_equal(neighbours_of(index, vectors, (start, end)).indices, true[start:end])


def test_more_shards_than_blocks_leave_some_empty() -> None:
    vectors = scatter(50)
    index = prepare(vectors, IndexSettings(k=5), seed=0)
    found = [neighbours_of(index, vectors, shard).indices for shard in query_shards(50, 3)]
    assert sorted(map(len, found)) == [0, 0, 50]
    np.testing.assert_array_equal(np.concatenate(found), brute(vectors, 5)[0])


@pytest.mark.parametrize(("n", "factory"), [(1, ""), (200, "IVF4,Flat"), (9000, "")])
def test_a_saved_index_answers_the_same(tmp_path: Path, n: int, factory: str) -> None:
    vectors, settings = scatter(n), IndexSettings(factory=factory)
    index = prepare(vectors, settings, seed=0, model="abc")
    save(index, tmp_path / "index")
    again = load(tmp_path / "index", settings, "abc")
    one, other = (neighbours_of(made, vectors, (0, n)) for made in (index, again))
    np.testing.assert_array_equal(one.indices, other.indices)
    assert (one.recall, one.index) == (other.recall, other.index)


def test_an_index_of_another_model_or_kind_is_refused(tmp_path: Path) -> None:
    save(build(scatter(50), IndexSettings(), seed=0, model="abc"), tmp_path / "i")
    with pytest.raises(IndexMismatchError, match="made by abc"):
        load(tmp_path / "i", IndexSettings(), "xyz")
    for asked in (IndexSettings(factory="HNSW8"), IndexSettings(k=16), IndexSettings(recall=0.9)):
        with pytest.raises(IndexMismatchError, match="asked: abc, IndexSettings"):
            load(tmp_path / "i", asked, "abc")


def test_an_index_of_other_vectors_is_refused() -> None:
    index = prepare(scatter(50), IndexSettings(), seed=0)
    with pytest.raises(ValueError, match="the index holds 50 rows, vectors has 49"):
        neighbours_of(index, scatter(49), (0, 49))

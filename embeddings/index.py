"""The FAISS index: which one, how it is built, saved and loaded, and the neighbour search."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from embeddings.inverted import nearest_in_lists, sample_rows
from embeddings.neighbours import Neighbours, tidy
from embeddings.vectors import Vectors

_EXACT = 8_000  # rows up to which brute force is as fast as anything
_FULL = 4_000_000  # rows up to which full-precision vectors are kept in the index
_BLOCK = 16_384  # queries between two progress calls


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class IndexSettings:
    """How neighbours are searched."""

    k: int = Field(default=15, ge=1, le=1024, description="Neighbours of each point.")
    recall: float = Field(
        default=0.95, gt=0, le=1, description="Share of the true neighbours to find, measured on a sample."
    )
    factory: str = Field(default="", description="FAISS index-factory string; empty: chosen by size.")


class Index(NamedTuple):
    """A FAISS index over rows 0..n-1, the string that made it, and who made the vectors."""

    faiss: Any
    factory: str
    settings: IndexSettings
    seed: int
    model: str


class IndexMismatchError(ValueError):
    """A saved index was made by another model or with other settings: build it again."""


def choose_factory(n: int) -> str:
    """Return the index-factory string for n rows.

    The rule: up to 8,000 rows brute force; then inverted lists, about 4 sqrt(n) of them, of full vectors
    (where every row is a query, `nearest` searches the same kind of lists its own way: inverted.py);
    from 4 million rows on eight-bit codes with a second look at full vectors. HNSW is not in the rule though
    it searches well: a graph built by several threads differs from run to run, and labels would with it.
    """
    if n <= _EXACT:
        return "Flat"
    lists = 1 << round(math.log2(4 * math.sqrt(n)))
    return f"IVF{lists},Flat" if n <= _FULL else f"IVF{lists},SQ8,RFlat"


def build(vectors: Vectors, settings: IndexSettings, seed: int, model: str = "") -> Index:
    """Index (n, d) vectors by Euclidean distance; rows are their numbers. `model` is who made the vectors."""
    import faiss

    n, d = vectors.shape
    factory = settings.factory or choose_factory(n)
    index = faiss.index_factory(d, factory, faiss.METRIC_L2)
    lists = _lists(index)
    if lists is not None:
        lists.cp.seed, lists.cp.niter, lists.cp.max_points_per_centroid = seed, 8, 64
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if not index.is_trained:
        index.train(vectors)
    index.add(vectors)
    return Index(index, factory, settings, seed, model)


def search(
    index: Index, queries: Vectors, k: int, progress: Callable[[int], None] | None = None
) -> NDArray[np.int64]:
    """Return the numbers (q, k) of the rows nearest each query, -1 where there are fewer.

    Searched in blocks; `progress` is told the queries done so far.
    """
    found = np.full((len(queries), k), -1, dtype=np.int64)
    for start in range(0, len(queries), _BLOCK):
        block = np.ascontiguousarray(queries[start : start + _BLOCK], dtype=np.float32)
        found[start : start + _BLOCK] = index.faiss.search(block, k)[1]
        if progress is not None:
            progress(min(start + _BLOCK, len(queries)))
    return found


def nearest(
    vectors: Vectors,
    settings: IndexSettings,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> Neighbours:
    """Return the k nearest others of each of (n, d) vectors, with the recall measured on a sample."""
    n = len(vectors)
    k = min(settings.k, max(n - 1, 0))
    if not k:
        empty = np.full((n, settings.k), -1, dtype=np.int32)
        return Neighbours(empty, np.full(empty.shape, np.inf, dtype=np.float32), 1.0, "none")
    if n > _EXACT and not settings.factory:
        near, recall, ran = nearest_in_lists(vectors, k + 1, settings.recall, seed, progress)
        return Neighbours(*tidy(vectors, near, settings.k), recall, ran)
    index = build(vectors, settings, seed)
    recall = _tune(index, vectors, k)
    found = search(index, vectors, k + 1, progress)
    indices, distances = tidy(vectors, found, settings.k)
    return Neighbours(indices, distances, recall, _ran(index))


def save(index: Index, path: Path) -> None:
    """Write the index beside a JSON file of what made it; both by temporary name, then rename."""
    import faiss

    made = {"factory": index.factory, "k": index.settings.k, "recall": index.settings.recall}
    made |= {"seed": index.seed, "model": index.model, "rows": index.faiss.ntotal, "d": index.faiss.d}
    beside = path.with_name(path.name + ".tmp")
    faiss.write_index(index.faiss, str(beside))
    os.replace(beside, path)
    beside.write_text(json.dumps(made))
    os.replace(beside, path.with_name(path.name + ".json"))


def load(path: Path, settings: IndexSettings, model: str) -> Index:
    """Read an index that this project wrote; raise IndexMismatchError when it was made otherwise."""
    import faiss

    made = json.loads(path.with_name(path.name + ".json").read_text())
    factory = settings.factory or choose_factory(made["rows"])
    if (made["model"], made["factory"]) != (model, factory):
        text = f"the index was made by {made['model']} as {made['factory']}; asked: {model}, {factory}"
        raise IndexMismatchError(text)
    index = faiss.read_index(str(path))
    if (index.ntotal, index.d) != (made["rows"], made["d"]):
        raise IndexMismatchError(f"the index holds {index.ntotal} rows, its description says {made['rows']}")
    return Index(index, made["factory"], settings, made["seed"], model)


def measure_recall(index: Index, vectors: Vectors, k: int) -> float:
    """Measure recall@k of the index on an even sample of its rows against brute force.

    A found neighbour counts when it is no farther than the true k-th, so ties are no misses.
    """
    import faiss

    rows = sample_rows(len(vectors))
    queries = np.ascontiguousarray(vectors[rows])
    true = tidy_sample(vectors, rows, faiss.knn(queries, vectors, k + 1)[1])
    found = tidy_sample(vectors, rows, search(index, queries, k + 1))
    return float((found[:, :k] <= true[:, k - 1 : k] + 1e-6).mean())


def tidy_sample(vectors: Vectors, rows: NDArray[np.int64], found: NDArray[np.int64]) -> Vectors:
    """Return the sorted distances (q, k) of found neighbours of a few rows, themselves left out."""
    difference = vectors[rows][:, None, :] - vectors[found]
    apart = np.sqrt(np.einsum("qkd,qkd->qk", difference, difference))
    apart[(found == rows[:, None]) | (found < 0)] = np.inf
    return np.sort(apart, axis=1)


def _lists(index: Any) -> Any:  # noqa: ANN401  (FAISS comes without types)
    """Return the inverted-file part of an index, None where it has none."""
    import faiss

    try:
        return faiss.extract_index_ivf(index)
    except RuntimeError:
        return None


def _tune(index: Index, vectors: Vectors, k: int) -> float:
    """Widen the search until the recall asked for is met on the sample; return what was measured."""
    if index.factory == "Flat":
        return 1.0
    lists = _lists(index.faiss)
    if lists is None:
        return measure_recall(index, vectors, k)
    lists.nprobe = min(8, lists.nlist)
    recall = measure_recall(index, vectors, k)
    while recall < index.settings.recall and lists.nprobe < lists.nlist:
        lists.nprobe = min(math.ceil(lists.nprobe * 1.5), lists.nlist)
        recall = measure_recall(index, vectors, k)
    return recall


def _ran(index: Index) -> str:
    lists = _lists(index.faiss)
    return index.factory if lists is None else f"{index.factory} nprobe={lists.nprobe}"

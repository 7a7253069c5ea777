"""The FAISS index: which one, how it is built, saved and loaded, and the neighbour search."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from embeddings.inverted import CHUNK, nearest_in_lists, prepare_lists
from embeddings.lists import Lists
from embeddings.neighbours import Neighbours, tidy
from embeddings.recall import brute_force, recall_of, sample_rows
from embeddings.vectors import Vectors, product_threads

_EXACT = 8_000  # rows up to which brute force is as fast as anything
_FULL = 4_000_000  # rows up to which full-precision vectors are kept in the index
_BLOCKS = 12  # blocks that queries are asked in: what shards are made of
BLOCK_LEAST = 2_000  # queries below which a block is not worth its own
_DIMENSIONS = math.factorial(8)  # of the index that a factory is tried on: codes cut them into equal parts


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class IndexSettings:
    """How neighbours are searched."""

    k: int = Field(default=15, ge=1, le=1024, description="Neighbours of each point.")
    recall: float = Field(
        default=0.95, gt=0, le=1, description="Share of the true neighbours to find, measured on a sample."
    )
    factory: str = Field(
        default="",
        description="FAISS index-factory string; empty: chosen by size. Brute force where too few to train.",
    )

    def __post_init__(self) -> None:
        """Refuse a factory that FAISS does not know, and one whose vectors are not numbered by their rows."""
        if "IDMap" in self.factory or not self.suits(_DIMENSIONS):
            raise PydanticCustomError(
                "factory", "expected a FAISS index-factory string such as IVF256,Flat, without IDMap"
            )

    def suits(self, dimension: int) -> bool:
        """Tell whether FAISS can make the factory's index of vectors of so many dimensions."""
        if not self.factory:
            return True
        import faiss

        try:
            faiss.index_factory(dimension, self.factory, faiss.METRIC_L2)
        except RuntimeError:
            return False
        return True


class Index(NamedTuple):
    """A searchable index of n vectors, and what made it.

    body: a FAISS index over rows 0..n-1, or `Lists`; model: the identity of the encoder; recall: the share of
    the true neighbours that it finds, on a sample; nan before it is tuned.
    """

    body: Any
    factory: str
    settings: IndexSettings
    seed: int
    model: str
    recall: float = math.nan

    @property
    def shape(self) -> tuple[int, int]:
        """The number of vectors and their dimensions."""
        if isinstance(self.body, Lists):
            return len(self.body.own), self.body.centres.shape[1]
        return self.body.ntotal, self.body.d

    @property
    def ran(self) -> str:
        """What runs in a search, and how wide."""
        if isinstance(self.body, Lists):
            return f"{self.factory}, reach={self.body.reach:.3f}"
        lists = _lists(self.body)
        return self.factory if lists is None else f"{self.factory} nprobe={lists.nprobe}"


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
    factory = (n > 1 and settings.factory) or choose_factory(n)
    index = faiss.index_factory(d, factory, faiss.METRIC_L2)
    lists = _lists(index)
    if lists is not None:
        lists.cp.seed, lists.cp.niter, lists.cp.max_points_per_centroid = seed, 8, 64
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    try:
        index.train(vectors)
    except RuntimeError:  # there are fewer vectors than it has lists or codes
        factory, index = "Flat", faiss.IndexFlatL2(d)
    index.add(vectors)
    return Index(index, factory, settings, seed, model)


def prepare(vectors: Vectors, settings: IndexSettings, seed: int, model: str = "") -> Index:
    """Index (n, d) vectors for the neighbours of each among them, as wide as the recall asked for needs."""
    n = len(vectors)
    k = min(settings.k, max(n - 1, 0))
    if n > _EXACT and not settings.factory:
        lists, recall = prepare_lists(vectors, k + 1, settings.recall, seed)
        return Index(lists, f"IVF{len(lists.centres)},Flat by list", settings, seed, model, recall)
    index = build(vectors, settings, seed, model)
    return index._replace(recall=_tune(index, vectors, k))


def query_shards(n: int, shards: int) -> list[tuple[int, int]]:
    """Return the first row and the end of each shard of n queries; where blocks are fewer, some are empty."""
    edges = np.array(_edges(n))
    return list(pairwise(edges[np.linspace(0, len(edges) - 1, shards + 1).astype(int)].tolist()))


def _edges(n: int) -> list[int]:
    """Return where the blocks begin and end that n queries are asked in.

    The last bits of a matrix product depend on its shape: with blocks that go by n alone, and shards that
    are runs of them, a row has the same answer in any shard.
    """
    blocks = max(1, min(_BLOCKS, n // BLOCK_LEAST), math.ceil(n / CHUNK))
    return np.linspace(0, n, blocks + 1).astype(int).tolist()


def neighbours_of(index: Index, vectors: Vectors, shard: tuple[int, int]) -> Neighbours:
    """Return the k nearest others of one of the `query_shards` of the (n, d) vectors that were indexed."""
    n, k = len(vectors), index.settings.k
    if index.shape[0] != n:
        raise ValueError(f"the index holds {index.shape[0]} rows, vectors has {n}")
    edges = [edge for edge in _edges(n) if shard[0] <= edge <= shard[1]]
    blocks = [np.arange(start, stop) for start, stop in pairwise(edges)]
    asked = nearest_in_lists if isinstance(index.body, Lists) else _nearest_in_faiss
    found = asked(index.body, vectors, min(k, max(n - 1, 0)) + 1, blocks)
    return Neighbours(*tidy(vectors, found, k, shard[0]), index.recall, index.ran)


def _nearest_in_faiss(
    index: Any,  # noqa: ANN401
    vectors: Vectors,
    k: int,
    blocks: Sequence[NDArray[np.int64]],
) -> NDArray[np.int64]:
    found = [np.empty((0, k), dtype=np.int64)]
    for block in blocks:
        found.append(index.search(np.ascontiguousarray(vectors[block], dtype=np.float32), k)[1])
    return np.concatenate(found)


def nearest(vectors: Vectors, settings: IndexSettings, seed: int) -> Neighbours:
    """Return the k nearest others of each of (n, d) vectors, with the recall measured on a sample."""
    return neighbours_of(prepare(vectors, settings, seed), vectors, (0, len(vectors)))


def save(index: Index, path: Path) -> None:
    """Write the index beside a JSON file of what made it; both by temporary name, then rename."""
    import faiss

    made = index._asdict() | {"settings": asdict(index.settings), "shape": index.shape}
    beside = path.with_name(path.name + ".tmp")
    with beside.open("wb") as file:
        if isinstance(index.body, Lists):
            np.savez(file, **index.body._asdict())
        else:  # through Python's file, whose errors have a number
            writer = faiss.PyCallbackIOWriter(file.write)  # type: ignore[attr-defined]
            faiss.write_index(index.body, writer)
    os.replace(beside, path)
    beside.write_text(json.dumps(made | {"body": type(index.body).__name__}))
    os.replace(beside, path.with_name(path.name + ".json"))


def load(path: Path, settings: IndexSettings, model: str) -> Index:
    """Read an index that this project wrote; raise IndexMismatchError when it was made otherwise."""
    import faiss

    made = json.loads(path.with_name(path.name + ".json").read_text())
    by = IndexSettings(**made["settings"])
    if (made["model"], by) != (model, settings):
        raise IndexMismatchError(f"the index was made by {made['model']}, {by}; asked: {model}, {settings}")
    body = _read_lists(path) if made["body"] == Lists.__name__ else faiss.read_index(str(path))
    index = Index(body, made["factory"], settings, made["seed"], model, made["recall"])
    if list(index.shape) != made["shape"]:
        raise IndexMismatchError(f"the index is {index.shape}, its description says {made['shape']}")
    return index


def _read_lists(path: Path) -> Lists:
    with np.load(path) as held:
        return Lists(held["centres"], held["spread"], held["own"], held["bound"], float(held["reach"]))


def measure_recall(index: Index, vectors: Vectors, k: int) -> float:
    """Measure recall@k of the index on an even sample of its rows against brute force."""
    rows = sample_rows(len(vectors))
    queries = np.ascontiguousarray(vectors[rows], dtype=np.float32)
    with product_threads() as pool:
        true = brute_force(vectors, rows, k + 1, pool)
    return recall_of(vectors, rows, index.body.search(queries, k + 1)[1], true)


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
    lists = _lists(index.body)
    if lists is None:
        return measure_recall(index, vectors, k)
    lists.nprobe = min(8, lists.nlist)
    recall = measure_recall(index, vectors, k)
    while recall < index.settings.recall and lists.nprobe < lists.nlist:
        lists.nprobe = min(math.ceil(lists.nprobe * 1.5), lists.nlist)
        recall = measure_recall(index, vectors, k)
    return recall

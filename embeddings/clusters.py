"""Neighbours to clusters: HDBSCAN from a neighbour graph, with counts as density.

Campello, Moulavi & Sander 2013; McInnes & Healy 2017. The minimum spanning tree is taken in the graph of
mutual reachability that the neighbours span; hierarchy, condensation, stability and selection are those of
scikit-learn's HDBSCAN, which answer as hdbscan's do in a sixth of the time. A text that was sent a thousand
times is a thousand points to them.
"""

from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from scipy import sparse
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from embeddings.index import IndexSettings, nearest
from embeddings.neighbours import Neighbours, smoothed, unit_rows
from embeddings.vectors import Vectors, distinct, unknown_vector

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_FLOOR = 1e-4  # least distance: keeps the density of identical points finite
_SAME = 1e-5  # less than one, of the product of two unit vectors that are the same


_Size = Annotated[int, Field(ge=2, description="Fewest requests (of accounts: accounts) in a cluster.")]
_Samples = Annotated[
    int, Field(ge=1, description="How many must lie near one for it to be in a dense place.")
]
_Selection = Annotated[
    Literal["eom", "leaf"],
    Field(description="Excess of mass (large, lasting clusters) or leaf (small, fine ones)."),
]
_Smoothing = Annotated[
    int, Field(ge=0, le=50, description="Rounds of averaging over neighbours before clustering; 0: none.")
]
_Join = Annotated[
    float,
    Field(gt=0, le=1, description="Noise joins the cluster that holds this share of its neighbours; 1: all."),
]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ClusterSettings:
    """What counts as a cluster, in HDBSCAN's words; the defaults find most of a family of prompts."""

    min_cluster_size: _Size = 12
    min_samples: _Samples = 5
    selection: _Selection = "eom"
    smoothing: _Smoothing = 6
    join: _Join = 0.35


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class FineClusters(ClusterSettings):
    """Clusters in which operators stay apart: smoothing and joining make them larger than one operator's."""

    smoothing: _Smoothing = 0
    join: _Join = 1.0


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class AccountClusters(ClusterSettings):
    """Clusters of accounts, of which there are few."""

    min_cluster_size: _Size = 8
    min_samples: _Samples = 3
    selection: _Selection = "leaf"


class Clusters(NamedTuple):
    """labels (n,) int32, by first member, -1 noise; strengths (n,) float32, 0..1, 0 for noise."""

    labels: NDArray[np.int32]
    strengths: NDArray[np.float32]


def cluster(neighbours: Neighbours, counts: Ints, settings: ClusterSettings) -> Clusters:
    """Cluster n points by HDBSCAN from their neighbours; counts (n,) is how often each point occurs.

    Parts of the graph that no neighbour joins are held to be farther apart than any pair that was found.
    """
    n = len(neighbours.indices)
    counts = np.asarray(counts, dtype=np.int64)
    if len(counts) != n:
        raise ValueError(f"neighbours has {n} rows, counts has {len(counts)}")
    if n == 0:
        return Clusters(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32))
    tree = spanning_tree(neighbours, core_distances(neighbours, counts, settings.min_samples))
    first = np.cumsum(counts) - counts
    labels, strengths = _select(_with_copies(tree, counts), settings)
    return Clusters(_by_first_member(labels[first]), strengths[first].astype(np.float32))


def cluster_vectors(
    vectors: Vectors,
    counts: Ints,
    index: IndexSettings,
    clusters: ClusterSettings,
    seed: int,
) -> tuple[Clusters, Neighbours]:
    """Find the clusters of (n, d) vectors: neighbours, then HDBSCAN. The whole engine.

    Equal vectors are one point: the copies of one would be all the neighbours that it has, and to find that
    out costs their square. The neighbours that are returned are those points'.
    """
    vectors = unit_rows(vectors)
    first, of = distinct(vectors)
    points = vectors[first]
    neighbours = nearest(points, index, seed)
    found = cluster_smoothed(points, neighbours, together(counts, of), clusters)
    return Clusters(found.labels[of], found.strengths[of]), neighbours


def together(counts: Ints, of: Ints) -> Ints:
    """Return how often each point occurs, (m,), from how often each text does and which point it is, (n,)."""
    return np.bincount(of, counts).astype(np.int64)


def cluster_smoothed(
    vectors: Vectors, neighbours: Neighbours, counts: Ints, settings: ClusterSettings
) -> Clusters:
    """Cluster (n, d) unit vectors whose neighbours are known: smoothed first, and noise joins at the end.

    Texts of which the encoder knows nothing have one vector and nothing in common: they are noise.
    """
    close = smoothed(vectors, neighbours, counts, settings.smoothing)
    labels, strengths = join(cluster(close, counts, settings), neighbours, settings.join)
    unknown = vectors @ unknown_vector(vectors.shape[1]) > 1 - _SAME
    labels[unknown], strengths[unknown] = -1, 0
    return Clusters(_by_first_member(labels.astype(np.int64)), strengths)


def join(clusters: Clusters, neighbours: Neighbours, share: float, rounds: int = 3) -> Clusters:
    """Let noise join the cluster that holds at least `share` of its k neighbours; the strength is that share.

    Repeated, since those who join are neighbours of others. Points with none such stay noise.
    """
    labels, strengths = clusters.labels.copy(), clusters.strengths.copy()
    k = neighbours.indices.shape[1]
    for _ in range(rounds):
        noise = np.flatnonzero(labels < 0)
        near = neighbours.indices[noise]
        held = np.sort(np.where(near >= 0, labels[near], -1), axis=1)
        best, votes = _most_frequent(held)
        some = votes >= share * k
        labels[noise[some]], strengths[noise[some]] = best[some], votes[some] / k
        if not some.any():
            break
    return Clusters(labels, strengths)


def _most_frequent(held: NDArray[np.int32]) -> tuple[NDArray[np.int32], Ints]:
    """Return each sorted row's most frequent label, the lowest among equals, and its votes; -1 is none."""
    best = np.full(len(held), -1, dtype=np.int32)
    most = np.zeros(len(held), dtype=np.int64)
    run = np.zeros(len(held), dtype=np.int64)
    for at in range(held.shape[1]):
        same = held[:, at] == held[:, at - 1] if at else np.zeros(len(held), dtype=bool)
        run = np.where(same, run + 1, 1)
        better = (run > most) & (held[:, at] >= 0)
        best[better], most[better] = held[better, at], run[better]
    return best, most


def core_distances(neighbours: Neighbours, counts: Ints, min_samples: int) -> Floats:
    """Return (n,) the distance within which `min_samples` others lie, copies of the point itself included.

    Where fewer were found, the distance of the farthest that was.
    """
    weight = np.where(neighbours.indices >= 0, counts[neighbours.indices], 0)
    reached = np.cumsum(weight, axis=1) + (counts - 1)[:, None] >= min_samples
    found = np.maximum((neighbours.indices >= 0).sum(axis=1), 1)
    at = np.where(reached.any(axis=1), reached.argmax(axis=1), found - 1)
    core = neighbours.distances[np.arange(len(at)), at].astype(np.float64)
    core[counts > min_samples] = 0.0
    return np.where(np.isfinite(core), core, 0.0)


def spanning_tree(neighbours: Neighbours, core: Floats) -> Floats:
    """Return the minimum spanning tree of mutual reachability, (n - 1, 3): both ends and distance, sorted."""
    n, k = neighbours.indices.shape
    there = neighbours.indices >= 0
    one = np.repeat(np.arange(n, dtype=np.int32), k)[there.ravel()]
    other = neighbours.indices[there]
    apart = np.maximum(np.maximum(core[one], core[other]), neighbours.distances[there])
    apart = np.maximum(apart, _FLOOR)
    starts = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    order = _order(apart)
    rank = np.empty(len(order))
    rank[order] = np.arange(1, len(order) + 1)
    found = sparse.coo_array(minimum_spanning_tree(sparse.csr_array((rank, other, starts), shape=(n, n))))
    first = np.argsort(found.data)
    edges = np.column_stack([*found.coords, apart[order[found.data.astype(np.int64) - 1]]])[first]
    return np.concatenate([edges, _joins(found, n, 2 * max(1.0, edges[:, 2].max(initial=0)))])


def _order(apart: Floats) -> Ints:
    """Return the order of distances that are float32 numbers, equal ones by place: the same on any machine.

    From nothing up such numbers sort as their bits do, and integers sort several times faster than positions.
    """
    bits = apart.astype(np.float32).view(np.uint32).astype(np.uint64)
    return (
        np.sort(bits << np.uint64(32) | np.arange(len(bits), dtype=np.uint64)).astype(np.int64) & 0xFFFFFFFF
    )


def _joins(forest: sparse.coo_array, n: int, far: float) -> Floats:
    """Return edges of length `far` that make one tree of a forest: its parts in a row, the largest first.

    So parts that are no clusters fall off the others one by one, and make none with each other.
    """
    parts, part = connected_components(forest, directed=False)
    _, first, size = np.unique(part, return_index=True, return_counts=True)
    first = first[np.argsort(-size, kind="stable")]
    return np.column_stack([first[:-1], first[1:], np.full(parts - 1, far)])


def _with_copies(tree: Floats, counts: Ints) -> Floats:
    """Return the spanning tree of all copies of the points: those of one point in a row, at no distance."""
    first = np.cumsum(counts) - counts
    copy = np.setdiff1d(np.arange(int(counts.sum())), first, assume_unique=True)
    near = np.column_stack([copy - 1, copy, np.full(len(copy), _FLOOR)])
    ends = first[tree[:, :2].astype(np.int64)].reshape(-1, 2)
    edges = np.column_stack([ends, tree[:, 2]])
    close = int((tree[:, 2] <= _FLOOR).sum())
    return np.concatenate([edges[:close], near, edges[close:]])


def _select(tree: Floats, settings: ClusterSettings) -> tuple[Ints, Floats]:
    """Return label (-1 noise) and strength of each point of a spanning tree sorted by distance.

    A tree that never splits holds one cluster only when all its points are identical.
    """
    from sklearn.cluster._hdbscan._linkage import MST_edge_dtype, make_single_linkage
    from sklearn.cluster._hdbscan._tree import tree_to_labels

    m = len(tree) + 1
    if tree[:, 2].max(initial=0) <= _FLOOR:
        alone = np.full(m, 0 if m >= settings.min_cluster_size else -1)
        return alone, (alone + 1).astype(float)
    edges = np.empty(len(tree), dtype=MST_edge_dtype)
    for name, column in zip(edges.dtype.names, tree.T, strict=True):
        edges[name] = column
    return tree_to_labels(
        make_single_linkage(edges),
        settings.min_cluster_size,
        settings.selection,
    )


def _by_first_member(labels: Ints) -> NDArray[np.int32]:
    """Renumber clusters by their first member; -1 stays noise."""
    found, first = np.unique(labels[labels >= 0], return_index=True)
    number = np.full(int(labels.max(initial=-1)) + 2, -1, dtype=np.int32)
    number[found[np.argsort(first)]] = np.arange(len(found))
    return number[labels]

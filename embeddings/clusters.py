"""Neighbours to clusters: HDBSCAN from a neighbour graph, with counts as density.

Campello, Moulavi & Sander 2013; McInnes & Healy 2017. The minimum spanning tree is taken in the graph of
mutual reachability that the neighbours span. Hierarchy, condensation and selection give what hdbscan's give
(a test compares), and are ours for two reasons: a text sent a thousand times is a thousand points in them,
and they are linear.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from scipy import sparse
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from embeddings.index import IndexSettings, nearest
from embeddings.neighbours import Neighbours, Vectors, smoothed, unit_rows

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_FLOOR = 1e-4  # least distance: keeps the density of identical points finite


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ClusterSettings:
    """What counts as a cluster, in HDBSCAN's words."""

    min_cluster_size: int = Field(default=12, ge=2, description="Fewest requests in a cluster.")
    min_samples: int = Field(
        default=5, ge=1, description="Requests that must lie near one for it to be in a dense place."
    )
    selection: Literal["eom", "leaf"] = Field(
        default="eom", description="Excess of mass (large, lasting clusters) or leaf (small, fine ones)."
    )
    epsilon: float = Field(
        default=0.0, ge=0, description="Clusters closer than this distance are not split further."
    )
    smoothing: int = Field(
        default=6, ge=0, le=50, description="Rounds of averaging over neighbours before clustering; 0: none."
    )
    join: float = Field(
        default=0.35,
        gt=0,
        le=1,
        description="Noise joins the cluster that holds this share of its neighbours; 1: all of them.",
    )


class Clusters(NamedTuple):
    """labels (n,) int32, by first member, -1 noise; strengths (n,) float32, 0..1, 0 for noise."""

    labels: NDArray[np.int32]
    strengths: NDArray[np.float32]


class Condensed(NamedTuple):
    """HDBSCAN's condensed tree, split in two: what happens to points, and what happens to clusters.

    Clusters are numbered from 0, the root, parents before children. cluster (n,) is where a point last was,
    left (n,) the density, 1 / distance, at which it fell out, weight (n,) its count. parent, born, size (c,)
    are a cluster's parent (-1 for the root), the density at which it split off, and its weight.
    """

    cluster: Ints
    left: Floats
    weight: Ints
    parent: Ints
    born: Floats
    size: Ints


def cluster(neighbours: Neighbours, counts: Ints, settings: ClusterSettings) -> Clusters:
    """Cluster n points by HDBSCAN from their neighbours; counts (n,) is how often each point occurs.

    Parts of the graph that no neighbour joins are held to be farther apart than any pair that was found.
    """
    n = len(neighbours.indices)
    counts = np.asarray(counts, dtype=np.int64)
    if len(counts) != n:
        raise ValueError(f"neighbours has {n} rows, counts has {len(counts)}")
    if n < 2:
        alone = np.full(n, 0 if n and counts[0] >= settings.min_cluster_size else -1, dtype=np.int32)
        return Clusters(alone, (alone + 1).astype(np.float32))
    tree = spanning_tree(neighbours, core_distances(neighbours, counts, settings.min_samples))
    return select(condense(tree, counts, settings.min_cluster_size), settings)


def cluster_vectors(
    vectors: Vectors,
    counts: Ints,
    index: IndexSettings,
    clusters: ClusterSettings,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> tuple[Clusters, Neighbours]:
    """Find the clusters of (n, d) vectors: neighbours, then HDBSCAN. The whole engine."""
    vectors = unit_rows(vectors)
    neighbours = nearest(vectors, index, seed, progress)
    close = smoothed(vectors, neighbours, np.asarray(counts), clusters.smoothing)
    return join(cluster(close, counts, clusters), neighbours, clusters.join), neighbours


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
    graph = sparse.csr_array((np.maximum(apart, _FLOOR), (one, other)), shape=(n, n))
    found = sparse.coo_array(minimum_spanning_tree(graph))
    edges = np.column_stack([*found.coords, found.data])
    edges = np.concatenate([edges, _joins(found, n, 2 * max(1.0, edges[:, 2].max(initial=0)))])
    return edges[np.lexsort((edges[:, 1], edges[:, 0], edges[:, 2]))]


def _joins(forest: sparse.coo_array, n: int, far: float) -> Floats:
    """Return edges of length `far` that make one tree of a forest: its parts in a row."""
    parts, part = connected_components(forest, directed=False)
    first = np.unique(part, return_index=True)[1]
    return np.column_stack([first[:-1], first[1:], np.full(parts - 1, far)])


def condense(tree: Floats, counts: Ints, min_cluster_size: int) -> Condensed:
    """Condense the single-linkage hierarchy of a spanning tree: splits off less than a cluster are losses.

    Linear: the hierarchy and its sizes in one pass up, the rest by pointer jumping.
    """
    n = len(counts)
    children, size = single_linkage(tree, counts)
    parent = np.full(2 * n - 1, -1)
    parent[children] = np.arange(n, 2 * n - 1)[:, None]
    density = np.r_[np.full(n, 1 / _FLOOR), 1 / tree[:, 2]]
    big = size >= min_cluster_size
    big[-1] = True
    both = big[children].all(axis=1)  # a true split: both sides are clusters
    starts = np.zeros(2 * n - 1, dtype=bool)
    starts[children[both]] = True
    starts[-1] = True
    top = _jump(np.where(starts | ~big, np.arange(2 * n - 1), parent))  # a big node's cluster
    fallen = _jump(np.where(~big & ~big[parent], parent, np.arange(2 * n - 1)))[:n]  # highest small ancestor
    last = np.where(big[:n], np.arange(n), parent[fallen])  # where the point last was in a cluster
    nodes = np.flatnonzero(starts)[::-1]  # the root first, parents before children
    number = np.full(2 * n - 1, -1)
    number[nodes] = np.arange(len(nodes))
    above = parent[nodes]
    return Condensed(
        cluster=number[top[last]],
        left=density[last],
        weight=counts,
        parent=np.where(above >= 0, number[top[above]], -1),
        born=np.where(above >= 0, density[above], 0.0),
        size=size[nodes],
    )


def single_linkage(tree: Floats, counts: Ints) -> tuple[Ints, Ints]:
    """Return the hierarchy that a sorted spanning tree stands for: children (n - 1, 2), sizes (2n - 1,).

    Node n + i is the merger at edge i, as in hdbscan, whose own labelling is not used: its union-find
    overwrites the pointer it walks along before it shortens it (`p, parent[p] = parent[p], n`), so paths stay
    long and its time grows faster than linearly, 2.7 s at 200,000 points where this takes 0.4.
    """
    n = len(counts)
    above = list(range(2 * n - 1))
    sizes = counts.tolist() + [0] * (n - 1)
    children = []
    ends = zip(tree[:, 0].astype(np.int64).tolist(), tree[:, 1].astype(np.int64).tolist(), strict=True)
    for node, (one, other) in enumerate(ends, start=n):
        while above[one] != one:
            above[one] = one = above[above[one]]
        while above[other] != other:
            above[other] = other = above[above[other]]
        above[one] = above[other] = node
        sizes[node] = sizes[one] + sizes[other]
        children.append((one, other))
    return np.array(children, dtype=np.int64).reshape(-1, 2), np.array(sizes, dtype=np.int64)


def _jump(towards: Ints) -> Ints:
    """Follow pointers until they stand still; each step doubles the stride."""
    while not np.array_equal(further := towards[towards], towards):
        towards = further
    return towards


def select(tree: Condensed, settings: ClusterSettings) -> Clusters:
    """Choose clusters in a condensed tree as hdbscan does, and label the points.

    A tree that never splits holds one cluster only when all its points are identical.
    """
    if len(tree.parent) == 1:
        same = (tree.left >= 1 / _FLOOR).all() and tree.size[0] >= settings.min_cluster_size
        alone = np.full(len(tree.cluster), 0 if same else -1, dtype=np.int32)
        return Clusters(alone, (alone + 1).astype(np.float32))
    chosen = _excess_of_mass(tree) if settings.selection == "eom" else _leaves(tree)
    if settings.epsilon > 0:
        chosen = _merge_below(tree, chosen, settings.epsilon)
    holder = _holders(tree, chosen)
    labels = holder[tree.cluster]
    strengths = _strengths(tree, labels)
    first, rank = np.unique(labels[labels >= 0], return_index=True)
    number = np.full(len(tree.parent) + 1, -1, dtype=np.int32)
    number[first[np.argsort(rank)]] = np.arange(len(first))
    return Clusters(number[labels], strengths)


def _excess_of_mass(tree: Condensed) -> NDArray[np.bool_]:
    """Mark the clusters whose own stability is at least that of the best choice below them.

    The library clears the whole subtree each time a cluster wins, which is quadratic in nested clusters; here
    a lower choice is overruled once, from the top, by `_holders`.
    """
    mass = np.bincount(tree.cluster, weights=tree.weight * tree.left, minlength=len(tree.parent))
    mass += np.bincount(tree.parent[1:], weights=tree.size[1:] * tree.born[1:], minlength=len(mass))
    stability = (mass - tree.size * tree.born).tolist()
    below = [0.0] * len(stability)
    chosen = np.zeros(len(stability), dtype=bool)
    parent = tree.parent.tolist()
    for node in range(len(stability) - 1, 0, -1):
        chosen[node] = below[node] <= stability[node]
        below[parent[node]] += max(below[node], stability[node])
    return chosen


def _leaves(tree: Condensed) -> NDArray[np.bool_]:
    chosen = np.ones(len(tree.parent), dtype=bool)
    chosen[tree.parent[1:]] = False
    return chosen


def _merge_below(tree: Condensed, chosen: NDArray[np.bool_], epsilon: float) -> NDArray[np.bool_]:
    """Raise choices that split off below `epsilon` to an ancestor that did not (Malzer & Baum 2020)."""
    late = tree.born * epsilon > 1
    merged = np.zeros(len(chosen), dtype=bool)
    for node in np.flatnonzero(_holders(tree, chosen) == np.arange(len(chosen))).tolist():
        while late[node] and tree.parent[node] > 0:
            node = tree.parent[node]
        merged[node] = True
    return merged


def _holders(tree: Condensed, chosen: NDArray[np.bool_]) -> Ints:
    """Return (c,) the topmost chosen cluster at or above each cluster, -1 where there is none."""
    holder = [-1] * len(chosen)
    for node, (above, own) in enumerate(zip(tree.parent.tolist(), chosen.tolist(), strict=True)):
        over = holder[above] if node else -1
        holder[node] = over if over >= 0 else (node if own else -1)
    return np.array(holder)


def _strengths(tree: Condensed, labels: Ints) -> NDArray[np.float32]:
    """Return how near, in density, each point stayed to the densest of its cluster; 0 for noise."""
    deepest = np.zeros(len(tree.parent))
    np.maximum.at(deepest, tree.cluster, tree.left)
    np.maximum.at(deepest, tree.parent[1:], tree.born[1:])
    peak = deepest[labels]
    return np.where(labels >= 0, np.minimum(tree.left, peak) / peak, 0.0).astype(np.float32)

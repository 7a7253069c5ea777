"""Dense blocks of account x template x hour (FRAUDAR, Hooi et al., KDD 2016).

Objects are pairs of a template (the prompt's opening) and an hour of the window, so that the third mode of
D-Cube (Shin et al., WSDM 2017) is folded into the second. Edges weigh 1 / log(degree + 5) of their object;
the vertex of least weight is peeled until none is left, and the densest set on the way is the block. Blocks
are taken one after the other, their edges removed, while they have eight accounts.
"""

import heapq

import numpy as np
import polars as pl

from benchmarks.detection.rivals.space import Space

FEWEST_ACCOUNTS = 8
MOST_BLOCKS = 8


def fraudar_groups(traffic: pl.DataFrame, space: Space, seed: int) -> list[list[str]]:
    """Return the accounts of up to eight dense blocks."""
    opening = pl.col("prompt").str.replace_all(r"\d", "").str.slice(0, 40)
    hour = pl.col("timestamp").dt.truncate("1h").dt.epoch("s").cast(pl.String)
    shared = traffic.select(pl.concat_str(opening, hour, separator="|").rank("dense")).to_series()
    item = shared.to_numpy() - 1
    edges = np.unique(np.c_[space.account, item.astype(np.int64)], axis=0)
    degree = np.bincount(edges[:, 1])
    edges = edges[degree[edges[:, 1]] > 1]
    groups = []
    for _ in range(MOST_BLOCKS):
        block, objects = densest(edges) if len(edges) else (set(), set())
        if len(block) < FEWEST_ACCOUNTS:
            break
        groups.append([space.names[i] for i in sorted(block)])
        inside = np.isin(edges[:, 0], list(block)) & np.isin(edges[:, 1], list(objects))
        edges = edges[~inside]
    return groups


def densest(edges: np.ndarray) -> tuple[set[int], set[int]]:
    """Peel greedily and return the accounts and objects of the densest block; edges (e, 2)."""
    weight = 1 / np.log(np.bincount(edges[:, 1])[edges[:, 1]] + 5)
    offset = int(edges[:, 0].max()) + 1
    links: dict[int, list[tuple[int, float]]] = {}
    for (a, o), w in zip(edges.tolist(), weight.tolist(), strict=True):
        links.setdefault(a, []).append((o + offset, w))
        links.setdefault(o + offset, []).append((a, w))
    value = {v: sum(w for _, w in near) for v, near in links.items()}
    heap = [(x, v) for v, x in value.items()]
    heapq.heapify(heap)
    total, alive, best, at = float(weight.sum()), len(value), 0.0, 0
    order: list[int] = []
    while heap:
        x, v = heapq.heappop(heap)
        if value.get(v) != x:
            continue
        if total / alive > best:
            best, at = total / alive, len(order)
        order.append(v)
        del value[v]
        total -= x
        alive -= 1
        for u, w in links[v]:
            if u in value:
                value[u] -= w
                heapq.heappush(heap, (value[u], u))
    kept = order[at:]
    return {v for v in kept if v < offset}, {v - offset for v in kept if v >= offset}

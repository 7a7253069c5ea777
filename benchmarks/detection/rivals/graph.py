"""Groups of a graph of accounts: its connected components of some size."""

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

FEWEST_ACCOUNTS = 8


def components(names: list[str], left: np.ndarray, right: np.ndarray) -> list[list[str]]:
    """Return the components with at least eight accounts, as names."""
    n = len(names)
    graph = csr_matrix((np.ones(len(left)), (left, right)), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    sizes = np.bincount(label)
    return [[names[i] for i in np.flatnonzero(label == k)] for k in np.flatnonzero(sizes >= FEWEST_ACCOUNTS)]

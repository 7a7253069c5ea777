"""Coarse topics: the nearest of a few hundred centroids for every text, noise or not."""

import numpy as np
from numpy.typing import NDArray


def topics(vectors: NDArray[np.float32], n_topics: int, seed: int) -> NDArray[np.int32]:
    """Assign each row of (n, d) unit vectors to the nearest of `n_topics` spherical k-means centroids.

    Returns (n,) int32 labels from 0; there is no noise here, unlike in a density clustering. Fewer centroids
    are used for small inputs (24 texts each). The same input and seed give the same labels.
    """
    import faiss

    n, d = vectors.shape
    k = max(1, min(n_topics, n // 24))
    if k == 1:
        return np.zeros(n, dtype=np.int32)
    kmeans = faiss.Kmeans(
        d, k, niter=6, seed=seed, spherical=True, min_points_per_centroid=1, max_points_per_centroid=24
    )
    kmeans.train(vectors)
    _, nearest = kmeans.index.search(vectors, 1)
    return nearest[:, 0].astype(np.int32)

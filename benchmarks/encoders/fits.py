"""Ways to fit vectors of tokens to a corpus: what `embeddings.fit` does, and what else was tried.

Each takes the (texts, tokens) counts, the texts as token ids, a dimension and a seed, and returns
(tokens, d) float32 vectors; the vector of a text is the sum of its tokens', at length one.
"""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from embeddings.fit import FitSettings, bag_of, fit_weights, inverse_frequency, right_vectors, tf_idf
from embeddings.tokens import Tokens
from embeddings.vectors import Vectors

Fit = Callable[[Tokens, int, int, int], Vectors]
WINDOW = 5  # tokens to either side that count as met together
SVD_TEXTS = FitSettings().svd_texts


def kept(tokens: Tokens, n_tokens: int, dimension: int, seed: int) -> Vectors:
    return fit_weights(
        tokens, np.ones(len(tokens.starts) - 1), n_tokens, FitSettings(dimension=dimension), seed
    )


def plain(power: float) -> Fit:
    """LSA as in its paper, the dimensions scaled by a power of their singular values (0: orthonormal)."""

    def fit(tokens: Tokens, n_tokens: int, dimension: int, seed: int) -> Vectors:
        bag = bag_of(tokens, n_tokens)
        idf = inverse_frequency(bag)
        part = tf_idf(bag[:SVD_TEXTS], idf)
        vectors = right_vectors(part, dimension, seed)
        values = np.linalg.norm(part @ vectors, axis=0)
        return (idf[:, None] * vectors * np.maximum(values, 1e-6) ** power).astype(np.float32)

    return fit


def by_direction(tokens: Tokens, n_tokens: int, dimension: int, seed: int) -> Vectors:
    """Scale by singular values, first left out, and give every token its direction alone, times idf."""
    bag = bag_of(tokens, n_tokens)
    idf = inverse_frequency(bag)
    part = tf_idf(bag[:SVD_TEXTS], idf)
    vectors = right_vectors(part, dimension + 1, seed)[:, 1:]
    vectors *= np.linalg.norm(part @ vectors, axis=0)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return (idf[:, None] * vectors / lengths).astype(np.float32)


def no_idf(tokens: Tokens, n_tokens: int, dimension: int, seed: int) -> Vectors:
    """Plain LSA of counts: every token weighs the same."""
    bag = tf_idf(bag_of(tokens, n_tokens), np.ones(n_tokens, np.float32))
    return right_vectors(bag[:SVD_TEXTS], dimension, seed)


def projection(tokens: Tokens, n_tokens: int, dimension: int, seed: int) -> Vectors:
    """TF-IDF itself, projected at random (Achlioptas 2003): exact words and nothing else."""
    idf = inverse_frequency(bag_of(tokens, n_tokens))
    drawn = np.random.default_rng(seed).choice([-1.0, 1.0], size=(n_tokens, dimension))
    return (idf[:, None] * drawn).astype(np.float32)


def mixture(share: float) -> Fit:
    """Give most dimensions to what is kept, a share to words by themselves, projected at random."""

    def fit(tokens: Tokens, n_tokens: int, dimension: int, seed: int) -> Vectors:
        extra = int(dimension * share)
        first = kept(tokens, n_tokens, dimension - extra, seed)
        second = projection(tokens, n_tokens, extra, seed)
        scale = np.sqrt(share / extra) * 0.3
        return np.hstack([first, (scale * second).astype(np.float32)])

    return fit


def cooccurrence(tokens: Tokens, n_tokens: int) -> sparse.csr_array:
    """Count, (tokens, tokens), how often two tokens stand within WINDOW of each other in a text."""
    of_text = np.repeat(np.arange(len(tokens.starts) - 1), np.diff(tokens.starts))
    met = sparse.csr_array((n_tokens, n_tokens), dtype=np.float32)
    for apart in range(1, WINDOW + 1):
        same = of_text[apart:] == of_text[:-apart]
        one, other = tokens.ids[:-apart][same], tokens.ids[apart:][same]
        ones = np.full(len(one), 1 / apart, dtype=np.float32)
        met = met + sparse.csr_array((ones, (one, other)), shape=met.shape)
    return sparse.csr_array(met + met.T)


def ppmi(tokens: Tokens, n_tokens: int, dimension: int, seed: int) -> Vectors:
    """Factors of the positive pointwise mutual information of tokens (Levy & Goldberg 2014), times idf."""
    met = cooccurrence(tokens, n_tokens)
    total = np.maximum(met.sum(axis=1), 1e-9)
    context = total**0.75 / (total**0.75).sum()  # smoothed, as theirs
    rows = np.repeat(np.arange(n_tokens), np.diff(met.indptr))
    met.data = np.maximum(np.log(met.data / (total[rows] * context[met.indices])), 0).astype(np.float32)
    vectors = right_vectors(met, dimension, seed)
    values = np.linalg.norm(met @ vectors, axis=0)
    factors = vectors * np.sqrt(values)
    factors /= np.maximum(np.linalg.norm(factors, axis=1, keepdims=True), 1e-6)
    return (inverse_frequency(bag_of(tokens, n_tokens))[:, None] * factors).astype(np.float32)


FITS: dict[str, Fit] = {
    "kept: TF-IDF + SVD, first left out, lengths by root": kept,
    "… lengths all the same": by_direction,
    "TF-IDF + SVD (plain LSA)": plain(0.0),
    "TF-IDF + SVD, times σ": plain(1.0),
    "TF-IDF + SVD, whitened": plain(-1.0),
    "counts + SVD": no_idf,
    "PPMI factors of co-occurrence, times idf": ppmi,
    "TF-IDF, random projection": projection,
    "kept, a quarter random projection": mixture(0.25),
}

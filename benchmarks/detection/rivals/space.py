"""One text space for all rivals: TF-IDF of words and word pairs, and its first 100 singular directions."""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize

DIMENSIONS = 100
CHARACTERS = 2000  # of a prompt that are read
FEWEST = 3  # texts that a word or pair must occur in
MOST = 60_000  # words and pairs kept, the most frequent


class Space(NamedTuple):
    """tfidf (n, v) sparse unit rows; vectors (n, 100) float32 unit rows; account (n,) number of names."""

    tfidf: csr_matrix
    vectors: NDArray[np.float32]
    account: NDArray[np.int64]
    names: list[str]


def text_space(traffic: pl.DataFrame, seed: int) -> Space:
    """Embed every request of a log; the same space serves every rival, so that only methods differ."""
    distinct = traffic["prompt"].unique(maintain_order=True)
    tfidf = tfidf_rows(distinct)
    vectors = TruncatedSVD(DIMENSIONS, random_state=seed, n_iter=2).fit_transform(tfidf)
    index = distinct.to_frame().with_row_index("i")
    row = traffic.select("prompt").join(index, on="prompt", how="left", maintain_order="left")["i"].to_numpy()
    names = traffic["account_id"].unique().sort()
    account = (
        traffic.select("account_id")
        .join(names.to_frame().with_row_index("a"), on="account_id", how="left", maintain_order="left")["a"]
        .to_numpy()
    )
    unit = normalize(vectors + 1e-12).astype(np.float32)
    return Space(tfidf[row], unit[row], account.astype(np.int64), names.to_list())


def tfidf_rows(texts: pl.Series) -> csr_matrix:
    """Return (n, v) unit rows of (1 + log count) * idf over words of two letters and more and their pairs.

    What scikit-learn's TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True) gives, in a fifth of the time.
    """
    lists = texts.str.slice(0, CHARACTERS).str.to_lowercase().str.extract_all(r"\w\w+")
    document = np.repeat(np.arange(len(texts)), lists.list.len().to_numpy())
    word = lists.filter(lists.list.len() > 0).explode().rank("dense").to_numpy().astype(np.int64)
    inside = document[1:] == document[:-1]
    pair = word[:-1][inside] * (word.max(initial=0) + 1) + word[1:][inside]
    _, term = np.unique(np.r_[word, -pair], return_inverse=True)  # a pair's number is never a word's
    ones = np.ones(len(term), np.float32)
    counts = csr_matrix((ones, (np.r_[document, document[1:][inside]], term)), (len(texts), term.max() + 1))
    counts.sum_duplicates()
    often = np.bincount(counts.indices, minlength=counts.shape[1])
    kept = np.flatnonzero(often >= FEWEST)
    total = np.asarray(counts.sum(axis=0)).ravel()[kept]
    kept = np.sort(kept[np.argsort(-total, kind="stable")[:MOST]])
    weights = counts[:, kept]
    idf = np.log((1 + len(texts)) / (1 + often[kept])) + 1
    weights.data = ((1 + np.log(weights.data)) * idf[weights.indices]).astype(np.float32)
    return normalize(weights, copy=False)

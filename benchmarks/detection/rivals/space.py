"""One text space for all rivals: TF-IDF of words and word pairs, and its first 100 singular directions."""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

DIMENSIONS = 100


class Space(NamedTuple):
    """tfidf (n, v) sparse unit rows; vectors (n, 100) float32 unit rows; account (n,) number of names."""

    tfidf: csr_matrix
    vectors: NDArray[np.float32]
    account: NDArray[np.int64]
    names: list[str]


def text_space(traffic: pl.DataFrame, seed: int) -> Space:
    """Embed every request of a log; the same space serves every rival, so that only methods differ."""
    distinct = traffic["prompt"].unique(maintain_order=True)
    words = TfidfVectorizer(
        ngram_range=(1, 2), min_df=3, max_features=60_000, sublinear_tf=True, dtype=np.float32
    )
    tfidf = words.fit_transform(distinct.str.slice(0, 2000).to_list())
    vectors = TruncatedSVD(DIMENSIONS, random_state=seed, n_iter=4).fit_transform(tfidf)
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

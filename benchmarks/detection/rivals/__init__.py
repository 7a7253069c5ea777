"""Other people's methods, written from their papers; each turns a log into groups of accounts."""

from collections.abc import Callable

import polars as pl

from benchmarks.detection.rivals.blocks import fraudar_groups
from benchmarks.detection.rivals.coposting import coposting_groups
from benchmarks.detection.rivals.cosine import cosine_groups
from benchmarks.detection.rivals.single import coverage_groups, prada_groups, seat_groups
from benchmarks.detection.rivals.space import Space
from benchmarks.detection.rivals.topics import hdbscan_groups, umap_groups
from benchmarks.detection.rivals.windows import window_groups

Groups = list[list[str]]
RIVALS: dict[str, Callable[[pl.DataFrame, Space, int], Groups]] = {
    "MMD windows": window_groups,
    "PRADA": prada_groups,
    "SEAT": seat_groups,
    "CAP coverage": coverage_groups,
    "TF-IDF cosine": cosine_groups,
    "co-posting": coposting_groups,
    "UMAP+HDBSCAN": umap_groups,
    "HDBSCAN": hdbscan_groups,
    "FRAUDAR": fraudar_groups,
}

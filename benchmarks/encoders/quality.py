"""What encoders tell apart: families of prompts, and campaigns in simulated traffic."""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.encoders.fits import FITS
from benchmarks.encoders.texts import publish, table
from campaigns.simulation.presets import names
from campaigns.simulation.simulate import SimulationSettings, simulate
from embeddings.clusters import ClusterSettings, cluster_vectors
from embeddings.encoders import EncoderSettings, load_encoder
from embeddings.fit import FitSettings, fit_encoder, read_with
from embeddings.index import IndexSettings
from embeddings.static import StaticEncoder
from embeddings.tokens import cut, words_of_json
from embeddings.vectors import Vectors, finish
from embeddings.views import View, ViewSettings, view_texts

Encode = Callable[[Sequence[str]], Vectors]
NEAR = 10
VIEWS = (View.FULL, View.SKELETON, View.RUN)
DIMENSION = FitSettings().dimension


def default(texts: Sequence[str], folder: Path) -> Encode:
    fit_encoder(texts, None, folder, FitSettings(), seed=0)
    return load_encoder(str(folder), EncoderSettings()).encode


def by_tf_idf(texts: Sequence[str]) -> Encode:
    """Fit scikit-learn's TF-IDF of words and truncated SVD, as its documentation shows it."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, min_df=3), TruncatedSVD(DIMENSION, random_state=0)
    ).fit(texts)
    return lambda some: finish(model.transform(some).astype(np.float32))


def encoders(texts: Sequence[str], static: str | None, folder: Path) -> dict[str, Encode]:
    """Return the encoders beside each other, those that are fitted fitted on the texts."""
    beside = {"default": default(texts, folder)}
    if static:
        beside["pretrained static"] = load_encoder(static, EncoderSettings()).encode
    return beside | {"TF-IDF + SVD": by_tf_idf(texts)}


def agreement(vectors: Vectors, family: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (n,) the share of each row's ten nearest others that are of its family, found by brute force."""
    import faiss

    _near, found = faiss.knn(vectors, vectors, NEAR + 1, metric=faiss.METRIC_INNER_PRODUCT)
    own = found == np.arange(len(vectors))[:, None]
    own[~own.any(axis=1), -1] = True  # a row that its copies pushed out
    others = found[~own].reshape(len(vectors), NEAR)
    return (family[others] == family[:, None]).mean(axis=1)


def clustered(vectors: Vectors, counts: NDArray[np.int64]) -> NDArray[np.int32]:
    found, _near = cluster_vectors(vectors, counts, IndexSettings(), ClusterSettings(), seed=0)
    return found.labels


def measure(vectors: Vectors, frame: pl.DataFrame) -> pl.DataFrame:
    """Add to each labelled row its agreement and cluster, within its half of the families."""
    parts = []
    for half in ("tuning", "heldout"):
        there = (frame["half"] == half).to_numpy()
        part = frame.filter(there)
        family = part["family"].rank("dense").to_numpy().astype(np.int64)
        labels = clustered(vectors[there], np.ones(part.height, dtype=np.int64))
        parts.append(part.with_columns(near=agreement(vectors[there], family), label=labels))
    return pl.concat(parts)


def mutual_information(rows: pl.DataFrame) -> float:
    """Return the adjusted mutual information of families and clusters; noise is one cluster."""
    from sklearn.metrics import adjusted_mutual_info_score

    return float(adjusted_mutual_info_score(rows["family"].to_numpy(), rows["label"].to_numpy()))


def scores(rows: pl.DataFrame) -> list[float | str]:
    """Return agreement, adjusted mutual information and noise of the halves."""
    halves = [rows.filter(pl.col("half") == half) for half in ("tuning", "heldout")]
    cells: list[float | str] = [_mean(half["near"]) for half in halves]
    cells += [mutual_information(half) for half in halves]
    return [*cells, *[f"{_mean(half['label'] < 0):.0%}" for half in halves]]


HEAD = ["agreement, tuning", "held out", "AMI, tuning", "held out", "noise, tuning", "held out"]


def compare_fits(frame: pl.DataFrame) -> None:
    """Compare ways to fit the default encoder, with one vocabulary and at one dimension."""
    texts = frame["prompt"].to_list()
    words = words_of_json(read_with(cut(texts), FitSettings()))
    tokens, n_tokens = words.tokens(texts), words.tokenizer.get_vocab_size()
    lines = []
    for name, fit in FITS.items():
        start = perf_counter()
        weights = fit(tokens, n_tokens, DIMENSION, 0)
        seconds = perf_counter() - start
        vectors = StaticEncoder(name, words, weights).encode(texts)
        lines.append([name, *scores(measure(vectors, frame)), f"{seconds:.1f}"])
        print(lines[-1], flush=True)
    publish("fits", table(["fitted by", *HEAD, "fit, s"], lines))


def compare_encoders(frame: pl.DataFrame, static: str | None, folder: Path) -> None:
    """Measure encoders on labelled prompts: both halves of the families, and by language."""
    texts = frame["prompt"].to_list()
    rows = {name: measure(encode(texts), frame) for name, encode in encoders(texts, static, folder).items()}
    lines = [[name, *scores(some)] for name, some in rows.items()]
    said = f"{frame.height:,} prompts of {frame['family'].n_unique()} families.\n\n"
    publish("quality", said + table(["encoder", *HEAD], lines))
    publish("languages", by_language(rows))


def by_language(rows: dict[str, pl.DataFrame]) -> str:
    """Write agreement and mutual information by language, most frequent first."""
    first = next(iter(rows.values()))
    counts = first.group_by("lang").agg(pl.len(), pl.col("family").n_unique()).sort("len", descending=True)
    lines = []
    for lang, n, families in counts.filter(pl.col("len") >= 100).iter_rows():
        some = [each.filter(pl.col("lang") == lang) for each in rows.values()]
        cells: list[float | str] = [_mean(each["near"]) for each in some]
        cells += [mutual_information(each) if families > 1 else "" for each in some]
        lines.append([lang, f"{n:,}", families, *cells])
    head = [f"agreement, {name}" for name in rows] + [f"AMI, {name}" for name in rows]
    return table(["language", "prompts", "families", *head], lines)


def coverage(pack: pl.DataFrame | None, static: str | None, accounts: int, folder: Path) -> None:
    """Measure what share of a campaign's rows lies in clusters that are at least 80 % its own, by view."""
    campaigns = names("tuning", campaigns=True)
    settings = SimulationSettings(
        accounts=accounts, days=3, campaigns=campaigns, decoys=names("tuning", campaigns=False)
    )
    log = simulate(pack, settings)
    rows = log.traffic.select("request_id", "prompt").join(
        log.labels.select("request_id", "kind"), on="request_id", maintain_order="left"
    )
    distinct = rows.select("prompt").unique(maintain_order=True).with_row_index("number")
    number = rows.join(distinct, on="prompt", maintain_order="left")["number"].to_numpy()
    texts = distinct["prompt"].to_list()
    kinds = rows["kind"].to_numpy()
    beside = encoders(texts, static, folder)
    found: dict[str, list[float]] = {f"campaign:{name}": [] for name in campaigns}
    for view in VIEWS:
        seen = pl.DataFrame({"text": view_texts(view, texts, ViewSettings())})[number]
        for encode in beside.values():
            labels = labels_of_rows(seen, encode)
            for kind, cells in found.items():
                cells.append(own_share(labels, kinds == kind))
    head = [f"{view}, {name}" for view in VIEWS for name in beside]
    lines: list[list[str | float]] = [
        [kind.removeprefix("campaign:"), int((kinds == kind).sum()), *c] for kind, c in found.items()
    ]
    mean = np.mean(list(found.values()), axis=0).tolist()
    said = f"{len(rows):,} rows, {len(texts):,} distinct prompts, {accounts:,} ordinary accounts.\n\n"
    publish("coverage", said + table(["campaign", "rows", *head], [*lines, ["mean", "", *mean]]))


def labels_of_rows(seen: pl.DataFrame, encode: Encode) -> NDArray[np.int32]:
    """Cluster the distinct texts of a view and return the label of each row; -1 where nothing is seen."""
    distinct = seen.filter(seen["text"] != "").group_by("text", maintain_order=True).len()
    labels = clustered(encode(distinct["text"].to_list()), distinct["len"].to_numpy().astype(np.int64))
    label = seen.join(distinct.with_columns(label=labels), on="text", how="left", maintain_order="left")
    return label["label"].fill_null(-1).to_numpy()


def own_share(labels: NDArray[np.int32], own: NDArray[np.bool_]) -> float:
    """Return the share of `own` rows in clusters of which they make up at least 80 %."""
    clusters = np.bincount(labels[labels >= 0], minlength=labels.max() + 1)
    mine = np.bincount(labels[own & (labels >= 0)], minlength=len(clusters))
    return float(mine[mine >= 0.8 * clusters].sum() / max(own.sum(), 1))


def _mean(values: pl.Series) -> float:
    return float(values.cast(pl.Float64).mean() or 0.0)  # type: ignore[arg-type]

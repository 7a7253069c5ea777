"""The stages of a run: each reads files, calls one of the other rooms, and writes files.

A stage function takes the run, the part of the work that is asked of it ("" for all), and the folder to write
into; it returns small counts. It reads only what earlier stages wrote: no stage shares memory with another.
"""

import json
import os
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from embeddings.boilerplate import boilerplate, without
from embeddings.views import View, view_texts
from flows.run import Counts, Run, sync
from flows.sample import sample as sample_log
from flows.settings import FITTED
from flows.times import moment

if TYPE_CHECKING:
    from embeddings.neighbours import Neighbours

SHARD_LEAST = 2_000  # texts below which a shard is not worth its own task


def sample(run: Run, part: str, out: Path) -> Counts:
    """Take the sample of the window: rows, distinct texts, accounts, and products' boilerplate in them."""
    taken = sample_log(run.source, run.window, run.settings.sample, run.settings.seed, out / "spool.parquet")
    taken.rows.write_parquet(out / "rows.parquet")
    taken.accounts.write_parquet(out / "accounts.parquet")
    taken.texts.write_parquet(out / "texts.parquet")
    each = taken.rows.group_by("account_id", maintain_order=True).agg(pl.col("text").first(), pl.len())
    passages = boilerplate(taken.texts["text"].gather(each["text"]).to_list(), each["len"].to_numpy())
    (out / "boilerplate.json").write_text(json.dumps(passages))
    return {
        "read": run.source.n_rows + run.source.n_elsewhere,
        "outside_window": taken.outside,
        "in": taken.n_in,
        "kept": taken.rows.height,
        "set_aside": taken.set_aside,
        "accounts": taken.accounts.height,
        "texts": taken.texts.height,
        "boilerplate_characters": sum(map(len, passages)),
        "start": taken.start,
        "end": taken.end,
    }


def views(run: Run, part: str, out: Path) -> Counts:
    """Write what a view sees: distinct texts with counts, and which of them each prompt has (-1: nothing)."""
    texts = pl.read_parquet(run.place("sample") / "texts.parquet", glob=False)
    passages = json.loads((run.place("sample") / "boilerplate.json").read_text())
    seen = view_texts(View(part), without(texts["text"], passages).to_list(), run.settings.view)
    frame = pl.DataFrame({"text": pl.Series(seen, dtype=pl.String), "count": texts["count"].cast(pl.Int64)})
    distinct = (
        frame.filter(pl.col("text") != "").group_by("text", maintain_order=True).agg(pl.col("count").sum())
    )
    number = frame.join(
        distinct.select("text").with_row_index("n"), on="text", how="left", maintain_order="left"
    )
    np.save(out / "of_text.npy", number["n"].cast(pl.Int32).fill_null(-1).to_numpy())
    distinct.write_parquet(out / "texts.parquet")
    nothing = frame.height - int((frame["text"] != "").sum())
    return {"texts": distinct.height, "nothing_left": nothing}


def fit(run: Run, part: str, out: Path) -> Counts:
    """Say which encoder this run uses; fit one to the log when none is named and none was fitted before."""
    if run.settings.encoder != FITTED:
        return {"identity": run.encoder, "fitted": False}
    folder = run.output / "encoder"
    if run.prior.get("encoder") and (folder / run.prior["encoder"]).is_dir():
        return {"identity": run.prior["encoder"], "fitted": False}
    from embeddings.fit import fit_encoder

    texts = pl.read_parquet(run.place("views", View.FULL) / "texts.parquet", glob=False)
    if texts.is_empty():
        return {"identity": "", "fitted": False}
    counts = texts["count"].to_numpy().astype(np.int64)
    model = out / "model"
    identity = fit_encoder(texts["text"].to_list(), counts, model, run.settings.fit, run.settings.seed)
    folder.mkdir(exist_ok=True)
    kept = folder / identity
    if not kept.exists():
        sync(model)  # later runs take what is there as whole
        try:
            os.rename(model, kept)
        except OSError:
            if not kept.is_dir():  # nor has another run put it there meanwhile
                raise
    return {"identity": identity, "fitted": True}


def embed(run: Run, part: str, out: Path) -> Counts:
    """Turn one shard of a view's distinct texts into unit vectors, known ones taken from the store."""
    from embeddings.store import VectorStore

    view, shard = part.split("/")
    texts = pl.read_parquet(run.place("views", view) / "texts.parquet", columns=["text"], glob=False)["text"]
    start, end = shard_bounds(run, view)[int(shard)]
    if start == end:
        np.save(out / "vectors.npy", np.zeros((0, 1), dtype=np.float32))
        return {"texts": 0, "encoded": 0}
    fitted = run.output / "encoder" / _done(run, "fit")["identity"]  # wherever the output is by now
    encoder = _encoder(run.settings.encoder if run.encoder else str(fitted), run.settings.encoding)
    store = VectorStore(run.output / "vectors", max_bytes=run.settings.work.store_bytes)
    vectors, n_new = store.encode(encoder, texts[start:end].to_list())
    np.save(out / "vectors.npy", vectors)
    return {"texts": end - start, "encoded": n_new}


def index(run: Run, part: str, out: Path) -> Counts:
    """Index a view's vectors, equal ones as one point, as wide as the recall asked for needs."""
    from embeddings.index import prepare, save
    from embeddings.vectors import distinct

    vectors = vectors_of(run, part)
    first, of_text = distinct(vectors)
    made = prepare(vectors[first], run.settings.index, run.settings.seed, _done(run, "fit")["identity"])
    save(made, out / "index")
    np.save(out / "first.npy", first)
    np.save(out / "of_text.npy", of_text)
    return {"points": len(first), "recall": round(made.recall, 4), "index": made.ran}


def neighbours(run: Run, part: str, out: Path) -> Counts:
    """Find the nearest others of the points of one shard of a view, in the index of the view."""
    from embeddings.index import load, neighbours_of, query_shards

    view, shard = part.split("/")
    points = _points_of(run, view)
    start, end = query_shards(len(points), len(shard_bounds(run, view)))[int(shard)]
    made = load(run.place("index", view) / "index", run.settings.index, _done(run, "fit")["identity"])
    found = neighbours_of(made, points, (start, end))
    np.save(out / "indices.npy", found.indices)
    np.save(out / "distances.npy", found.distances)
    return {"points": end - start}


def cluster(run: Run, part: str, out: Path) -> Counts:
    """Find the clusters of a view, and say what each one is about."""
    from embeddings.clusters import cluster_smoothed, together
    from embeddings.describe import describe

    texts = pl.read_parquet(run.place("views", part) / "texts.parquet", glob=False)
    counts = texts["count"].to_numpy().astype(np.int64)
    of_text = np.load(run.place("index", part) / "of_text.npy")
    points, near = _points_of(run, part), _neighbours_of(run, part)
    found = cluster_smoothed(points, near, together(counts, of_text), run.settings.clusters)
    labels = found.labels[of_text]
    described = describe(texts["text"].to_list(), labels, run.settings.describe)
    np.save(out / "labels.npy", labels)
    np.save(out / "strengths.npy", found.strengths[of_text])
    words = [{"label": d.label, "template": d.template, "keywords": list(d.keywords)} for d in described]
    (out / "words.json").write_text(json.dumps(words))
    noise = int(counts[labels < 0].sum())
    return {"clusters": len(described), "noise_rows": noise, "rows": int(counts.sum())}


def link(run: Run, part: str, out: Path) -> Counts:
    """Join clusters and rows, and cluster the accounts by what they ask about."""
    from campaigns.profiles import account_profiles
    from campaigns.traffic import traffic
    from embeddings.clusters import cluster_vectors
    from embeddings.topics import topics

    rows = pl.read_parquet(run.place("sample") / "rows.parquet", glob=False)
    text = rows["text"].to_numpy()
    for view in run.settings.views:
        labels = _of_rows(run, view, np.load(run.place("cluster", view) / "labels.npy"), text)
        rows = rows.with_columns(_nullable(f"cluster_{view}", labels))
    of_text = topics(vectors_of(run, View.FULL), run.settings.topics, run.settings.seed)
    topic = _of_rows(run, View.FULL, of_text, text).astype(np.int64)
    log = traffic(rows, pl.read_parquet(run.place("sample") / "accounts.parquet", glob=False))
    chosen, points = account_profiles(log, topic, run.settings.seed)
    profiles = np.full(log.n_accounts, -1, dtype=np.int64)
    if len(chosen):
        ones = np.ones(len(chosen), dtype=np.int64)
        index = replace(run.settings.index, factory="")  # a factory suits the vectors of prompts
        found, _ = cluster_vectors(points, ones, index, run.settings.profiles, run.settings.seed)
        profiles[chosen] = found.labels
    rows.write_parquet(out / "rows.parquet")
    np.save(out / "topics.npy", topic)
    np.save(out / "profiles.npy", profiles)
    return {"accounts": log.n_accounts, "profiles": int(profiles.max(initial=-1)) + 1}


def evidence(run: Run, part: str, out: Path) -> Counts:
    """Link, weigh and explain the groups, and write the tables of the run."""
    from flows.results import write_nothing, write_results

    return write_results(run, out) if _done(run, "sample")["kept"] else write_nothing(run, out)


def shard_bounds(run: Run, view: str) -> list[tuple[int, int]]:
    """Return where the shards of a view begin and end; one empty shard of a view that sees nothing."""
    n = int(_done(run, "views", view)["texts"])
    shards = max(1, min(run.settings.work.shards, n // SHARD_LEAST))
    edges = np.linspace(0, n, shards + 1).astype(int).tolist()
    return list(pairwise(edges))


def window_of(run: Run) -> tuple[Any, Any]:
    """Return the window as times; known when the sample is taken."""
    done = _done(run, "sample")
    return moment(done["start"]), moment(done["end"])


@lru_cache(maxsize=1)
def _encoder(name: str, settings: Any) -> Any:  # noqa: ANN401
    """Load an encoder once a process; that it is kept is for speed only."""
    from embeddings.encoders import load_encoder

    return load_encoder(name, settings)


def _done(run: Run, stage: str, part: str = "") -> Counts:
    counts = run.done(stage, part)
    assert counts is not None, f"{stage} is finished before what follows it"
    return counts


def vectors_of(run: Run, view: str) -> NDArray[np.float32]:
    """Return the vectors of a view's distinct texts, from its shards."""
    return _joined(run, "embed", view, "vectors.npy")


def _points_of(run: Run, view: str) -> NDArray[np.float32]:
    """Return the different vectors of a view's texts: what is searched and clustered."""
    first = np.load(run.place("index", view) / "first.npy")
    return vectors_of(run, view)[first]


def _neighbours_of(run: Run, view: str) -> "Neighbours":
    """Return the neighbours of a view's points, from their shards."""
    from embeddings.neighbours import Neighbours

    indices = _joined(run, "neighbours", view, "indices.npy")
    distances = _joined(run, "neighbours", view, "distances.npy")
    done = _done(run, "index", view)
    return Neighbours(indices, distances, done["recall"], done["index"])


def _joined(run: Run, stage: str, view: str, name: str) -> NDArray[Any]:
    """Return the rows that the shards of a view wrote, in order."""
    shards = range(len(shard_bounds(run, view)))
    return np.concatenate([np.load(run.place(stage, f"{view}/{i}") / name) for i in shards])


def _of_rows(run: Run, view: str, labels: NDArray[Any], text: NDArray[Any]) -> NDArray[Any]:
    """Carry labels of a view's distinct texts to rows; -1 where the view sees nothing."""
    of_text = np.load(run.place("views", view) / "of_text.npy")
    return np.append(labels, -1)[of_text][text]


def _nullable(name: str, labels: NDArray[Any]) -> pl.Series:
    """Return labels for a table: noise is null."""
    return pl.Series(name, labels.astype(np.int32)).replace(-1, None)

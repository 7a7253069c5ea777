"""Clusters of real prompts beside UMAP + HDBSCAN, EVoC, fast_hdbscan and hdbscan, on the same vectors.

    python -m benchmarks.clusters --prompts PROMPTS.parquet --model FOLDER [--sizes 20000 50000 ...] [--quick]

PROMPTS has the columns prompt, source and family. Half of the families are held out: settings were chosen on
the others, and the held-out half is what is measured unless --half says otherwise. Sizes beyond the prompts
at hand are filled with jittered copies, for time and memory only. Each method runs in a process of its own,
compiles on a small sample first, and has 20 minutes. Without --prompts the vectors are planted blobs.
Writes bench-out/clusters.md.
"""

import argparse
import hashlib
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.encoders.speed import peak_kib

OUT = Path("bench-out")
SAMPLES = 5  # min_samples of every method that has it
Labeller = Callable[[np.ndarray], np.ndarray]


def minimum(vectors: np.ndarray) -> int:
    """Return the min_cluster_size of every method that has one: families grow with the prompts at hand."""
    return max(12, len(vectors) // 4000)


def hydrascope(vectors: np.ndarray) -> np.ndarray:
    from embeddings.clusters import ClusterSettings, cluster_vectors
    from embeddings.index import IndexSettings

    settings = ClusterSettings(min_cluster_size=minimum(vectors), min_samples=SAMPLES)
    counts = np.ones(len(vectors), dtype=np.int64)
    clusters, neighbours = cluster_vectors(vectors, counts, IndexSettings(), settings, seed=0)
    print(f"recall {neighbours.recall:.3f}, {neighbours.index}", flush=True)
    return clusters.labels


def plain(vectors: np.ndarray) -> np.ndarray:
    from embeddings.clusters import ClusterSettings, cluster
    from embeddings.index import IndexSettings, nearest

    settings = ClusterSettings(min_cluster_size=minimum(vectors), min_samples=SAMPLES)
    return cluster(
        nearest(vectors, IndexSettings(), 0), np.ones(len(vectors), dtype=np.int64), settings
    ).labels


def evoc(vectors: np.ndarray) -> np.ndarray:
    from evoc import EVoC

    return EVoC().fit_predict(vectors)


def umap(vectors: np.ndarray) -> np.ndarray:
    import hdbscan
    from umap import UMAP

    flat = UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine").fit_transform(vectors)
    return hdbscan.HDBSCAN(minimum(vectors), min_samples=SAMPLES).fit_predict(flat)


def fast_hdbscan(vectors: np.ndarray) -> np.ndarray:
    from fast_hdbscan import HDBSCAN

    method = HDBSCAN(min_cluster_size=minimum(vectors), min_samples=SAMPLES)
    return method.fit_predict(vectors.astype(np.float64))


def hdbscan(vectors: np.ndarray) -> np.ndarray:
    from hdbscan import HDBSCAN

    return HDBSCAN(minimum(vectors), min_samples=SAMPLES, core_dist_n_jobs=-1).fit_predict(vectors)


# The largest size each is tried at: beyond it none ended within its 20 minutes on two cores.
METHODS: dict[str, tuple[Labeller, int]] = {
    "hydrascope": (hydrascope, 10**9),
    "hydrascope, no smoothing": (plain, 200_000),
    "EVoC": (evoc, 200_000),
    "UMAP + HDBSCAN": (umap, 200_000),
    "fast_hdbscan": (fast_hdbscan, 200_000),
    "hdbscan": (hdbscan, 20_000),
}


SLOW = ("UMAP + HDBSCAN", "fast_hdbscan", "hdbscan")


def encoded(prompts: Path, model: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, d) vectors of the prompts and (n,) families, from bench-out where they are already there."""
    import polars

    frame = polars.read_parquet(prompts)
    source = frame["source"] if "source" in frame.columns else ""
    family = (source + "/" + frame["family"]).rank("dense").to_numpy().astype(int) - 1
    with prompts.open("rb") as file:
        made_of = f"{Path(model).resolve()} {hashlib.file_digest(file, 'blake2b').hexdigest()}"
    cache = OUT / f"vectors-{hashlib.blake2b(made_of.encode(), digest_size=8).hexdigest()}.npy"
    if not cache.exists():
        from sentence_transformers import SentenceTransformer

        encoder = SentenceTransformer(model, device="cpu")
        np.save(cache, encoder.encode(frame["prompt"].to_list(), normalize_embeddings=True, batch_size=1024))
    return np.load(cache, mmap_mode="r"), family


def planted(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    family = rng.integers(0, max(n // 200, 2), n)
    centres = rng.normal(size=(family.max() + 1, 128)).astype(np.float32)
    return centres[family] + rng.normal(0, 0.7, (n, 128)).astype(np.float32), family


def chosen_rows(family: np.ndarray, half: str, n: int) -> np.ndarray:
    """Return n rows of one half of the families, with repeats where there are not as many."""
    kept = np.random.default_rng(7).random(family.max() + 1) < 0.5
    rows = np.flatnonzero(kept[family] == (half == "chosen")) if half != "all" else np.arange(len(family))
    rng = np.random.default_rng(0)
    return np.sort(rng.choice(rows, n, replace=n > len(rows)))


def job(method: str, vectors: Path, labels: Path, answer: Any) -> None:  # noqa: ANN401  (a multiprocessing queue)
    """Warm up, run and time one method in this process."""
    data = np.load(vectors)
    label, _ = METHODS[method]
    label(data[:2000])
    start, cpu = time.perf_counter(), time.process_time()
    found = np.asarray(label(data))
    used = (time.perf_counter() - start, time.process_time() - cpu)
    np.save(labels, found)
    answer.put((*used, peak_kib() / 2**20))
    answer.close()
    answer.join_thread()
    os._exit(0)  # the pools of some methods never end by themselves, which is not part of their time


def timed(method: str, vectors: Path, limit: float) -> tuple[float, float, float] | str:
    """Return seconds, processor seconds and peak GiB of a method, or why there are none."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=job, args=(method, vectors, OUT / "labels.npy", answer))
    process.start()
    process.join(limit)
    if process.is_alive():
        process.kill()
        process.join()
        return f"did not end in {limit / 60:.0f} min"
    return answer.get(timeout=5) if process.exitcode == 0 else f"failed (exit code {process.exitcode})"


def measure(method: str, family: np.ndarray | None, limit: float) -> list[float] | str:
    """Run one method: seconds, processor seconds, peak GiB, AMI, share of noise, clusters; or why not."""
    from sklearn.metrics import adjusted_mutual_info_score

    used = timed(method, OUT / "sample.npy", limit)
    if isinstance(used, str):
        return used
    labels = np.load(OUT / "labels.npy")
    score = np.nan if family is None else adjusted_mutual_info_score(family, labels)
    return [*used, score, float((labels < 0).mean()), float(labels.max() + 1)]


def row(size: int, method: str, rounds: Sequence[list[float] | str]) -> str:
    """Write the line of a method: medians of its rounds, or why there are none."""
    ended = [one for one in rounds if not isinstance(one, str)]
    if len(ended) < len(rounds):
        return f"| {size:,} | {method} | {next(one for one in rounds if isinstance(one, str))} | | | | | |"
    wall, cpu, peak, score, noise, clusters = np.median(ended, axis=0)
    said = "" if np.isnan(score) else f"{score:.3f}"
    cells = f"{wall:.1f} | {cpu:.1f} | {peak:.1f} | {said} | {noise:.1%} | {clusters:.0f}"
    return f"| {size:,} | {method} | {cells} |"


def exponents(times: dict[int, float]) -> str:
    sizes = sorted(size for size in times if size >= 50_000)
    pairs = itertools.pairwise(sizes)
    said = [f"{a:,} to {b:,}: {np.log(times[b] / times[a]) / np.log(b / a):.2f}" for a, b in pairs]
    return "Growth of hydrascope's time (exponent): " + "; ".join(said) if said else ""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--prompts", type=Path, help="a prompt pack: prompt and family, perhaps source")
    parser.add_argument("--model", default="", help="SentenceTransformer folder that makes the vectors")
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 50_000, 200_000, 1_000_000])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--half", default="held-out", choices=["held-out", "chosen", "all"])
    parser.add_argument("--limit", type=float, default=1200, help="seconds for each method")
    parser.add_argument("--rounds", type=int, default=1, help="medians of so many; the slow peers have one")
    parser.add_argument("--quick", action="store_true", help="2,000 rows only")
    options = parser.parse_args()
    if options.prompts and not options.model:
        parser.error("argument --prompts: --model is needed beside it, to make the vectors")
    return options


def main() -> None:
    options = arguments()
    OUT.mkdir(exist_ok=True)
    lines = [f"Families: {options.half}. Two numbers of seconds: wall clock, processor.", ""]
    lines += [
        "| rows | method | s | cpu s | peak GiB | AMI | noise | clusters |",
        "|--|--|--|--|--|--|--|--|",
    ]
    times: dict[int, float] = {}
    for size in [2000] if options.quick else options.sizes:
        all_vectors, all_family = (
            encoded(options.prompts, options.model) if options.prompts else planted(size)
        )
        rows = chosen_rows(all_family, options.half if options.prompts else "all", size)
        data = np.array(all_vectors[rows], dtype=np.float32)
        copies = len(np.unique(rows)) < size
        if copies:
            data += np.random.default_rng(1).normal(0, 0.02, data.shape).astype(np.float32)
        np.save(OUT / "sample.npy", data / np.maximum(np.linalg.norm(data, axis=1, keepdims=True), 1e-12))
        family = None if copies else all_family[rows]
        del data
        methods = [method for method in options.methods if size <= METHODS[method][1]]
        rounds: dict[str, list[list[float] | str]] = {method: [] for method in methods}
        for number in range(options.rounds):  # by turns: a machine that slows down does so for all
            for method in [m for m in methods if not number or m not in SLOW]:
                rounds[method].append(measure(method, family, options.limit))
                print(row(size, method, rounds[method][-1:]), flush=True)
        lines += [row(size, method, some) for method, some in rounds.items()]
        if "hydrascope" in methods:
            took = [one[0] for one in rounds["hydrascope"] if not isinstance(one, str)]
            if took:
                times[size] = float(np.median(took))
        (OUT / "clusters.md").write_text("\n".join([*lines, "", exponents(times), ""]))


if __name__ == "__main__":
    main()

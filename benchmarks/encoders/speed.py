"""How fast encoders are: each measured in a process of its own, which reports its peak memory too."""

import multiprocessing
import resource
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple

import numpy as np
import polars as pl

from benchmarks.encoders.texts import OUT, publish, table

BLOCK = 20_000  # texts given to a bare tokenizer at a time
STATIC_SIZES = (256, 1024, 4096, 16_384)
TRANSFORMER_SIZES = (8, 32, 64, 128, 256)
Job = Callable[..., "Spent"]


class Spent(NamedTuple):
    """Seconds by the clock and of all processors, loading of libraries and texts left out."""

    seconds: float
    processor: float


class Measured(NamedTuple):
    """What a job spent, and the peak memory of its process."""

    seconds: float
    processor: float
    peak_gib: float


class Watch:
    """Started when made."""

    def __init__(self) -> None:
        self.start = perf_counter(), process_time()

    def read(self) -> Spent:
        """Return what was spent since."""
        return Spent(perf_counter() - self.start[0], process_time() - self.start[1])


def alone(job: Job, *given: str | int) -> Measured:
    """Run a job in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, job, *given).result()


def _measured(job: Job, *given: str | int) -> Measured:
    spent = job(*given)
    return Measured(*spent, peak_kib() / 2**20)


def peak_kib() -> int:
    """Return the peak of this process; getrusage gives a child its parent's, where Linux does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def read(texts: str) -> list[str]:
    return pl.read_parquet(texts)["prompt"].to_list()


def bare_pass(texts: str, model: str) -> Spent:
    """Tokenise and throw away: what no static encoder can go below that asks the tokenizer for each text."""
    from tokenizers import Tokenizer

    some, tokenizer = read(texts), Tokenizer.from_file(f"{model}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    watch = Watch()
    for at in range(0, len(some), BLOCK):
        tokenizer.encode_batch_fast(some[at : at + BLOCK], add_special_tokens=False)
    return watch.read()


def fit_and_encode(texts: str, model: str) -> Spent:
    from embeddings.encoders import EncoderSettings, load_encoder
    from embeddings.fit import FitSettings, fit_encoder

    some = read(texts)
    watch = Watch()
    fit_encoder(some, None, Path(model), FitSettings(), seed=0)
    load_encoder(model, EncoderSettings()).encode(some)
    return watch.read()


def ours(texts: str, model: str) -> Spent:
    from embeddings.encoders import EncoderSettings, load_encoder

    some, encoder = read(texts), load_encoder(model, EncoderSettings(device="cpu"))
    encoder.encode(["warm up"])
    watch = Watch()
    encoder.encode(some)
    return watch.read()


def theirs(texts: str, model: str, batch_size: int) -> Spent:
    from sentence_transformers import SentenceTransformer

    some, encoder = read(texts), SentenceTransformer(model, device="cpu")
    encoder.encode(["warm up"])
    watch = Watch()
    encoder.encode(some, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False)
    return watch.read()


def stored(texts: str, model: str, store: str) -> Spent:
    from embeddings.encoders import EncoderSettings, load_encoder
    from embeddings.store import VectorStore

    some, encoder = read(texts), load_encoder(model, EncoderSettings())
    watch = Watch()
    VectorStore(Path(store)).encode(encoder, some)
    return watch.read()


def same_ids_and_vectors(texts: str, model: str) -> tuple[bool, float]:
    """Compare all token ids with the tokenizer's own, and vectors of a few thousand texts."""
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

    from embeddings.encoders import EncoderSettings, load_encoder
    from embeddings.tokens import Words

    some = read(texts)
    plain = Tokenizer.from_file(f"{model}/tokenizer.json")
    plain.no_padding()
    plain.no_truncation()
    words, same = Words(Tokenizer.from_file(f"{model}/tokenizer.json")), True
    for at in range(0, len(some), BLOCK):
        part = some[at : at + BLOCK]
        expected = [encoding.ids for encoding in plain.encode_batch_fast(part, add_special_tokens=False)]
        ids, starts = words.tokens(part)
        same &= np.array_equal(ids, np.concatenate(expected)) and np.array_equal(
            np.diff(starts), list(map(len, expected))
        )
    some = some[:5000]
    apart = load_encoder(model, EncoderSettings()).encode(some) - SentenceTransformer(
        model, device="cpu"
    ).encode(some, normalize_embeddings=True)
    return same, float(np.abs(apart).max())


def default_encoder(texts: Path, rounds: int) -> None:
    """Measure fit and encode beside a bare pass, and the store, first and second run."""
    model, store = str(OUT / "fitted"), OUT / "vectors"
    shutil.rmtree(store, ignore_errors=True)
    fits, passes = [], []
    for _ in range(rounds):
        fits.append(alone(fit_and_encode, str(texts), model))
        passes.append(alone(bare_pass, str(texts), model))
    runs = {"store, first run": [alone(stored, str(texts), model, str(store))]}
    runs["store, second run"] = [alone(stored, str(texts), model, str(store)) for _ in range(rounds)]
    lines = rows_of({"bare tokenizer pass": passes, "fit and encode": fits} | runs, n_texts(texts))
    by_clock, by_processor = ratio(fits, passes)
    said = f"Fit and encode takes {by_clock:.2f} times a bare pass of the same tokenizer"
    said += f" ({by_processor:.2f} times by processor seconds).\n"
    publish("speed-default", beside(texts) + table(HEAD, lines) + "\n" + said)
    shutil.rmtree(store, ignore_errors=True)


def against(name: str, texts: Path, model: str, sizes: tuple[int, ...], rounds: int, said: str = "") -> None:
    """Measure ours beside SentenceTransformer.encode at several batch sizes, by turns."""
    runs: dict[str, list[Measured]] = {
        name: [] for name in ("hydrascope", *(f"batch size {n}" for n in sizes))
    }
    for _ in range(rounds):
        runs["hydrascope"].append(alone(ours, str(texts), model))
        for size in sizes:
            runs[f"batch size {size}"].append(alone(theirs, str(texts), model, size))
    seconds = {name: median(one.seconds for one in some) for name, some in runs.items()}
    best = min(list(seconds)[1:], key=seconds.__getitem__)
    by_clock, by_processor = ratio(runs[best], runs["hydrascope"])
    said += f"{by_clock:.2f} times the throughput of SentenceTransformer.encode at its best, {best}"
    said += f" ({by_processor:.2f} times by processor seconds).\n"
    publish(f"speed-{name}", beside(texts) + table(HEAD, rows_of(runs, n_texts(texts))) + "\n" + said)


def ratio(some: list[Measured], others: list[Measured]) -> tuple[float, float]:
    """Return the median over rounds of what some spent by what others did, by clock and by processor."""
    pairs = list(zip(some, others, strict=True))
    return median(a.seconds / b.seconds for a, b in pairs), median(
        a.processor / b.processor for a, b in pairs
    )


HEAD = ["", "seconds", "processor seconds", "prompts a second", "peak GiB"]


def rows_of(runs: dict[str, list[Measured]], n: int) -> list[list[str]]:
    """Write medians of seconds and the largest peak."""
    lines = []
    for name, some in runs.items():
        seconds = median(one.seconds for one in some)
        peak = max(one.peak_gib for one in some)
        processor = median(one.processor for one in some)
        lines.append([name, f"{seconds:.2f}", f"{processor:.2f}", f"{n / seconds:,.0f}", f"{peak:.2f}"])
    return lines


def n_texts(texts: Path) -> int:
    return int(pl.scan_parquet(texts).select(pl.len()).collect().item())


def beside(texts: Path) -> str:
    length = pl.scan_parquet(texts).select(pl.col("prompt").str.len_chars().mean()).collect().item()
    return f"{n_texts(texts):,} prompts, {length:.0f} characters on average.\n\n"

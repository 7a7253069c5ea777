"""Windows without accounts: the protocol of the MMD test, and a score from the text views beside it.

The protocol is that of arXiv 2606.05725: a window of 1,500 queries is compared with a benign pool, the
threshold is the 95th percentile of 1,000 benign windows, and windows that hold a share of one attack are
flagged or not; a share of nought is the false-positive rate. A third of the benign rows is the pool, a third
makes the windows behind the threshold, a third those that are judged.

The score beside it adds two looks. Phrases are what the skeleton view keeps: runs of four tokens that recur
in eight distinct texts, here of the window. Of its n rows k have the run, of the pool's m rows l; what counts
is the largest, over runs with k > e, of k log(k / e) + l log(l / (k + l - e)), e = (k + l) n / (n + m), the
likelihood ratio of two Poisson counts (Dunning 1993 for words, Kulldorff 1997 for the largest of many). The
full view is MMD's own features with each direction in units of its benign spread (kernel Fisher discriminant
test, Harchaoui, Bach & Moulines 2008). Each look is measured from the median of the null windows in units of
the way to their 95th percentile. MMD averages over a window, and a twentieth of it moves the average by a
twentieth; a phrase that the pool lacks counts in full.

Thresholds are compared where they flag the same share of fresh benign windows: as many as MMD's own, and one
in a hundred.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import xlogy

from benchmarks.detection.rivals.windows import LEVEL, NULLS, WINDOW, counted, drawn, random_features
from benchmarks.detection.summary import Record
from campaigns.simulation.library import DECOYS, SCENARIOS
from campaigns.simulation.presets import names
from campaigns.simulation.scenario import Scenario
from campaigns.simulation.simulate import SimulationSettings, play
from embeddings.encoders import EncoderSettings, load_encoder
from embeddings.fit import FitSettings, fit_encoder
from embeddings.ngrams import grams_of, tokens_of
from embeddings.views import ViewSettings

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
Scores = dict[str, Floats]  # of windows (w,), by look or by method

SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
FRESH = 1000  # benign windows judged
TRIALS = 50  # windows judged of each attack and share
THIRD = 15_000  # benign rows of each third, at most
ACCOUNTS = 6000
RIDGE = 0.1  # of the mean variance, added so that directions without spread do not speak loudest
ATTACK_ROWS = 2000  # of each attack: no window holds a row twice
MMD, VIEWS = "MMD", "text views"
OWN, FIXED = "as many as MMD", "one in a hundred"  # benign windows that the thresholds let be flagged
# What the benign rows are, and whether the thirds are of different accounts as well as of different rows.
POPULATIONS = {
    "ordinary": (False, False),
    "with look-alikes": (True, False),
    "with look-alikes, other accounts": (True, True),
}
TEXT = 2048  # more than the rows of a window
_WORDS = ViewSettings()


class Rows(NamedTuple):
    """Rows of a log (n,): number of the distinct text, truth of the row, number of the account."""

    texts: pl.Series
    text: Ints
    kind: NDArray[np.object_]
    account: Ints


class Judge(NamedTuple):
    """What the scores need of the texts, and of a pool of benign rows.

    features (texts, f) and phrases (texts, runs); pool (texts,) how often the pool has each; mean (f,) of its
    features, spread (f, f) what takes them to unit variance.
    """

    features: Vectors
    phrases: csr_matrix
    pool: Vectors
    mean: Vectors
    spread: Vectors

    def scores(self, windows: csr_matrix) -> Scores:
        """Return (w,) scores of windows of texts (w, texts), by what is looked at."""
        apart = windows @ self.features / WINDOW - self.mean
        return {
            MMD: np.linalg.norm(apart, axis=1),
            "full": np.linalg.norm(apart @ self.spread, axis=1) ** 2,
            "phrases": excess(windows, self.phrases, self.pool),
        }


def judge_of(features: Vectors, phrases: csr_matrix, pool: Ints) -> Judge:
    """Learn from the texts of a pool's rows what benign windows look like."""
    inside = features[pool]
    value, direction = np.linalg.eigh(np.cov(inside.T))
    spread = direction / np.sqrt(value + RIDGE * value.mean())
    often = np.bincount(pool, minlength=len(features)).astype(np.float32)
    return Judge(features, phrases, often, inside.mean(axis=0), spread.astype(np.float32))


def protocol(seed: int, split: str, prompts: Path | None, model: str | None) -> list[Record]:
    """Play a log and return flag rates: a record a population, rule, method, attack and share.

    model: folder of any sentence-transformers model; the project's encoder fitted on ordinary rows without.
    """
    rows = played(seed, split, prompts)
    rng = np.random.default_rng([seed, 13])  # 11 writes the texts
    parts = {name: thirds(rows, *kinds, rng) for name, kinds in POPULATIONS.items()}
    ordinary = rows.text[parts["ordinary"][0]]
    vectors = encoded(rows.texts, rows.texts.gather(np.unique(ordinary)), model, seed)
    features, phrases = random_features(vectors, ordinary, seed), recurring(rows.texts)
    records: list[Record] = []
    for population, (pool, apart, fresh) in parts.items():
        judge = judge_of(features, phrases, rows.text[pool])
        for campaign, share, rule, method, flagged in flags(rows, judge, apart, fresh, rng):
            records.append(
                {"log": seed, "population": population, "false alarms": rule, "method": method,
                 "campaign": campaign, "share": share, "flagged": flagged}
            )  # fmt: skip
    return records


def flags(
    rows: Rows, judge: Judge, apart: Ints, fresh: Ints, rng: Generator
) -> Iterator[tuple[str, float, str, str, float]]:
    """Yield campaign, share, rule, method and the share of windows flagged; benign windows first."""
    nulls = judge.scores(of_texts(rows, drawn(apart, WINDOW, NULLS, rng)))
    benign = judge.scores(of_texts(rows, drawn(fresh, WINDOW, FRESH, rng)))
    cuts = thresholds(by_method(nulls, nulls), by_method(benign, nulls))
    attacks = ((name, share, judge.scores(w)) for name, share, w in attacked(rows, fresh, rng))
    for campaign, share, looks in chain([("none", 0.0, benign)], attacks):
        scores = by_method(looks, nulls)
        for (rule, method), cut in cuts.items():
            yield campaign, share, rule, method, float((scores[method] > cut).mean())


def played(seed: int, split: str, prompts: Path | None) -> Rows:
    """Make a log with every campaign and look-alike of a split, each campaign of some thousand rows."""
    settings = SimulationSettings(
        accounts=ACCOUNTS, rate=1.3, seed=seed, split="tuning" if split == "tuning" else "heldout"
    )
    campaigns = [enough(SCENARIOS[name], settings.days) for name in names(split, campaigns=True)]
    decoys = [DECOYS[name] for name in names(split, campaigns=False)]
    made = play(pl.read_parquet(prompts) if prompts else None, settings, campaigns, decoys)
    frame = made.traffic.select("prompt", "account_id").with_columns(kind=made.labels["kind"].cast(pl.String))
    place = pl.int_range(pl.len()).shuffle(seed).over("kind")
    frame = frame.filter(~pl.col("kind").str.starts_with("campaign:") | (place < ATTACK_ROWS))
    texts = frame["prompt"].unique(maintain_order=True)
    number = texts.to_frame().with_row_index("text")
    frame = frame.join(number, on="prompt", how="left", maintain_order="left")
    account = frame["account_id"].rank("dense").to_numpy() - 1
    return Rows(
        texts, frame["text"].to_numpy().astype(np.int64), frame["kind"].to_numpy(), account.astype(np.int64)
    )


def enough(scenario: Scenario, days: int) -> Scenario:
    """Give a scenario the accounts that it needs for the rows of an attack."""
    accounts = int(np.ceil(ATTACK_ROWS / scenario.per_day / days))
    return replace(scenario, accounts=max(scenario.accounts, accounts))


def thirds(rows: Rows, lookalikes: bool, other_accounts: bool, rng: Generator) -> list[Ints]:
    """Return three sets of benign rows, of different rows or also of different accounts."""
    benign = rng.permutation(np.flatnonzero([_benign(kind, lookalikes) for kind in rows.kind]))
    part = rng.integers(0, 3, rows.account.max() + 1)[rows.account[benign]]
    parts = [benign[part == i] for i in range(3)] if other_accounts else np.array_split(benign, 3)
    return [p[:THIRD] for p in parts]


def _benign(kind: str, lookalikes: bool) -> bool:
    return kind == "organic" or (lookalikes and kind.startswith("decoy:"))


def encoded(texts: pl.Series, benign: pl.Series, model: str | None, seed: int) -> Vectors:
    """Return (n, d) unit rows of texts by a model, or by the project's own fitted on benign ones."""
    if model:
        return load_encoder(model, EncoderSettings()).encode(texts.to_list())
    with tempfile.TemporaryDirectory() as folder:
        fit_encoder(benign.to_list(), None, Path(folder) / "fitted", FitSettings(), seed)
        return load_encoder(str(Path(folder) / "fitted"), EncoderSettings()).encode(texts.to_list())


def recurring(texts: pl.Series) -> csr_matrix:
    """Return (texts, runs) which runs of tokens a text has; of runs with the same texts, one.

    A run in too few texts of the log to recur in any window is left out.
    """
    tokens, document = tokens_of(texts.to_list())
    runs, start = grams_of(tokens, document, _WORDS.ngram)
    held = pl.DataFrame({"run": runs, "text": document[start]}).unique()
    each = held.group_by("run").agg(n=pl.len(), same=pl.col("text").hash(seed=0).sum()).sort("run")
    each = each.filter(pl.col("n") >= _WORDS.min_prompts).unique("same", keep="first", maintain_order=True)
    held = held.join(each.select("run").with_row_index("column"), on="run").sort("text", "column")
    ones = np.ones(held.height, np.float32)
    return csr_matrix((ones, (held["text"].to_numpy(), held["column"].to_numpy())), (len(texts), each.height))


def excess(counts: csr_matrix, phrases: csr_matrix, pool: Vectors) -> Floats:
    """Return (w,) the largest likelihood ratio over the runs of each window; 0.0 where none is in excess.

    counts (w, texts) how often a text lies in a window; pool (texts,) how often in the pool.
    """
    both = counts.copy()
    both.data += TEXT  # one product counts rows and distinct texts; float32 holds both exactly
    inside = (both @ phrases).tocoo()
    recurs = inside.data >= TEXT * _WORDS.min_prompts
    window, run, k = inside.row[recurs], inside.col[recurs], inside.data[recurs].astype(float) % TEXT
    before = (pool @ phrases)[run].astype(float)
    n, m = np.asarray(counts.sum(axis=1)).ravel(), pool.sum()
    expected = (k + before) * (n / (n + m))[window]
    ratio = xlogy(k, k / expected) + xlogy(before, before / (k + before - expected))
    score = np.zeros(len(n))
    np.maximum.at(score, window, np.where(k > expected, ratio, 0.0))
    return score


def by_method(looks: Scores, nulls: Scores) -> Scores:
    """Return the scores by method: MMD, and the sum of the two looks in units of the null windows."""
    total = np.zeros(len(looks[MMD]))
    for look in ("full", "phrases"):
        middle, high = np.quantile(nulls[look], (0.5, LEVEL))
        total += (looks[look] - middle) / (high - middle)
    return {MMD: looks[MMD], VIEWS: total}


def thresholds(nulls: Scores, benign: Scores) -> dict[tuple[str, str], float]:
    """Return the threshold of each (rule, method).

    MMD's own is a quantile of its nulls; the others flag a given share of the fresh benign windows.
    """
    limit = float(np.quantile(nulls[MMD], LEVEL))
    rate = float((benign[MMD] > limit).mean())
    return {
        (OWN, MMD): limit,
        (OWN, VIEWS): exceeded(benign[VIEWS], rate),
        (FIXED, MMD): exceeded(benign[MMD], 0.01),
        (FIXED, VIEWS): exceeded(benign[VIEWS], 0.01),
    }


def exceeded(scores: Floats, share: float) -> float:
    """Return what a share of the scores, and no more, exceeds."""
    return float(np.r_[-np.inf, np.sort(scores)][len(scores) - round(share * len(scores))])


def attacked(rows: Rows, fresh: Ints, rng: Generator) -> Iterator[tuple[str, float, csr_matrix]]:
    """Yield each campaign and share with windows that hold it beside fresh benign rows."""
    for kind in sorted({k for k in rows.kind if k.startswith("campaign:")}):
        attack = np.flatnonzero(rows.kind == kind)
        for share in SHARES:
            n = round(share * WINDOW)
            benign = drawn(fresh, WINDOW - n, TRIALS, rng)
            windows = np.hstack([drawn(attack, n, TRIALS, rng), benign])
            yield kind.removeprefix("campaign:"), share, of_texts(rows, windows)


def of_texts(rows: Rows, windows: Ints) -> csr_matrix:
    """Return (w, texts) how often each text lies in windows of rows (w, size)."""
    return counted(rows.text[windows], len(rows.texts))


def by_share(records: Sequence[Record]) -> list[Record]:
    """Return a line a population, rule and method: flag rates by share, mean over attacks and logs."""
    return _pivot(records, ("population", "false alarms", "method"), lambda r: f"{r['share']:.0%}")


def by_attack(records: Sequence[Record]) -> list[Record]:
    """Return a line an attack among ordinary rows: flag rates by method and the smaller shares."""
    few = [
        r for r in records
        if r["population"] == "ordinary" and r["false alarms"] == OWN and 0 < r["share"] <= 0.1
    ]  # fmt: skip
    return _pivot(few, ("campaign",), lambda r: f"{r['method']} {r['share']:.0%}")


def _pivot(records: Sequence[Record], keys: Sequence[str], column: Callable[[Record], str]) -> list[Record]:
    cells: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for record in records:
        row = cells.setdefault(tuple(record[k] for k in keys), {})
        row.setdefault(column(record), []).append(record["flagged"])
    return [
        dict(zip(keys, key, strict=True)) | {name: f"{np.mean(x):.3f}" for name, x in row.items()}
        for key, row in cells.items()
    ]

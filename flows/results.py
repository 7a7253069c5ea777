"""From stage files to the tables of a run: judge the groups, word them, and write."""

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from campaigns.judge import Case, judge
from campaigns.profiles import by_cluster
from campaigns.records import Record, Records, Wording, records
from campaigns.traffic import Traffic, traffic
from campaigns.vocabulary import ExemplarKind
from embeddings.describe import describe
from embeddings.templates import even, n_words, template
from embeddings.views import View
from flows import tables
from flows.redact import blank, blank_words, redact
from flows.run import Counts, Run
from flows.stages import vectors_of, window_of

TEMPLATE_TEXTS = 24
TELLING_WORDS = 4  # in a template, with fewer of which it says nothing
WORDINGS, WORDING = 3, 0.05  # most that are named in its place, and the part of the requests that each has

ClusterIds = dict[tuple[str, int], str]


class Inputs(NamedTuple):
    """What the evidence stage reads: the log as arrays, the prompts of its rows, and texts by number.

    texts and vectors are those of the full view, without the boilerplate of products, which the log's `text`
    numbers: what is asked behind two system prompts is asked twice. prompts (n,): as they were sent.
    """

    log: Traffic
    prompts: pl.Series
    texts: pl.Series
    vectors: NDArray[np.float32]
    topics: NDArray[np.int64]
    profiles: NDArray[np.int64]


def write_results(run: Run, out: Path) -> Counts:
    """Judge the linked groups of a run and write all its tables into `out`; return what was found."""
    inputs = read_inputs(run)
    log = inputs.log
    cases = judge(log, inputs.topics, inputs.texts, inputs.profiles, run.settings.judge, run.settings.seed)
    ids = cluster_ids(log, inputs.texts)
    found = records(log, cases, ids, _wordings(log, cases, inputs, run), window_of(run))
    write = tables.write_records
    write(out / "campaigns.parquet", found.campaigns, tables.CAMPAIGNS)
    write(out / "campaign_accounts.parquet", found.accounts, tables.CAMPAIGN_ACCOUNTS)
    write(out / "campaign_evidence.parquet", found.evidence, tables.CAMPAIGN_EVIDENCE)
    write(out / "campaign_explanations.parquet", found.explanations, tables.CAMPAIGN_EXPLANATIONS)
    names = [campaign["campaign_id"] for campaign in found.campaigns]
    shown = _exemplars(names, cases, found.campaign_of_row, inputs, run)
    write(out / "campaign_exemplars.parquet", shown, tables.CAMPAIGN_EXEMPLARS)
    write(out / "clusters.parquet", _clusters(run, log, ids, found), tables.CLUSTERS)
    _write_prompts(run, log, ids, found.campaign_of_row, out)
    return {"campaigns": len(cases), "reported": sum(case.reported for case in cases)}


def write_nothing(run: Run, out: Path) -> Counts:
    """Write the tables of a window without rows: all there, all empty."""
    for name, schema in tables.TABLES.items():
        tables.write_records(out / f"{name}.parquet", [], schema)
    tables.write_records(out / "prompts.parquet", [], tables.prompts_schema(run.settings.views))
    return {"campaigns": 0, "reported": 0}


def read_inputs(run: Run) -> Inputs:
    """Read what the stages up to linking have left."""
    place, full = run.place("link"), run.place("views", View.FULL)
    rows = pl.read_parquet(place / "rows.parquet", glob=False)
    sent = pl.read_parquet(run.place("sample") / "texts.parquet", columns=["text"], glob=False)["text"]
    numbers = np.load(full / "of_text.npy")[rows["text"].to_numpy()]
    log = traffic(
        rows.with_columns(text=pl.Series(numbers, dtype=pl.UInt32)),
        pl.read_parquet(run.place("sample") / "accounts.parquet", glob=False),
    )
    return Inputs(
        log=log,
        prompts=sent.gather(rows["text"]),
        texts=pl.read_parquet(full / "texts.parquet", columns=["text"], glob=False)["text"],
        vectors=vectors_of(run, View.FULL),
        topics=by_cluster(np.load(place / "topics.npy"), log.clusters[View.FULL]),
        profiles=np.load(place / "profiles.npy"),
    )


def cluster_ids(log: Traffic, texts: pl.Series) -> ClusterIds:
    """Mint an id for each (view, label) from the prompts in it: the same prompts give the same id."""
    own = np.array([blake2b(text.encode(), digest_size=8).digest() for text in texts], dtype="S8")
    text = log.rows["text"].to_numpy()
    ids: ClusterIds = {}
    for view, labels in log.clusters.items():
        inside = np.flatnonzero(labels >= 0)
        inside = inside[np.argsort(labels[inside], kind="stable")]
        found, start = np.unique(labels[inside], return_index=True)
        for label, rows in zip(
            found.tolist(), np.split(inside, start[1:]) if len(found) else [], strict=True
        ):
            digest = blake2b(view.encode(), digest_size=8, person=b"cluster")
            for one in sorted(own[np.unique(text[rows])].tolist()):
                digest.update(one.ljust(8, b"\0"))
            ids[view, label] = f"k{digest.hexdigest()}"
    return ids


def _texts_of(log: Traffic, case: Case) -> NDArray[np.int64]:
    """Return the numbers of the distinct texts that the members of a case sent in it."""
    return np.unique(log.rows["text"].to_numpy()[case.group.member_rows(log)]).astype(np.int64)


def _wordings(log: Traffic, cases: list[Case], inputs: Inputs, run: Run) -> list[Wording]:
    """Say of each case what its texts have in common, and which words stand out, as they may be shown."""
    label = np.full(len(inputs.texts), -1, dtype=np.int64)
    members = [_texts_of(log, case) for case in cases]
    for i in reversed(range(len(cases))):  # a text of several cases counts for the strongest
        label[members[i]] = i
    described = describe(inputs.texts.to_list(), label, run.settings.describe)
    said = {d.label: (d.template, d.keywords) for d in described}
    of_cluster = _words_of(run, View.SKELETON) if View.SKELETON in run.settings.views else {}
    templates = {cluster: words["template"] for cluster, words in of_cluster.items()}
    for i, numbers in enumerate(members):
        if i not in said:
            said[i] = template(inputs.texts.gather(even(numbers, TEMPLATE_TEXTS)).to_list()).text, ()
        if n_words(said[i][0]) < TELLING_WORDS:
            said[i] = _several(log, cases[i], templates) or said[i][0], said[i][1]
    show = run.settings.show
    return [Wording(blank(said[i][0], show), blank_words(said[i][1], show)) for i in range(len(cases))]


def _several(log: Traffic, case: Case, templates: dict[int, str]) -> str:
    """Return the templates of the few clusters of the skeleton that hold most of a case, ` | ` between them.

    A campaign may have a few wordings, which have nothing in common. Empty where no few clusters hold most.
    """
    if not templates:
        return ""
    labels = log.clusters[View.SKELETON][case.group.member_rows(log)]
    counts = np.bincount(labels[labels >= 0], minlength=len(templates))
    largest = np.argsort(-counts, kind="stable")[:WORDINGS].tolist()
    few = [
        i for i in largest if counts[i] >= WORDING * len(labels) and n_words(templates[i]) >= TELLING_WORDS
    ]
    return " | ".join(dict.fromkeys(templates[i] for i in few)) if 2 * counts[few].sum() > len(labels) else ""


def _exemplars(
    names: list[str], cases: list[Case], campaign: pl.Series, inputs: Inputs, run: Run
) -> list[Record]:
    """Choose prompts that show each case: nearest its centre, halfway out, and farthest from it.

    Of its own requests, as its keywords are, unless all are of stronger cases; campaign (n,): whose each is.
    """
    out: list[Record] = []
    text = inputs.log.rows["text"].to_numpy()
    shown = inputs.prompts.str.head(run.settings.show.characters).hash().to_numpy()
    for name, case in zip(names, cases, strict=True):
        rows = case.group.member_rows(inputs.log)
        own = rows[(campaign.gather(rows) == name).to_numpy()]
        rows = own if len(own) else rows
        for same in (text, shown):  # one row a text, the first, and of texts that are cut alike one
            rows = rows[np.sort(np.unique(same[rows], return_index=True)[1])]
        points = inputs.vectors[text[rows]]
        apart = 1 - points @ (points.mean(axis=0) if len(points) else np.zeros(points.shape[1]))
        order = rows[np.lexsort((rows, apart))]
        for kind, chosen in _kinds(order, run.settings.show.exemplars).items():
            out += [_exemplar(name, kind, int(row), inputs, run) for row in chosen]
    return out


def _kinds(order: NDArray[np.int64], most: int) -> dict[ExemplarKind, NDArray[np.int64]]:
    """Split rows, nearest the centre first, into the kinds of exemplars, no row twice."""
    near, rest = order[:most], order[most:]
    far = rest[max(len(rest) - most, 0) :]
    between = rest[: len(rest) - len(far)]
    middle = len(between) // 2
    return {
        ExemplarKind.MEDOID: near,
        ExemplarKind.BOUNDARY: between[middle : middle + most],
        ExemplarKind.ATYPICAL: far,
    }


def _exemplar(name: str, kind: ExemplarKind, row: int, inputs: Inputs, run: Run) -> Record:
    found = inputs.log.rows.row(row, named=True)
    return {
        "campaign_id": name,
        "request_id": found["request_id"],
        "account_id": found["account_id"],
        "timestamp": found["timestamp"],
        "kind": str(kind),
        "prompt": redact(inputs.prompts[row], run.settings.show),
    }


def _clusters(run: Run, log: Traffic, ids: ClusterIds, found: Records) -> list[Record]:
    """Return a row a cluster, of every view, in order of view and label.

    Its campaign is the one that half of its prompts are of, or more, or else the first linked from it.
    """
    rank = {campaign["campaign_id"]: campaign["rank"] for campaign in found.campaigns}
    of_cluster: dict[str, str] = {}
    for campaign in found.campaigns:
        for cluster in campaign["cluster_ids"]:
            of_cluster.setdefault(cluster, campaign["campaign_id"])
    out = []
    for view, labels in log.clusters.items():
        words = _words_of(run, view)
        strengths = _mean_strengths(run, view)
        frame = pl.DataFrame({"label": labels, "account": log.account, "campaign": found.campaign_of_row})
        frame = frame.filter(pl.col("label") >= 0)
        sizes = frame.group_by("label").agg(pl.len(), pl.col("account").n_unique()).sort("label")
        theirs = frame.drop_nulls("campaign").group_by("label", "campaign").agg(theirs=pl.len())
        half = theirs.join(sizes, on="label").filter(2 * pl.col("theirs") >= pl.col("len"))
        by_rank = sorted(half.select("label", "campaign").iter_rows(), key=lambda row: -rank[row[1]])
        of_half = dict(by_rank)  # of two halves the last, which is the first in rank
        for label, n_prompts, n_accounts in sizes.iter_rows():
            said = words[label]
            out.append(
                {
                    "cluster_id": ids[view, label],
                    "view": view,
                    "n_prompts": n_prompts,
                    "n_accounts": n_accounts,
                    "template": blank(said["template"], run.settings.show),
                    "keywords": blank_words(said["keywords"], run.settings.show),
                    "strength": strengths[label],
                    "campaign_id": of_half.get(label, of_cluster.get(ids[view, label])),
                }
            )
    return out


def _words_of(run: Run, view: str) -> dict[int, dict[str, Any]]:
    """Return what was said of each cluster of a view, by its label."""
    said = json.loads((run.place("cluster", view) / "words.json").read_text())
    return {words["label"]: words for words in said}


def _mean_strengths(run: Run, view: str) -> NDArray[np.float64]:
    """Return the mean strength of each cluster's prompts, those of the same text included."""
    place = run.place("cluster", view)
    labels, strengths = np.load(place / "labels.npy"), np.load(place / "strengths.npy")
    texts = run.place("views", view) / "texts.parquet"
    counts = pl.read_parquet(texts, columns=["count"], glob=False)["count"].to_numpy()
    inside = labels >= 0
    labels, counts = labels[inside], counts[inside]
    return np.bincount(labels, weights=strengths[inside] * counts) / np.bincount(labels, weights=counts)


def _write_prompts(run: Run, log: Traffic, ids: ClusterIds, campaign: pl.Series, out: Path) -> None:
    frame = log.rows.select("request_id", "account_id", "timestamp", "weight")
    for view, labels in log.clusters.items():
        names = [ids.get((view, label)) for label in range(int(labels.max(initial=-1)) + 1)]
        lookup = pl.Series(f"cluster_{view}", [*names, None], dtype=pl.String)
        frame = frame.with_columns(lookup.gather(np.where(labels < 0, len(names), labels)))
    frame = frame.with_columns(campaign.alias("campaign_id"))
    tables.write_frame(out / "prompts.parquet", frame, tables.prompts_schema(run.settings.views))

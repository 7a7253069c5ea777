"""The tables of a run, written once: names, order and types of their columns."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from flows.versions import own_version

TIME = pa.timestamp("us", tz="UTC")
TEXTS = pa.list_(pa.string())
SCHEMA_VERSION = "1"

CAMPAIGNS = pa.schema(
    [
        ("campaign_id", pa.string()),
        ("rank", pa.int32()),
        ("reported", pa.bool_()),
        ("decision_reason", pa.string()),
        ("title", pa.string()),
        ("window_start", TIME),
        ("window_end", TIME),
        ("first_seen", TIME),
        ("last_seen", TIME),
        ("n_accounts", pa.int64()),
        ("n_prompts", pa.int64()),
        ("n_distinct_prompts", pa.int64()),
        ("estimated_prompts", pa.float64()),
        ("n_orgs", pa.int64()),
        ("n_ips", pa.int64()),
        ("n_asns", pa.int64()),
        ("models", TEXTS),
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("e_value", pa.float64()),
        ("q_value", pa.float64()),
        ("template", pa.string()),
        ("keywords", TEXTS),
        ("capability", pa.string()),
        ("lookalike", pa.string()),
        ("lookalike_score", pa.float64()),
        ("not_tested", TEXTS),
        ("lineage", pa.string()),
        ("previous_campaign_id", pa.string()),
        ("cluster_ids", TEXTS),
    ]
)
CAMPAIGN_ACCOUNTS = pa.schema(
    [
        ("campaign_id", pa.string()),
        ("account_id", pa.string()),
        ("org_id", pa.string()),
        ("confidence", pa.float64()),
        ("n_prompts", pa.int64()),
        ("n_total", pa.int64()),
        ("share", pa.float64()),
        ("estimated_prompts", pa.float64()),
        ("n_ips", pa.int64()),
        ("first_seen", TIME),
        ("last_seen", TIME),
        ("reasons", TEXTS),
    ]
)
CAMPAIGN_EVIDENCE = pa.schema(
    [
        ("campaign_id", pa.string()),
        ("signal", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("direction", pa.string()),
        ("statistic", pa.float64()),
        ("effect", pa.float64()),
        ("null_model", pa.string()),
        ("p_value", pa.float64()),
        ("e_value", pa.float64()),
        ("n", pa.int64()),
        ("sentence", pa.string()),
    ]
)
CAMPAIGN_EXPLANATIONS = pa.schema(
    [
        ("campaign_id", pa.string()),
        ("explanation", pa.string()),
        ("score", pa.float64()),
        ("for", TEXTS),
        ("against", TEXTS),
        ("sentence", pa.string()),
    ]
)
CAMPAIGN_EXEMPLARS = pa.schema(
    [
        ("campaign_id", pa.string()),
        ("request_id", pa.string()),
        ("account_id", pa.string()),
        ("timestamp", TIME),
        ("kind", pa.string()),
        ("prompt", pa.string()),
    ]
)
CLUSTERS = pa.schema(
    [
        ("cluster_id", pa.string()),
        ("view", pa.string()),
        ("n_prompts", pa.int64()),
        ("n_accounts", pa.int64()),
        ("template", pa.string()),
        ("keywords", TEXTS),
        ("strength", pa.float64()),
        ("campaign_id", pa.string()),
    ]
)


def prompts_schema(views: Sequence[str]) -> pa.Schema:
    """Return the schema of prompts.parquet, with a cluster column for each view."""
    fixed = [("request_id", pa.string()), ("account_id", pa.string()), ("timestamp", TIME)]
    clusters = [(f"cluster_{view}", pa.string()) for view in views]
    return pa.schema([*fixed, ("weight", pa.float64()), *clusters, ("campaign_id", pa.string())])


TABLES: Mapping[str, pa.Schema] = {
    "campaigns": CAMPAIGNS,
    "campaign_accounts": CAMPAIGN_ACCOUNTS,
    "campaign_evidence": CAMPAIGN_EVIDENCE,
    "campaign_explanations": CAMPAIGN_EXPLANATIONS,
    "campaign_exemplars": CAMPAIGN_EXEMPLARS,
    "clusters": CLUSTERS,
}


def write_records(path: Path, records: Iterable[Mapping[str, Any]], schema: pa.Schema) -> int:
    """Write records by column name, null for what a record lacks; return how many. Raises on a wrong type."""
    table = pa.Table.from_pylist([dict(record) for record in records], schema=schema)
    return _write(path, table)


def write_frame(path: Path, frame: pl.DataFrame, schema: pa.Schema) -> int:
    """Write the columns of a frame that the schema names, in its order. Returns how many rows."""
    return _write(path, frame.select(schema.names).to_arrow().cast(schema))


def _write(path: Path, table: pa.Table) -> int:
    made = {"producer": "hydrascope", "version": own_version(), "schema_version": SCHEMA_VERSION}
    table = table.replace_schema_metadata(made)
    pq.write_table(table, path, compression="zstd", compression_level=3, row_group_size=100_000)
    return int(table.num_rows)

"""The tables, read back by the tools that analysts use."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from campaigns.traffic import traffic
from flows import tables
from flows.results import _several
from flows.tables import TABLES, prompts_schema, write_frame, write_records
from tests.traffic_planted import group_of, numbers, plant

CONTRACT = {
    "campaigns": """
        campaign_id rank reported decision_reason title window_start window_end first_seen last_seen
        n_accounts n_prompts n_distinct_prompts estimated_prompts n_orgs n_ips n_asns models input_tokens
        output_tokens e_value q_value template keywords capability lookalike lookalike_score not_tested
        lineage previous_campaign_id cluster_ids""",
    "campaign_accounts": """
        campaign_id account_id org_id confidence n_prompts n_total share estimated_prompts n_ips first_seen
        last_seen reasons""",
    "campaign_evidence": """
        campaign_id signal status reason direction statistic effect null_model p_value e_value n sentence""",
    "campaign_explanations": "campaign_id explanation score for against sentence",
    "campaign_exemplars": "campaign_id request_id account_id timestamp kind prompt",
    "clusters": "cluster_id view n_prompts n_accounts template keywords strength campaign_id",
}


@pytest.mark.parametrize("name", CONTRACT)
def test_columns_are_those_of_the_contract(name: str) -> None:
    assert TABLES[name].names == CONTRACT[name].split()


def test_prompts_has_a_column_a_view() -> None:
    assert prompts_schema(["full", "skeleton"]).names == [
        "request_id", "account_id", "timestamp", "weight", "cluster_full", "cluster_skeleton", "campaign_id",
    ]  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_an_empty_table_keeps_its_types(tmp_path: Path, name: str) -> None:
    assert write_records(tmp_path / "t.parquet", [], TABLES[name]) == 0
    assert pq.read_schema(tmp_path / "t.parquet").equals(TABLES[name])


def test_a_table_is_read_by_duckdb_polars_and_pandas_with_its_partitions(tmp_path: Path) -> None:
    when = datetime(2026, 6, 1, 12, tzinfo=UTC)
    record = {"campaign_id": "c1", "rank": 1, "reported": True, "first_seen": when, "keywords": ["a", "b"]}
    for day, run in (("2026-06-01", "r1"), ("2026-06-02", "r2")):
        folder = tmp_path / f"date={day}" / f"run_id={run}"
        folder.mkdir(parents=True)
        write_records(folder / "campaigns.parquet", [record], tables.CAMPAIGNS)
    glob = str(tmp_path / "date=*/run_id=*/campaigns.parquet")
    columns = "campaign_id, first_seen, keywords, run_id, lookalike"
    asked = f"select {columns} from read_parquet(?, hive_partitioning=true)"
    con = duckdb.connect()
    con.execute("set timezone = 'UTC'")
    rows = sorted(con.execute(asked, [glob]).fetchall(), key=lambda row: row[3])
    assert [row[3] for row in rows] == ["r1", "r2"]
    assert rows[0][:3] == ("c1", when, ["a", "b"])
    assert rows[0][4] is None
    frame = pl.read_parquet(glob, hive_partitioning=True)
    assert frame.schema["first_seen"] == pl.Datetime("us", "UTC")
    assert sorted(frame["run_id"]) == ["r1", "r2"]
    assert pd.read_parquet(tmp_path)["first_seen"].iloc[0] == pd.Timestamp(when)


def test_a_frame_is_written_in_the_order_and_types_of_the_schema(tmp_path: Path) -> None:
    frame = pl.DataFrame({"n": [1], "campaign_id": [None], "cluster_full": ["k1"], "weight": [2.0]})
    frame = frame.with_columns(request_id=pl.lit("r"), account_id=pl.lit("a"), timestamp=datetime(2026, 6, 1))
    frame = frame.with_columns(
        pl.col("timestamp").dt.replace_time_zone("UTC"), pl.col("campaign_id").cast(pl.String)
    )
    write_frame(tmp_path / "p.parquet", frame, prompts_schema(["full"]))
    back = pq.read_table(tmp_path / "p.parquet")
    assert back.schema.equals(prompts_schema(["full"]))
    assert back.to_pylist()[0]["cluster_full"] == "k1"
    assert pq.ParquetFile(tmp_path / "p.parquet").metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_campaign_of_a_few_wordings_is_described_by_the_clusters_that_hold_most_of_it() -> None:
    rows, accounts = plant(
        0, [("hydra", 20, "even", "flat", range(3)), ("p", 20, "even", "flat", range(2, 5))]
    )
    rare = pl.when(pl.int_range(pl.len()) % 50 == 0).then(3).otherwise("cluster_full").cast(pl.Int32)
    log = traffic(rows.rename({"cluster_full": "cluster_skeleton"}), accounts)
    few = traffic(rows.with_columns(cluster_skeleton=rare).drop("cluster_full"), accounts)
    said = {
        0: "Render this text in <*>: <*>",
        1: "请 翻 译 成 <*>: <*>",
        2: "<*>",
        3: "Now do all of it: <*>",
        4: "<*>",
    }
    for seen in (log, few):
        case = SimpleNamespace(group=group_of(seen, numbers(seen, "hydra")))
        assert set(_several(seen, case, said).split(" | ")) == {said[0], said[1]}
    assert _several(log, case, {}) == ""
    most = plant(0, [("hydra", 20, "even", "flat", range(9))])  # no few of nine hold most of it
    spread = traffic(most[0].rename({"cluster_full": "cluster_skeleton"}), most[1])
    case = SimpleNamespace(group=group_of(spread, numbers(spread, "hydra")))
    assert _several(spread, case, dict.fromkeys(range(9), said[0])) == ""

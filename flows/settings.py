"""The settings of a run: one model for the config file, the form in the Prefect UI and what a run records."""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from campaigns.judge import JudgeSettings
from embeddings.clusters import AccountClusters, FineClusters
from embeddings.describe import DescribeSettings
from embeddings.encoders import EncoderSettings
from embeddings.fit import FitSettings
from embeddings.index import IndexSettings
from embeddings.views import View, ViewSettings
from flows.errors import InputError
from flows.files import first_line
from flows.sample import SampleSettings

FITTED = "fitted"
Column = Literal[
    "request_id", "timestamp", "account_id", "prompt", "org_id", "session_id", "ip", "asn", "country",
    "user_agent", "tls_fingerprint", "model", "endpoint", "plan", "output_hash", "input_tokens",
    "cached_tokens", "output_tokens", "status", "account_created",
]  # fmt: skip


class ShowSettings(BaseModel):
    """What of the prompts is shown in tables and report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exemplars: int = Field(default=5, ge=0, le=50, description="Prompts that show a campaign, of each kind.")
    redact: Literal["nothing", "identifiers", "everything"] = Field(
        default="identifiers",
        description="What to blank in shown prompts, templates and keywords: e-mail addresses, numbers and "
        "keys, or all of the text.",
    )
    characters: int = Field(default=2000, ge=0, description="Characters of a shown prompt at most.")


class WorkSettings(BaseModel):
    """How the work is done. Nothing here changes what is found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shards: int = Field(default=4, ge=1, le=12, description="Parts that a view is embedded and searched in.")
    workers: int = Field(default=1, ge=1, le=64, description="Parts worked on at the same time.")
    time_limit: int = Field(
        default=6 * 3600,
        ge=1,
        le=30 * 86_400,
        description="Seconds after which a part of a stage, or those worked on at once, is stopped; the run "
        "resumes there.",
    )
    store_bytes: int = Field(default=4_000_000_000, ge=0, description="Most bytes kept in the vector store.")
    keep_days: float = Field(default=7, ge=0, description="Days that an unfinished run is kept for resuming.")
    quote_in_ui: bool = Field(
        default=False, description="Show titles and templates, which quote prompts, in the Prefect UI."
    )
    served_at: str = Field(
        default="",
        description="URL at which browsers reach the output folder: the Prefect UI links reports there.",
    )


def _with_the_full_text(views: tuple[View, ...]) -> tuple[View, ...]:
    """Refuse views without the full text, which accounts and exemplars are seen by, and one named twice."""
    if View.FULL not in views or len(set(views)) < len(views):
        raise PydanticCustomError("views", "expected different views, 'full' among them")
    return views


class DetectSettings(BaseModel):
    """Everything that shapes a run of detection."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=0, ge=0, lt=2**32, description="Seed of every random choice.")
    encoder: str = Field(
        default=FITTED,
        min_length=1,
        description="A SentenceTransformer by name or folder; 'fitted': one fitted to the log itself.",
    )
    views: Annotated[tuple[View, ...], AfterValidator(_with_the_full_text)] = Field(
        default=(View.FULL, View.SKELETON, View.RUN),
        description="In which ways prompts are looked at; 'full' is needed.",
    )
    columns: Mapping[Column, str] = Field(
        default_factory=dict, description="Our column name to the log's, where they differ."
    )
    sample: SampleSettings = Field(default=SampleSettings(), description="How much of the log is looked at.")
    view: ViewSettings = Field(default=ViewSettings(), description="What the views keep of a prompt.")
    encoding: EncoderSettings = Field(default=EncoderSettings(), description="How texts become vectors.")
    fit: FitSettings = Field(default=FitSettings(), description="How an encoder is fitted to a log.")
    index: IndexSettings = Field(default=IndexSettings(), description="How neighbours are searched.")
    clusters: FineClusters = Field(default=FineClusters(), description="What counts as a cluster of prompts.")
    profiles: AccountClusters = Field(
        default=AccountClusters(),
        description="What counts as a cluster of accounts that ask for the same things.",
    )
    topics: int = Field(default=1000, ge=1, description="Coarse topics that accounts are described by.")
    describe: DescribeSettings = Field(
        default=DescribeSettings(), description="How much is said of a cluster."
    )
    judge: JudgeSettings = Field(default=JudgeSettings(), description="What has to be true of a campaign.")
    show: ShowSettings = Field(default=ShowSettings(), description="What of the prompts is shown.")
    work: WorkSettings = Field(default=WorkSettings(), description="How the work is done.")


def read_settings(path: Path | None, **overrides: Any) -> DetectSettings:  # noqa: ANN401
    """Read a config file (TOML, YAML or JSON by suffix); overrides that are not None come before it.

    Raises InputError, in one line, for a file that cannot be read and for a setting that is unknown or wrong.
    """
    values = _load(path) if path else {}
    values = merge(values, {name: value for name, value in overrides.items() if value is not None})
    try:
        return DetectSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        unknown = first["type"] in ("extra_forbidden", "unexpected_keyword_argument")
        what = "is not a setting" if unknown else first["msg"]
        raise InputError(f"{path or 'settings'}: {place}: {what}") from None


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return nested settings where `above` comes first."""
    merged = dict(below)
    for name, value in above.items():
        nested = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = merge(merged[name], value) if nested else value
    return merged


def _load(path: Path) -> dict[str, Any]:
    readers: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads,
        ".json": json.loads,
        ".yaml": yaml.safe_load,
        ".yml": yaml.safe_load,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: a config file ends in {', '.join(readers)}")
    try:
        values = reader(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)  # YAML says where on lines of its own
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"cannot read {path}{line}: {first_line(error)}") from None
    if values is not None and not isinstance(values, dict):
        raise InputError(f"{path}: expected settings by name, found {type(values).__name__}")
    return values or {}

"""What a scenario can say: the words that campaigns and look-alikes are declared in."""

from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass


class Shape(StrEnum):
    """How a request is made of its task."""

    TASK = "task"
    PREAMBLE = "preamble"
    LONG_PREAMBLE = "long_preamble"
    LIBRARY = "library"
    SUFFIX = "suffix"
    INJECTED = "injected"
    PARAPHRASED = "paraphrased"
    RUBRIC = "rubric"
    CLEANING = "cleaning"
    REWRITE = "rewrite"
    TRANSLATION = "translation"
    HARNESS = "harness"
    EXACT = "exact"


class Draw(StrEnum):
    """Which task a request carries: each once, what people ask (some of it popular), a set rerun, a bank."""

    ONCE = "once"
    PEOPLE = "people"
    RERUN = "rerun"
    BANK = "bank"


class Partition(StrEnum):
    """How the work is split among accounts; quota: heavy, cut off at a number that half of them reach."""

    ROUND_ROBIN = "round_robin"
    RANDOM = "random"
    STICKY = "sticky"
    CONTIGUOUS = "contiguous"
    HEAVY = "heavy"
    QUOTA = "quota"


class Hours(StrEnum):
    """When the work is sent; human is each account's own habit, by the law for everybody."""

    FLAT = "flat"
    OFFICE = "office"
    HUMAN = "human"
    BURST = "burst"
    NIGHTLY = "nightly"
    WAVE = "wave"
    DEADLINE = "deadline"
    LESSONS = "lessons"
    CLOCK = "clock"


class Addresses(StrEnum):
    """Where the work is sent from; own is each account's addresses, by the law for everybody."""

    OWN = "own"
    SHARED = "shared"
    ROTATING = "rotating"


class Giveaway(StrEnum):
    """What a scenario betrays of each account by its nature, so that tests allow for it."""

    LENGTH = "length"
    LANGUAGE = "language"
    METADATA = "metadata"
    REPEATS = "repeats"
    TOPIC = "topic"
    HOURS = "hours"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Scenario:
    """One operator or one innocent crowd, beside whom the account's other traffic obeys the law for all."""

    name: str = Field(description="The word after campaign: or decoy: in the truth.")
    sentence: str = Field(description="What it is, in plain words.")
    shape: Shape = Field(description="How a request is made of its task.")
    accounts: int = Field(default=60, ge=1, description="Accounts at work at the same time.")
    per_day: float = Field(default=8.0, gt=0, description="Mean requests of this work an account and day.")
    share: float = Field(default=1.0, gt=0, le=1, description="Share of this work in the accounts' traffic.")
    partition: Partition = Field(
        default=Partition.RANDOM, description="How the work is split among accounts."
    )
    hours: Hours = Field(default=Hours.FLAT, description="When it is sent.")
    addresses: Addresses = Field(default=Addresses.OWN, description="Where it is sent from.")
    draw: Draw = Field(default=Draw.ONCE, description="Which task a request carries.")
    bank: int = Field(default=12, ge=1, description="Tasks in a bank or a set that is rerun.")
    roles: tuple[str, ...] = Field(default=("distillation", "probe"), description="Roles the tasks are of.")
    families: int = Field(
        default=4, ge=1, description="Families the tasks are of, more where they are too few."
    )
    beats: bool = Field(
        default=False, description="Whether each account keeps to a few families, as people do."
    )
    lifetime: float = Field(default=0.0, ge=0, description="Days until an account is replaced; 0: never.")
    ban: bool = Field(
        default=False, description="Whether all are banned in mid-window and new ones take over."
    )
    pivot: bool = Field(
        default=False, description="Whether task set, wording and model change in mid-window."
    )
    one_org: bool = Field(default=False, description="Whether all accounts are of one organisation.")
    model: Literal["own", "one", "new"] = Field(default="own", description="The model that is asked.")
    declared: tuple[Giveaway, ...] = Field(
        default=(), description="What single accounts betray by the nature of it."
    )
    split: Literal["tuning", "heldout"] = Field(default="tuning", description="Who may look at it.")

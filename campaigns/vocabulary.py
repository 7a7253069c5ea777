"""The closed vocabularies of the output tables, in one place."""

from enum import StrEnum


def readable(name: str) -> str:
    """Return a name of a vocabulary as it is said."""
    return name.replace("_", " ")


class Signal(StrEnum):
    """What can be weighed about a group; the column `signal` of campaign_evidence."""

    SPREAD = "account_spread"
    EVENNESS = "evenness"
    QUOTA = "quota"
    RHYTHM = "rhythm"
    TASKS = "shared_tasks"
    CONSTANT_TOTAL = "constant_total"
    ADDRESSES = "shared_addresses"
    TEMPLATE = "template"
    REPEATS = "repeats"
    QUESTION_BANK = "question_bank"
    ROUND_CLOCK = "round_the_clock"
    SUSTAINED = "sustained"
    CLOCK = "off_the_clock"
    CONCENTRATION = "concentration"
    CAPABILITY = "capability"


class Status(StrEnum):
    """Whether a signal could be weighed."""

    TESTED = "tested"
    NOT_TESTED = "not_tested"


class Direction(StrEnum):
    """Which way a signal points: for or against one operator behind the group."""

    FOR = "for"
    AGAINST = "against"
    NEUTRAL = "neutral"


class Explanation(StrEnum):
    """Innocent crowds that resemble a campaign; each has a model in campaigns/explain.py."""

    INDEPENDENT = "independent_users"
    TOOL = "shared_tool"
    CLASS = "class_or_exam"
    VIRAL = "viral_prompt"
    AUTOMATION = "customers_automation"
    SCHEDULED = "scheduled_jobs"
    SERVICE = "metered_service"
    ORGANISATION = "one_organisation"
    NETWORK = "shared_network"


class Capability(StrEnum):
    """What a group asks the model to do more often than the rest of the log."""

    REASONING = "reasoning_elicitation"
    CODING = "coding"
    AGENTIC = "agentic_tool_use"
    GRADING = "grading"
    DATA_CLEANING = "data_cleaning"
    SAFETY_REWRITE = "safety_rewrite"
    TRANSLATION = "translation"
    MATHEMATICS = "mathematics"
    QUESTION_ANSWERING = "question_answering"
    SYNTHETIC_DATA = "synthetic_data"
    GENERAL = "general"


class ExemplarKind(StrEnum):
    """Why a prompt was chosen to show a campaign."""

    MEDOID = "medoid"
    BOUNDARY = "boundary"
    ATYPICAL = "atypical"


class Lineage(StrEnum):
    """How a campaign relates to earlier runs."""

    NEW = "new"

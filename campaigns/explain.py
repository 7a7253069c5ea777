"""Innocent explanations: crowds that are not independent either, each with a model of its own.

A model says which signals such a crowd shows as well as an operator does. Those signals cannot tell the two
apart and are left out when the group is weighed against that crowd; in the rest the crowd are people. A
product of the remaining likelihood ratios is a likelihood ratio again, since they are conditional on each
other in turn: how many rows, in which hours, about what, from where.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from campaigns.evidence.finding import Finding
from campaigns.laws import log_mean_exp
from campaigns.vocabulary import Direction, Explanation, Signal

WEIGHED = (Signal.EVENNESS, Signal.RHYTHM, Signal.CONSTANT_TOTAL, Signal.TASKS, Signal.ADDRESSES)
HOURS = (Signal.RHYTHM, Signal.CONSTANT_TOTAL)  # two ways in which hours betray an operator: averaged


class Model(NamedTuple):
    """An innocent crowd: what it is, and the signals it shows like an operator does."""

    words: str
    shows: frozenset[Signal]


MODELS: Mapping[Explanation, Model] = {
    Explanation.INDEPENDENT: Model("independent users of one interest", frozenset()),
    Explanation.TOOL: Model(
        "customers of one tool or prompt library, each with a key of their own", frozenset({Signal.TASKS})
    ),
    Explanation.CLASS: Model(
        "a class or an exam: one assignment, one network, one quota",
        frozenset({Signal.EVENNESS, Signal.TASKS, Signal.ADDRESSES}),
    ),
    Explanation.VIRAL: Model(
        "a prompt that went round: everyone sends it once or twice",
        frozenset({Signal.EVENNESS, Signal.TASKS}),
    ),
    Explanation.AUTOMATION: Model(
        "jobs that customers run by the clock, each customer their own",
        frozenset({Signal.RHYTHM, Signal.TASKS}),
    ),
    Explanation.NETWORK: Model(
        "ordinary users behind one network or reseller", frozenset({Signal.ADDRESSES})
    ),
    Explanation.ORGANISATION: Model("one organisation with many keys", frozenset({*WEIGHED})),
}


class Weighed(NamedTuple):
    """How a group stands against one innocent explanation; log_e is what remains for an operator."""

    explanation: Explanation
    log_e: float
    score: float
    speaks_for: list[str]
    speaks_against: list[str]
    sentence: str


def weigh(
    findings: Mapping[Signal, Finding], one_template: bool, organisation: float | None
) -> list[Weighed]:
    """Weigh a group against every innocent model that the columns of the log allow.

    one_template: whether one prompt template holds most of the group's rows; a crowd spread evenly over many
    unrelated tasks is no tool's and no customer's job. organisation: the largest share of the group's
    accounts in one organisation, None where the log does not say.
    """
    weighed = []
    for explanation, model in MODELS.items():
        if explanation is Explanation.ORGANISATION and organisation is None:
            continue
        shows = model.shows
        if explanation in (Explanation.TOOL, Explanation.AUTOMATION) and not one_template:
            shows = shows - {Signal.TASKS}
        if explanation is Explanation.ORGANISATION and organisation is not None and organisation < 0.5:
            shows = frozenset()
        weighed.append(_against(explanation, model.words, shows, findings))
    return weighed


def _against(
    explanation: Explanation, words: str, shows: frozenset[Signal], findings: Mapping[Signal, Finding]
) -> Weighed:
    tested = [findings[s] for s in WEIGHED if s in findings and findings[s].log_e is not None]
    left = [finding for finding in tested if finding.signal not in shows]
    hours = [f.log_e or 0.0 for f in left if f.signal in HOURS]
    log_e = float(sum(f.log_e or 0.0 for f in left if f.signal not in HOURS))
    if hours:
        log_e += log_mean_exp(np.array(hours))
    fits = [f.sentence for f in tested if f.signal in shows or f.direction is Direction.AGAINST]
    fails = [f.sentence for f in left if f.direction is Direction.FOR]
    score = float(1 / (1 + np.exp(min(log_e, 700))))
    return Weighed(
        explanation,
        log_e,
        score,
        fits,
        fails,
        f"Could it be {words}? "
        + (
            "What was seen does not rule it out."
            if log_e < np.log(20)
            else "What was seen speaks against it."
        ),
    )

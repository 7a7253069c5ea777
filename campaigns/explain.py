"""Innocent explanations: crowds that are not independent either, each with a model of its own.

A model says which signals tell such a crowd from an operator. In all others it may look just like one: they
are left out when the group is weighed against it. A product of the remaining likelihood ratios is a
likelihood ratio again, since they are conditional on each other in turn: how many rows, in which hours,
about what, from where.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from campaigns.evidence.finding import MOST, Finding
from campaigns.laws import log_mean_exp
from campaigns.vocabulary import Direction, Explanation, Signal, readable

HOURS = frozenset({Signal.RHYTHM, Signal.CONSTANT_TOTAL})  # two ways in which hours betray an operator
ONGOING = frozenset({Signal.ROUND_CLOCK, Signal.SUSTAINED})  # either rules out a class: averaged
OPERATOR = frozenset({Signal.EVENNESS, *HOURS, Signal.TASKS})
DECIDING = (
    *sorted(OPERATOR),
    Signal.QUOTA,
    Signal.REPEATS,
    Signal.QUESTION_BANK,
    *sorted(ONGOING),
    Signal.CLOCK,
)
PLAIN = (Explanation.NETWORK, Explanation.INDEPENDENT)
SIDES = (HOURS, ONGOING)  # signals that show the same side of the rows
# Signals without which an explanation would fit every group: it is left out where they could not be tested.
UNTOLD = {Explanation.SERVICE: Signal.REPEATS, Explanation.SCHEDULED: Signal.CLOCK}
RULED_OUT = np.log(20)  # log e-value from which what was seen speaks against an explanation
HALF = 0.5  # share from shared addresses from which it may be the whole story
FEW = 5.0  # organisations, as if of equal size: four may be the departments of one, with a few bystanders


class Model(NamedTuple):
    """An innocent crowd: what it is, and the signals that speak against it when an operator shows them.

    mark: the signal that speaks against an operator where what such a crowd alone does is seen.
    """

    words: str
    betrayed_by: frozenset[Signal]
    mark: Signal | None = None


MODELS: Mapping[Explanation, Model] = {
    Explanation.NETWORK: Model("ordinary users behind one network or reseller", OPERATOR),
    Explanation.INDEPENDENT: Model("independent users of one interest", OPERATOR),
    Explanation.TOOL: Model(
        "customers of one tool or prompt library under a quota, each with a key of their own",
        HOURS | {Signal.QUOTA},
    ),
    Explanation.AUTOMATION: Model(
        "jobs that customers run round the clock, each customer as much as it needs",
        frozenset({Signal.EVENNESS, Signal.CONSTANT_TOTAL}),
    ),
    Explanation.SCHEDULED: Model(
        "one published job that runs at fixed minutes, for every customer alike",
        frozenset({Signal.CLOCK}),
        Signal.CLOCK,
    ),
    Explanation.SERVICE: Model(
        "a metered service with many keys, its own or its customers'",
        frozenset({Signal.REPEATS, Signal.CONSTANT_TOTAL}),
    ),
    Explanation.CLASS: Model(
        "a class, a course, an exam or a release day: everybody on the same few dates",
        ONGOING,
        Signal.SUSTAINED,
    ),
    Explanation.VIRAL: Model(
        "a prompt or a set of questions that went round, or fixed inputs run again",
        frozenset({Signal.QUESTION_BANK, Signal.CONSTANT_TOTAL}),
        Signal.QUESTION_BANK,
    ),
    Explanation.ORGANISATION: Model("one organisation with many keys", frozenset()),
}


class Weighed(NamedTuple):
    """How a group stands against one innocent explanation; log_e is what remains for an operator.

    marked: what such a crowd alone does was seen.
    """

    explanation: Explanation
    log_e: float
    score: float
    speaks_for: list[str]
    speaks_against: list[str]
    sentence: str
    marked: bool


# What few signals tell leaves least to weigh: a group that it explains needs no other signal.
FEWEST = MODELS[Explanation.AUTOMATION].betrayed_by


def at_most(findings: Mapping[Signal, Finding]) -> float:
    """Return the most that can remain against every explanation, by the signals FEWEST alone."""
    return _product([f for f in findings.values() if f.signal in FEWEST and f.log_e is not None])


def weigh(
    findings: Mapping[Signal, Finding], organisations: float | None = None, network: float | None = None
) -> list[Weighed]:
    """Weigh a group against every innocent model that the columns of the log allow.

    organisations: how many the group's accounts are in, as if of equal size, None where the log does not say:
    then a service with many keys can only be told by what it asks. network: the share of the group's
    requests from addresses that its accounts share. Independent users are then those of one network, which
    says more of the same and is named in their place. More than FEW organisations are not one, whatever the
    signals say.
    """
    weighed = []
    for explanation, model in MODELS.items():
        betrayed_by, known = model.betrayed_by, list[str]()
        if explanation is Explanation.NETWORK and (network is None or network < HALF):
            continue
        if explanation is Explanation.ORGANISATION:
            if organisations is None:
                continue
            if organisations > FEW:
                known = [f"The accounts are of {organisations:.0f} organisations, as if of equal size."]
        if explanation is Explanation.SERVICE and organisations is not None:
            betrayed_by |= {Signal.TASKS}  # keys of other customers: each asks for what it needs
        if explanation in UNTOLD and findings[UNTOLD[explanation]].log_e is None:
            continue
        weighed.append(_against(explanation, model, betrayed_by, findings, known))
    return weighed


def best(weighed: Sequence[Weighed]) -> Weighed:
    """Return the explanation that fits best, which nothing or least speaks against.

    Of several that nothing speaks against one whose mark was seen, else plain users: how far below one their
    e-values are only tells how many signals each is of.
    """
    fitting = [one for one in weighed if one.log_e <= 0]
    marked = [one for one in fitting if one.marked]
    plain = [one for one in fitting if one.explanation in PLAIN]
    return (marked or plain or [min(weighed, key=lambda one: one.log_e)])[0]


def untested(weighed: Sequence[Weighed]) -> list[Explanation]:
    """Return the innocent explanations that the columns of the log do not allow to weigh.

    Users of one network are weighed as independent ones are, where the log does not show them.
    """
    known = {one.explanation for one in weighed} | {Explanation.NETWORK}
    return [explanation for explanation in MODELS if explanation not in known]


def _against(
    explanation: Explanation,
    model: Model,
    betrayed_by: frozenset[Signal],
    findings: Mapping[Signal, Finding],
    known: Sequence[str],
) -> Weighed:
    """Weigh a group against one explanation; known: what rules it out beside the signals."""
    tested = [f for f in findings.values() if f.log_e is not None]
    left = [f for f in tested if f.signal in betrayed_by]
    log_e = MOST if known else _product(left)
    fits = [
        f.sentence
        for f in tested
        if (
            f.direction is Direction.FOR and f.signal in OPERATOR - betrayed_by
        )  # such a crowd shows it as well
        or (f.direction is Direction.AGAINST and f.signal not in OPERATOR - betrayed_by)
    ]
    telling = [f for f in left if f.direction is Direction.FOR]
    fails = [*known, *(f.sentence for f in telling)]
    score = float(1 / (1 + np.exp(min(log_e, 700))))
    verdict = "What was seen does not rule it out."
    if log_e >= RULED_OUT:
        others = "its organisations" if known else "all of it together"
        against = ", ".join(readable(f.signal) for f in telling) or others
        verdict = f"What was seen speaks against it: {against}."
    marked = model.mark is not None and findings[model.mark].direction is Direction.AGAINST
    return Weighed(explanation, log_e, score, fits, fails, f"Could it be {model.words}? {verdict}", marked)


def _product(left: list[Finding]) -> float:
    """Multiply e-values of different sides of the rows; ways of showing the same side are averaged first."""
    total = 0.0
    for alternatives in SIDES:
        values = [f.log_e or 0.0 for f in left if f.signal in alternatives]
        total += float(log_mean_exp(np.array(values))) if values else 0.0
    return total + sum(f.log_e or 0.0 for f in left if f.signal not in frozenset().union(*SIDES))

"""What the signals say of groups, what remains of each against innocent explanations, and which pass."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from campaigns.aspects import hour_shares
from campaigns.discovery import e_bh_q_values
from campaigns.evidence.addresses import shared_addresses
from campaigns.evidence.clock import off_the_clock
from campaigns.evidence.constant_total import constant_total
from campaigns.evidence.evenness import evenness
from campaigns.evidence.finding import Finding, not_tested
from campaigns.evidence.quota import quota
from campaigns.evidence.repeats import Repeats, question_bank, repeats
from campaigns.evidence.rhythm import one_queue, rhythm
from campaigns.evidence.round_clock import round_clock
from campaigns.evidence.sustained import sustained
from campaigns.evidence.tasks import shared_tasks
from campaigns.explain import OPERATOR, RULED_OUT, Weighed, at_most, weigh
from campaigns.groups import Group
from campaigns.laws import Floats, Ints
from campaigns.people import People
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal
from campaigns.volumes import Volumes, volumes

TOLD_APART = "the accounts were told apart by what they ask"
SECOND_LOOK = 0.5  # weight of a group that is judged by all that its accounts sent: few campaigns show there
HINTED = 8.0  # weight of a group whose linking half by itself shows one queue


class Looked(NamedTuple):
    """What the signals say about a group, and how it stands against each explanation."""

    findings: dict[Signal, Finding]
    explanations: list[Weighed]

    @property
    def log_e(self) -> float:
        """What remains against the explanation that fits best."""
        return min(weighed.log_e for weighed in self.explanations)


@dataclass(kw_only=True)
class Weighing:
    """Groups by number, and what the signals say of those of which anything can remain.

    topics (n,) int64 by row of the log; known: `repeated(log)`; ignore: signals that are not weighed.
    q_values (g,) float64: the smallest false-discovery level at which each group passes.
    """

    log: Traffic
    people: People
    topics: Ints
    known: Repeats
    ignore: Collection[Signal]
    groups: list[Group] = field(default_factory=list)
    q_values: Floats = field(default_factory=lambda: np.empty(0))
    _looked: dict[int, Looked] = field(default_factory=dict)
    _weights: list[float] = field(default_factory=list)
    _crews: set[int] = field(default_factory=set)

    @property
    def order(self) -> list[int]:
        """All groups, the strongest first; of those without evidence the largest."""
        sizes = np.array([len(group.members) for group in self.groups])
        return np.lexsort((-sizes, -np.maximum(self._log_e, 0.0))).tolist()

    @property
    def standing_out(self) -> list[int]:
        """The groups that stand out from every explanation, among however many, the strongest first."""
        return self.order[: (self._log_e >= RULED_OUT).sum()]

    @property
    def _log_e(self) -> Floats:
        return np.array(
            [self._looked[i].log_e if i in self._looked else -np.inf for i in range(len(self.groups))]
        )

    def promising(self, group: Group) -> bool:
        """Return whether anything can remain of a group: of most nothing does, as one signal or two say."""
        return self._promising(group, volumes(self.log, group, self.people))

    def _promising(self, group: Group, sent: Volumes) -> bool:
        total = constant_total(self.log, group.decisions(self.log))
        if (total.log_e or 0.0) <= 0 and sent.log_ratio_at_most <= 0:  # of most groups that is enough
            return False
        return at_most(_but(self.ignore, [evenness(sent), total])) > 0

    def passing(self, more: list[Group], level: float, *, crews: bool = False) -> list[int]:
        """Weigh more groups, and return which of all pass false-discovery control, the plainest first.

        crews: they were told apart by what they ask, and by rates of the linking half. So tasks are not
        weighed, and volumes are those of the other half.
        """
        new = range(len(self.groups), len(self.groups) + len(more))
        self.groups += more
        if crews:
            self._crews.update(new)
        for i in new:
            sent = self._sent(i)
            if self._promising(self.groups[i], sent):
                self._looked[i] = self._look(i, sent)
        self._weights += [self._weight(group) for group in more]
        log_e = self._log_e
        members = [group.members for group in self.groups]
        self.q_values = e_bh_q_values(log_e, np.array(self._weights), members, self.log.n_accounts)
        passed = [i for i in self._looked if self.q_values[i] <= level]
        plain = {i: _plainness(self._looked[i].findings, len(self.groups[i].members)) for i in passed}
        return sorted(passed, key=lambda i: (-plain[i], -log_e[i]))

    def set_aside(self, i: int, campaign: Group) -> None:
        """Put what a group grew to in its place, as not reported: a part was even, the whole is not."""
        self.groups[i], self.q_values[i] = campaign, 1.0
        del self._looked[i]
        self._crews.discard(i)

    def looked_at(self, i: int) -> Looked:
        """Return what the signals say of a group."""
        if i not in self._looked:
            self._looked[i] = self._look(i, self._sent(i))
        return self._looked[i]

    @cached_property
    def _half(self) -> tuple[Traffic, Ints, People]:
        half, place = self.log.linking_half()
        return half, place, self.people._replace(hours=hour_shares(half, np.arange(len(half.account))))

    def _weight(self, group: Group) -> float:
        """Return how much a group is expected to show what it is, by its linking half alone.

        The more rows it is judged by, the more they can say. The half is cut in two once more: where one part
        tells the hours of the other as of one queue, or its total is as steady, the held-out rows are likely
        to say the same.
        """
        half, place, people = self._half
        rows = place[group.rows]
        part = replace(group, rows=rows[rows >= 0]).decisions(half)
        hinted = (
            Signal.CONSTANT_TOTAL not in self.ignore and (constant_total(half, part).log_e or 0.0) > 0
        ) or (Signal.RHYTHM not in self.ignore and one_queue(half, part, people))
        judged_by = group.sent(self.log).member_rows(self.log)
        n_rows = float((~self.log.held_out[judged_by]).sum())
        return n_rows * (HINTED if hinted else 1.0) * (SECOND_LOOK if group.whole else 1.0)

    def _sent(self, i: int) -> Volumes:
        """Return what the members of a group sent, of crews in the half that they were not told apart by."""
        group = self.groups[i]
        if i in self._crews:
            group = replace(group, rows=group.rows[self.log.held_out[group.rows]], least=0)
        return volumes(self.log, group, self.people)

    def _look(self, i: int, sent: Volumes) -> Looked:
        log, group, ignore = self.log, self.groups[i], self.ignore
        findings = evidence(log, group, sent, self.people, self.topics, self.known, ignore)
        if i in self._crews:
            findings[Signal.TASKS] = not_tested(Signal.TASKS, TOLD_APART)
        return Looked(findings, _explanations(log, group, findings))


def _plainness(findings: Mapping[Signal, Finding], n_accounts: int) -> float:
    """Return the rank of a group that passes: (sum of its positive log ratios) squared over its accounts.

    Of the signals of an operator, not cut off: e-values are, so many groups tie that hold an operator and
    some bystanders. The sum is larger the more of the operator there is, the sum an account the fewer
    bystanders.
    """
    ratios = [f.ratio for signal, f in findings.items() if signal in OPERATOR and f.ratio is not None]
    return float(sum(max(ratio, 0.0) for ratio in ratios)) ** 2 / n_accounts


def evidence(
    log: Traffic,
    group: Group,
    sent: Volumes,
    law: People,
    topics: Ints,
    known: Repeats,
    ignore: Collection[Signal] = (),
) -> dict[Signal, Finding]:
    """Return what each signal that decides says about a group; known: `repeated(log)`."""
    by, opening = group.sent(log), group.decisions(log)  # of a class the rest goes on as well, but not evenly
    found = [
        evenness(sent),
        quota(sent),
        rhythm(log, opening, law),
        constant_total(log, opening),
        not_tested(Signal.TASKS, TOLD_APART) if group.whole else shared_tasks(log, opening, law, topics),
        repeats(log, group, known, topics),
        question_bank(log, group, known),
        round_clock(log, by),
        sustained(log, by),
        off_the_clock(log, group),
    ]
    return _but(ignore, found)


def _but(ignore: Collection[Signal], found: Sequence[Finding]) -> dict[Signal, Finding]:
    return {
        finding.signal: not_tested(finding.signal, "left out by the settings")
        if finding.signal in ignore
        else finding
        for finding in found
    }


def _explanations(log: Traffic, group: Group, findings: dict[Signal, Finding]) -> list[Weighed]:
    organisations = None
    if "org_id" in log.accounts.columns and log.has("org_id"):
        known = log.organisation[group.members]
        named = known[known >= 0]
        if 2 * len(named) >= len(known):  # of accounts whose organisation is not known nothing follows
            shares = np.unique(named, return_counts=True)[1] / len(named)
            organisations = 1 / float(shares @ shares)  # (Simpson 1949)
    return weigh(findings, organisations, shared_addresses(log, group).effect)

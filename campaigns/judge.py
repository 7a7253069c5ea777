"""From clustered rows to judged groups: link, find members, weigh, explain, control false discoveries."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace

import numpy as np
import polars as pl
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from campaigns.candidates import candidates, left
from campaigns.crews import crews
from campaigns.discovery import apart
from campaigns.evidence.addresses import shared_addresses
from campaigns.evidence.capability import capabilities, capability
from campaigns.evidence.concentration import concentration
from campaigns.evidence.finding import Finding
from campaigns.evidence.repeats import repeated
from campaigns.evidence.spread import spread
from campaigns.evidence.template import template
from campaigns.explain import RULED_OUT, Weighed, best, untested
from campaigns.groups import Group, membership
from campaigns.laws import Ints
from campaigns.link import LinkSettings
from campaigns.marks import NETWORK, TOPICS
from campaigns.members import grown, widened
from campaigns.merge import fold, settled
from campaigns.people import People
from campaigns.traffic import Traffic
from campaigns.vocabulary import Capability, Explanation, Signal, readable
from campaigns.weighing import Weighing

logger = logging.getLogger(__name__)
OTHERS = 200  # most groups that are listed beside those that are reported: nobody reads on
TEXTS_READ = 30
MIXED = 1 / 3  # of a group's accounts, from which it is said first that they are of reported campaigns
GONE = "stands out, but most of its accounts are of other campaigns, or do otherwise than the rest of it"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class JudgeSettings:
    """What has to be true of a group before it is reported."""

    level: float = Field(
        default=0.05, gt=0, lt=1, description="Share of findings that may be false, on average (e-BH)."
    )
    link: LinkSettings = Field(default=LinkSettings(), description="When clusters belong together.")
    ignore: tuple[Signal, ...] = Field(default=(), description="Signals that are not weighed.")


@plain_dataclass(frozen=True, kw_only=True)
class Case:
    """A group with everything that was found about it."""

    group: Group
    capability: Capability
    findings: dict[Signal, Finding]
    explanations: list[Weighed]
    log_e: float
    q_value: float
    reported: bool
    decision_reason: str

    @property
    def lookalike(self) -> Weighed:
        """The innocent explanation that fits best."""
        return best(self.explanations)


def judge(
    log: Traffic, topics: Ints, texts: pl.Series, profiles: Ints, settings: JudgeSettings, seed: int
) -> list[Case]:
    """Return linked groups with evidence and decision: the reported, then the others, strongest first.

    Of groups that are not reported the strongest are returned, and of those that consist of mostly the same
    accounts only one.

    topics (n,) int64: the row's topic among the centroids of all texts. texts: the prompts by `text` number.
    profiles (m,) int64: the cluster of the account's query profile, -1 for none.
    """
    groups, law, network = candidates(log, topics, profiles, settings.link, seed)
    logger.info("judging %d groups", len(groups))
    labels = {**log.clusters, TOPICS: topics, NETWORK: network}
    seen = Weighing(log=log, people=law, topics=topics, known=repeated(log), ignore=settings.ignore)
    first = _reported(log, seen, groups, labels, settings)
    others = [i for i in seen.order if i not in first]
    aside = []
    for i, campaign in list(first.items()):
        whole = replace(campaign, rows=log.rows_of(campaign.members))
        if not any(map(seen.promising, (campaign, whole))):  # of a harvest not all families have a label
            seen.set_aside(i, first.pop(i))
            aside.append(i)  # and stands for its parts
    order = sorted(first, key=lambda i: -seen.looked_at(i).log_e)
    beside = _others(log, seen.groups, aside + others, first)
    listed = [*order, *(i for i in seen.order if i in beside)]
    logger.info("%d groups judged, %d reported, %d listed", len(seen.groups), len(first), len(listed))
    asks = capabilities(texts)[log.rows["text"].to_numpy()]
    everybody = asks.sum(axis=0)
    known = np.flatnonzero(membership(log, list(first.values())).any(axis=0))
    cases = []
    for i in listed:
        group, looked = first.get(i, seen.groups[i]), seen.looked_at(i)
        aim, asked = capability(log, group, asks, everybody)
        gone = i not in first and seen.q_values[i] <= settings.level
        reason = GONE
        if not gone:
            reason = _reason(first.get(i), seen.groups[i], looked.explanations, len(seen.groups))
        if i not in first and (both := len(np.intersect1d(group.members, known))):
            n = len(group.members)
            shared = f"{both:,} of its {n:,} accounts {'is' if both == 1 else 'are'} of reported campaigns"
            reason = f"{shared}; as a whole: {reason}" if MIXED * n <= both else f"{reason}; {shared}"
        cases.append(
            Case(
                group=group,
                capability=asked,
                findings=looked.findings | _described(log, group, texts) | {Signal.CAPABILITY: aim},
                explanations=looked.explanations,
                log_e=looked.log_e,
                q_value=1.0 if gone else float(seen.q_values[i]),
                reported=i in first,
                decision_reason=reason,
            )
        )
    return cases


def _reported(
    log: Traffic, seen: Weighing, groups: list[Group], labels: dict[str, Ints], settings: JudgeSettings
) -> dict[int, Group]:
    """Weigh groups, and what the campaigns among them leave; return campaigns by their strongest group."""
    law, level, least = seen.people, settings.level, settings.link.min_accounts
    passing = seen.passing(groups, level)
    found, alone = _crews(log, seen.groups, passing, law, labels)
    if alone:
        _, told_apart = _crews(log, seen.groups, passing, law, labels, linking=True)
        if more := [crew for crew in told_apart if len(crew.members) >= least]:
            passing = seen.passing(more, level, crews=True)
        found, alone = _crews(log, seen.groups, passing, law, labels, sure=True)
    first = _campaigns(log, found, alone, law, labels)
    n_first = len(seen.groups)
    again = seen.passing(left(log, groups, list(first.values()), law, labels, least), level)
    if passing != (still := [i for i in again if i < n_first]):  # more groups ask for more of each
        found, alone = _crews(log, seen.groups, still, law, labels, sure=True)
        first = _campaigns(log, found, alone, law, labels)
    found, alone = _crews(log, seen.groups, [i for i in again if i >= n_first], law, labels, sure=True)
    both = settled(log, first | _campaigns(log, found, alone, law, labels, list(first.values())))
    beside = [seen.groups[i] for i in seen.standing_out if i not in again]  # of a known operator less will do
    last = _folded(log, both, law, labels, beside)
    core = list(last.values())
    return _widened(log, last, core, law, labels, far=True)  # last, or what is left would have fewer accounts


def _crews(
    log: Traffic,
    groups: list[Group],
    passing: list[int],
    law: People,
    labels: dict[str, Ints],
    *,
    linking: bool = False,
    sure: bool = False,
) -> tuple[dict[int, Group], list[Group]]:
    """Fold the groups that pass into campaigns, and take these apart into crews.

    Return the crews that have a passing group of their own, by the number of the strongest, and the others.
    linking: they are told apart by rates of the linking half, and can be weighed in their turn by the other.
    sure: what passes is not lost by a guess: a campaign is whole where none of its crews has such a group, or
    one alone has and the linking half tells no crews apart.
    """
    folded, home = fold(log, [groups[i] for i in passing], law, labels[TOPICS])
    found: dict[int, Group] = {}
    alone = []
    for c, campaign in enumerate(folded):
        held = [i for i, at in zip(passing, home, strict=True) if at == c]
        named, others = _named(groups, held, crews(log, campaign, law, labels, linking=linking))
        guessed = sure and len(others) > 0 and len(named) < 2
        if guessed and not (named and len(crews(log, campaign, law, labels, linking=True)) > 1):
            named, others = _named(groups, held, [campaign])
        found |= named
        alone += others
    return found, alone


def _named(groups: list[Group], held: list[int], apart: list[Group]) -> tuple[dict[int, Group], list[Group]]:
    """Return crews by the number of the strongest of some groups that is mostly theirs, and the others."""
    named: dict[int, Group] = {}
    others = []
    for crew in apart:
        own = (i for i in held if 2 * np.isin(groups[i].members, crew.members).mean() > 1)
        if (strongest := next(own, None)) is not None:
            named[strongest] = crew
        else:
            others.append(crew)
    return named, others


def _campaigns(
    log: Traffic,
    found: dict[int, Group],
    alone: list[Group],
    law: People,
    labels: dict[str, Ints],
    known: Sequence[Group] = (),
) -> dict[int, Group]:
    """Make campaigns of crews, by the number of the strongest group in each, in their order.

    What has grown may turn out to be one: folded, grown, and folded again. Whoever is in none may then join,
    and show that two are one. What crews sent that are no campaigns, and campaigns that are known already, is
    theirs all the same.
    """
    taken = np.zeros(len(log.account), dtype=bool)
    for campaign in [*found.values(), *alone, *known]:
        taken[campaign.member_rows(log)] = True
    core = [*found.values(), *known]
    larger = {i: grown(log, campaign, law, labels, taken) for i, campaign in found.items()}
    return _widened(log, _folded(log, settled(log, larger), law, labels), core, law, labels)


def _widened(
    log: Traffic,
    found: dict[int, Group],
    core: list[Group],
    law: People,
    labels: dict[str, Ints],
    *,
    far: bool = False,
) -> dict[int, Group]:
    """Let who is not of the core of one join campaigns, by the strongest group in each, and fold these."""
    theirs = membership(log, core).sum(axis=0) > 0
    wide = widened(log, list(found.values()), law, labels, theirs, far=far)
    return _folded(log, settled(log, dict(zip(found, wide, strict=True))), law, labels)


def _folded(
    log: Traffic,
    found: dict[int, Group],
    law: People,
    labels: dict[str, Ints],
    beside: Sequence[Group] = (),
) -> dict[int, Group]:
    """Fold campaigns, by the strongest group in each, and leave each account to one.

    beside: groups that are folded into one of them, or left out.
    """
    campaigns, home = fold(log, [*found.values(), *beside], law, labels[TOPICS])
    known = home[: len(found)]
    strongest = [list(found)[known.index(c)] for c in range(max(known, default=-1) + 1)]
    return settled(log, dict(zip(strongest, campaigns, strict=False)))  # after these come the left out


def _others(log: Traffic, groups: list[Group], order: list[int], first: dict[int, Group]) -> list[int]:
    """Choose the groups to list beside the reported: the strongest, each of other accounts than those before.

    One crowd is found as many overlapping groups; its strongest stands for it.
    """
    held = [*first.values(), *(groups[i] for i in order)]
    listed = apart([group.members for group in held], log.n_accounts, len(first))
    return [i for i, kept in zip(order, listed[len(first) :], strict=True) if kept][:OTHERS]


def _described(log: Traffic, group: Group, texts: pl.Series) -> dict[Signal, Finding]:
    """Add what is only said, and not weighed."""
    rows = group.member_rows(log)
    distinct = np.unique(log.rows["text"].to_numpy()[rows])
    read = distinct[np.linspace(0, len(distinct) - 1, min(len(distinct), TEXTS_READ)).astype(int)]
    found = [
        spread(log, group),
        shared_addresses(log, group),
        concentration(log, group),
        template(texts.gather(read).to_list(), len(distinct), len(rows)),
    ]
    return {finding.signal: finding for finding in found}


def _reason(campaign: Group | None, weighed_on: Group, explanations: list[Weighed], n_judged: int) -> str:
    """Say why a group is reported, as this campaign, or why it is not, among so many that were judged."""
    if campaign is not None:
        said = "stands out against independent users and every innocent explanation that could be tested"
        if weighed_on.whole:
            said += ", by all that its accounts sent"
        if others := len(np.setdiff1d(campaign.members, weighed_on.members)):
            said += (
                f"; the evidence is of {len(weighed_on.members):,} accounts, whose work {others:,} more share"
            )
        if gone := len(np.setdiff1d(weighed_on.members, campaign.members)):
            said += (
                f"; {gone:,} of the accounts that the evidence is of {'is' if gone == 1 else 'are'} left out"
            )
        if unknown := untested(explanations):
            said += f"; the log does not tell whether it is {' or '.join(map(readable, unknown))}"
        return said
    by = "; judged by all that its accounts sent" if weighed_on.whole else ""
    least = best(explanations)
    if least.log_e > 0:
        against, e_value = readable(least.explanation), np.exp(least.log_e)
        if least.log_e < RULED_OUT:
            return f"stands out a little (e-value {e_value:.3g}), not enough to rule out {against}{by}"
        return (
            f"stands out (e-value {e_value:,.0f}), but not enough among {n_judged:,} judged groups; "
            f"what was seen speaks least against {against}{by}"
        )
    if least.explanation is Explanation.INDEPENDENT:
        return f"its accounts behave like independent users{by}"
    return f"better explained innocently: {readable(least.explanation)}{by}"

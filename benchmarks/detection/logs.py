"""The logs that everything is scored on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Literal

import numpy as np

from campaigns.simulation.library import DECOYS, SCENARIOS
from campaigns.simulation.presets import PRESETS, names
from campaigns.simulation.scenario import Scenario
from campaigns.simulation.simulate import SimulationSettings

# What a campaign's strength is scaled by: accounts, requests an account and day.
STRENGTHS = {"weak": (0.5, 0.5), "declared": (1.0, 1.0), "strong": (1.5, 2.0)}
AS_DECLARED = (1.0, 1.0)  # a null log, the realistic log
LOOKALIKES = 5  # a log
# Sizes that were published, accounts and requests an account and day, each as one kind of campaign.
PUBLISHED = {
    "rubric_grading": (5_380, 5.6),
    "diverse_harvest": (1_500, 13.0),
    "reasoning_suffix": (25_000, 12.6),
    "trace_cleaning": (273, 1_100.0),
    "fixed_preamble": (3_500, 857.0),
}
MOST_ACCOUNTS = 25_000  # of a look-alike beside one of them


@dataclass(frozen=True, kw_only=True)
class Log:
    """One log to be made: its settings and the scenarios in it."""

    name: str
    kind: str
    strength: str
    settings: SimulationSettings
    campaigns: tuple[Scenario, ...]
    decoys: tuple[Scenario, ...]


def scaled(scenario: Scenario, strength: str) -> Scenario:
    """Return a scenario with more or fewer accounts and requests."""
    accounts, rate = STRENGTHS.get(strength, AS_DECLARED)
    return replace(
        scenario, accounts=max(int(scenario.accounts * accounts), 4), per_day=scenario.per_day * rate
    )


def planned(split: str, quick: bool, seeds: int, nulls: int) -> list[Log]:
    """List the logs of a split: all campaigns at each strength, four a log (quick: seven), and nulls.

    Five look-alikes a log take turns, so that the logs of a seed have them all. nulls: logs a seed without a
    campaign. A full plan of the tuning split has the realistic log as well.
    """
    logs = []
    campaigns, decoys = names(split, campaigns=True), names(split, campaigns=False)
    several = 7 if quick else 4
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 5])
        turns = cycle(rng.permutation(decoys).tolist())
        for strength in ("declared",) if quick else STRENGTHS:
            order = rng.permutation(campaigns).tolist()
            for i in range(0, len(order), several):
                settings = _settings(split, quick, seed * 100 + i)
                innocent = list(islice(turns, min(LOOKALIKES, len(decoys))))
                logs.append(_log("campaigns", strength, settings, order[i : i + several], innocent))
        if split == "tuning" and not quick:
            usual = replace(PRESETS["realistic"], seed=seed)
            logs.append(_log("campaigns", "realistic", usual, usual.campaigns, usual.decoys))
        for i in range(nulls):
            settings = _settings(split, quick, 10_000 + seed * max(nulls, 100) + i)
            logs.append(_log("null", "", settings, (), rng.permutation(decoys)[:LOOKALIKES].tolist()))
    return logs


def _settings(split: str, quick: bool, seed: int) -> SimulationSettings:
    half: Literal["tuning", "heldout"] = "tuning" if split == "tuning" else "heldout"
    return SimulationSettings(accounts=2500 if quick else 6000, rate=1.3, seed=seed, split=half)


def _log(
    kind: str, strength: str, settings: SimulationSettings, campaigns: Sequence[str], decoys: Sequence[str]
) -> Log:
    return Log(
        name="-".join(x for x in (settings.split, kind, strength, str(settings.seed)) if x),
        kind=kind,
        strength=strength,
        settings=settings,
        campaigns=tuple(scaled(SCENARIOS[c], strength) for c in campaigns),
        decoys=tuple(DECOYS[d] for d in decoys),
    )


def grid(name: str, split: str, seeds: int) -> list[Log]:
    """List logs of one campaign by accounts and requests an account and day: the smallest that is found."""
    logs = []
    for seed in range(seeds):
        for accounts in (8, 15, 30, 60, 120):
            for rate in (1.0, 2.0, 5.0, 15.0):
                campaign = replace(SCENARIOS[name], accounts=accounts, per_day=rate)
                settings = _settings(split, True, 20_000 + seed)
                log = _log("campaigns", "declared", settings, (), names(split, campaigns=False)[:2])
                size = f"{accounts} x {rate:g} a day"
                logs.append(replace(log, name=f"{log.name}-{size}", strength=size, campaigns=(campaign,)))
    return logs


def published() -> list[Log]:
    """List a day of each campaign of the public record, in its size, among 20,000 ordinary accounts.

    Each has two or three look-alikes of as many requests a day beside it, so that the logs have them all; of
    as many accounts as that takes, up to MOST_ACCOUNTS.
    """
    innocent = [DECOYS[name] for name in names("tuning", campaigns=False)]
    logs = []
    for i, (name, (accounts, rate)) in enumerate(PUBLISHED.items()):
        settings = replace(PRESETS["realistic"], days=1, seed=30_000 + i)
        log = _log("campaigns", f"{accounts} x {rate:g} a day", settings, (), ())
        campaign = replace(SCENARIOS[name], accounts=accounts, per_day=rate)
        beside = tuple(
            replace(decoy, accounts=min(round(accounts * rate / decoy.per_day), MOST_ACCOUNTS))
            for decoy in innocent[i :: len(PUBLISHED)]
        )
        logs.append(replace(log, campaigns=(campaign,), decoys=beside))
    return logs

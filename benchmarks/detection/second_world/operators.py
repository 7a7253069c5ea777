"""Operators: a list of tasks, a queue with work at some hours, and accounts that it is dealt to."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.detection.second_world.world import DAYS, Hours, Ints, World

WORDS = (  # of which an operator makes its instruction
    "in order keep units check twice cite sources note doubt name errors reason first then answer show steps "
    "assume nothing compare plans list limits test edges rank options explain choices count cases draw maps "
    "prove claims restate goals avoid filler quote facts mark gaps think aloud stay terse finish strong"
)
NETWORK = 77  # of those who share one
BATCH, AT_WORK = 40, 8  # requests to an account before the next has its turn; accounts at work at a time


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """An operator: accounts, requests an account and day, and how it words, spreads and deals them.

    wording: what stands around the text. families: kinds of texts. load: when its queue has work. deal: who
    gets the next request. share: of an account's requests that are the operator's. span: first and last hour.
    """

    accounts: int
    rate: float
    wording: str = "preamble"
    families: int = 4
    load: str = "flat"
    deal: str = "any"
    share: float = 1.0
    span: tuple[float, float] = (0.0, 24.0 * DAYS)
    one_network: bool = False


CAMPAIGNS = {
    "preamble": Campaign(accounts=60, rate=8),
    "preamble_in_waves": Campaign(accounts=40, rate=12, load="waves", deal="round"),
    "preamble_of_a_quarter": Campaign(accounts=80, rate=6, share=0.25),
    "preamble_in_turns": Campaign(accounts=64, rate=20, deal="turns"),
    "preamble_of_few": Campaign(accounts=20, rate=20, one_network=True),
    "preamble_of_many": Campaign(accounts=300, rate=3),
    "preamble_for_two_days": Campaign(accounts=60, rate=35, span=(30.0, 80.0)),
    "suffix_sticky": Campaign(accounts=50, rate=15, wording="suffix", families=6, deal="blocks"),
    "paraphrases_in_waves": Campaign(accounts=60, rate=8, wording="paraphrase", families=3, load="waves"),
    "rubric_by_weight": Campaign(accounts=40, rate=10, wording="rubric", load="daytime", deal="weights"),
    "harvest": Campaign(accounts=70, rate=12, wording="bare", families=20),
    "harvest_by_day": Campaign(accounts=120, rate=10, wording="bare", families=60, load="daytime"),
    "harvest_by_weight": Campaign(accounts=60, rate=15, wording="bare", families=5, deal="weights"),
    "harvest_of_half": Campaign(accounts=100, rate=10, wording="bare", families=10, share=0.5),
    "harvest_of_one_network": Campaign(
        accounts=50, rate=10, wording="bare", families=15, load="daytime", one_network=True
    ),
}


def operate(world: World, name: str, campaign: Campaign, *, drawn: bool) -> None:
    """Play a campaign: a queue of requests over the window, dealt to its accounts.

    drawn: its list is drawn from with replacement, and gone through over and over otherwise.
    """
    rng, m = world.rng, campaign.accounts
    times, write = _queue(campaign, rng), _worded(world, campaign, drawn=drawn)
    who = _dealt(campaign, len(times), rng)
    shared = [world.address(NETWORK) for _ in range(12)] if campaign.one_network else []
    for i in range(m):
        addresses = rng.choice(shared, 3).tolist() if shared else []
        account = world.account(f"campaign:{name}", asn=NETWORK if shared else -1, addresses=addresses)
        theirs = times[who == i]
        world.send(account, theirs + rng.exponential(0.01, len(theirs)), write)
        if campaign.share < 1:
            world.live(account, campaign.rate * (1 / campaign.share - 1))


def _queue(campaign: Campaign, rng: np.random.Generator) -> Hours:
    """Return the hours of all requests, ascending."""
    first, last = campaign.span
    n = int(campaign.accounts * campaign.rate * (last - first) / 24)
    times = rng.uniform(first, last, n)
    if campaign.load == "daytime":
        times = rng.integers(DAYS, size=n) * 24 + rng.normal(14, 4.5, n) % 24
    elif campaign.load == "waves":
        times = rng.choice(times[: 5 * DAYS], n) + rng.exponential(2.0, n)
    return np.sort(times)


def _dealt(campaign: Campaign, n: int, rng: np.random.Generator) -> Ints:
    """Return (n,) the account of each request."""
    m, turn = campaign.accounts, np.arange(n)
    if campaign.deal == "round":
        return turn % m
    if campaign.deal == "blocks":
        return turn // BATCH % m
    if campaign.deal == "turns":
        return (turn // (12 * AT_WORK) * AT_WORK + rng.integers(AT_WORK, size=n)) % m
    even = np.full(m, 1 / m)
    return rng.choice(m, n, p=rng.dirichlet(np.full(m, 6.0)) if campaign.deal == "weights" else even)


def _worded(world: World, campaign: Campaign, *, drawn: bool) -> Callable[[], str]:
    """Return what writes the operator's next request."""
    rng = world.rng
    fixed = " ".join(rng.choice(WORDS.split(), 14, replace=False)) + "."
    pools = world.people if campaign.wording in ("suffix", "rubric") else world.harvests
    following = _listed(pools, campaign.families, rng, drawn=drawn)
    heads = ("Solve, with all steps", "Work through this", "Reason with care about", "Derive", "Explain")
    tails = ("Be exact.", "Take your time.", "No shortcuts.", "Check it.", "")
    return {
        "bare": following,
        "preamble": lambda: f"{fixed}\n{following()}",
        "suffix": lambda: f"{following()}\n{fixed}",
        "rubric": lambda: (
            f"Rate the answer from 1 to 10, with a reason. Question: {following()}\nAnswer: {following()}"
        ),
        "paraphrase": lambda: f"{rng.choice(heads)}: {following()} {rng.choice(tails)}",
    }[campaign.wording]


def _listed(pools: list[list[str]], n: int, rng: np.random.Generator, *, drawn: bool) -> Callable[[], str]:
    """Return what gives the next text of n families."""
    families = [pools[i] for i in rng.choice(len(pools), min(n, len(pools)), replace=False)]
    orders = [rng.permutation(len(family)) for family in families]
    at = [0] * len(families)

    def following() -> str:
        f = int(rng.integers(len(families)))
        at[f] += 1
        step = int(rng.integers(1 << 30)) if drawn else at[f]
        return families[f][orders[f][step % len(orders[f])]]

    return following

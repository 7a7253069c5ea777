"""Innocent crowds that look alike: one template, one date, one network, one clock, one quota."""

from collections.abc import Callable

import numpy as np

from benchmarks.detection.second_world.world import DAYS, ZONES, Account, World

WEEK = 24.0 * DAYS


def own_key_tool(world: World) -> None:
    """Add a tool whose users bring their keys: one template around their own texts, at people's rates."""
    text = _filled("Draft a reply in our house style to the message that follows. Thank them.\n{}", world)
    for _ in range(120):
        world.live(world.account("decoy:own_key_tool"), 4.0, 1.2, text, 0.7)


def free_tier(world: World) -> None:
    """Add a tool that stops at ten requests a day: whoever comes uses most of them, four days of a week."""
    rng, text = world.rng, _filled("Rewrite the text below so that it reads well.\n{}", world)
    for _ in range(150):
        days = np.flatnonzero(rng.random(DAYS) < 0.6)
        each = np.minimum(rng.poisson(14 * np.exp(rng.normal(0, 0.8, len(days)))), 10)
        hours = np.repeat(24 * days + rng.normal(15, 3.5, len(days)) % 24, each)
        world.send(world.account("decoy:free_tier"), hours + rng.exponential(0.3, len(hours)), text)


def homework(world: World) -> None:
    """Add a class with twelve questions and one deadline."""
    rng, asked = world.rng, [world.any_of(world.harvests) for _ in range(12)]
    deadline = rng.uniform(60, WEEK - 10)
    for _ in range(90):
        account = _user(world, "homework", 1.0)
        hours = deadline - rng.exponential(14, rng.poisson(14))
        world.send(account, hours, lambda: f"{rng.choice(['', 'help me with this: '])}{rng.choice(asked)}")


def exam(world: World) -> None:
    """Add an exam of ten items, drawn for each, in three hours."""
    rng = world.rng
    for _ in range(100):
        account = _user(world, "exam", 1.0)
        world.send(
            account,
            82 + rng.uniform(0, 3, rng.integers(8, 13)),
            lambda: (
                "A train leaves at {} at {} km/h, another {} hours later at {}. When do they meet?".format(
                    *rng.integers((1, 30, 1, 120), (12, 120, 5, 200))
                )
            ),
        )


def viral(world: World) -> None:
    """Add a prompt that goes round, of which each changes a word at most."""
    rng = world.rng
    text = "Act as a traveller from the year 2300 and tell me what my city looks like. My city: {}"
    for _ in range(250):
        account = _user(world, "viral", 1.5)
        hours = 40 + rng.exponential(20, 1 + rng.geometric(0.6))
        world.send(account, hours, lambda: text.format(rng.choice(["Paris", "Rome", "Lagos", "Oslo"])))


def release(world: World) -> None:
    """Add a new model's day: everybody tries the known puzzles."""
    rng, puzzles = world.rng, [world.any_of(world.harvests) for _ in range(60)]
    first = rng.uniform(10, WEEK - 60)
    for _ in range(250):
        account = _user(world, "release", 1.2)
        hours = first + rng.exponential(14, rng.geometric(0.3))
        world.send(account, hours, lambda: puzzles[int(60 * rng.random() ** 1.5)])


def hackathon(world: World) -> None:
    """Add a weekend on which a hundred people work hard, on what they like."""
    rng = world.rng
    first = rng.uniform(20, WEEK - 50)
    for _ in range(100):
        account = _user(world, "hackathon", 1.0)
        hours = first + rng.uniform(0, 44, int(rng.gamma(2, 12)))
        world.send(account, hours, lambda: world.any_of(world.harvests))


def company(world: World) -> None:
    """Add one company's product behind forty keys, dealt evenly."""
    rng, text = world.rng, _filled("Classify the ticket: billing, technical, account, other.\n{}", world)
    for _ in range(40):
        account = world.account("decoy:company", org="company", asn=17)
        world.send(account, rng.uniform(0, WEEK, rng.poisson(12 * DAYS)), text)


def library(world: World) -> None:
    """Add prompts copied from one public collection into people's work."""
    rng, copied = world.rng, [world.any_of(world.harvests)[:160] for _ in range(120)]
    for _ in range(150):
        text = _filled(f"{rng.choice(copied)} {{}}", world)
        world.live(world.account("decoy:library"), 2.5, 1.2, text, 0.4)


def reseller(world: World) -> None:
    """Add a reseller's ordinary users, behind ten addresses."""
    shared = [world.address(88) for _ in range(10)]
    for _ in range(150):
        addresses = world.rng.choice(shared, 4).tolist()
        world.live(world.account("decoy:reseller", asn=88, addresses=addresses), 2.5, 1.2)


def published_job(world: World) -> None:
    """Add a published job that runs every two hours at its default minute, for every customer alike."""
    rng = world.rng
    for _ in range(60):
        hours = np.arange(0, WEEK, 2) + 0.02 + rng.normal(0, 0.004, 12 * DAYS)
        world.send(
            world.account("decoy:published_job"),
            hours,
            lambda: f"Write the status of a host: cpu {rng.integers(1_000)}, memory {rng.integers(1_000)}.",
        )


def support_bots(world: World) -> None:
    """Add support bots of one vendor's customers: fifty questions, some far more popular."""
    rng, asked = world.rng, world.people[int(world.rng.integers(len(world.people)))][:50]
    for _ in range(60):
        account = world.account("decoy:support_bots")
        begins = f"You answer customers of the shop {account.name[:6]}."
        text = _filled(f"{begins} {{}}", world, lambda: asked[int(len(asked) * rng.random() ** 2)])
        world.send(account, world.sittings(rng.poisson(9 * DAYS * np.exp(rng.normal(0, 1))), -1.0), text)


def agents(world: World) -> None:
    """Add a coding agent's public prompt: each sitting of its user is a burst of requests."""
    rng, text = world.rng, _filled("You are an agent in a terminal. Answer with one JSON object.\n{}", world)
    for _ in range(150):
        sittings = world.sittings(rng.poisson(2 * np.exp(rng.normal(0, 1))), rng.choice(ZONES))
        each = rng.geometric(0.12, len(sittings))
        hours = np.repeat(sittings, each)
        world.send(world.account("decoy:agents"), hours + rng.exponential(0.1, len(hours)), text)


def night_batch(world: World) -> None:
    """Add batches of one vendor's customers, all at night, each customer as much as it has."""
    rng, text = world.rng, _filled("Extract name and price from the text as JSON.\n{}", world)
    for _ in range(70):
        n = rng.poisson(12 * DAYS * np.exp(rng.normal(-0.5, 1)))
        hours = rng.integers(DAYS, size=n) * 24 + 2 + rng.uniform(0, 3, n)
        world.send(world.account("decoy:night_batch"), hours, text)


def digest(world: World) -> None:
    """Add a digest each morning, at the hour that each reader chose."""
    rng, text = world.rng, _filled("Write this morning's digest for a reader who likes: {}", world)
    for _ in range(200):
        account = _user(world, "digest", 0.7)
        hour = (rng.normal(7.5, 1.5) - rng.choice(ZONES)) % 24
        days = np.flatnonzero(rng.random(DAYS) < 0.95)
        world.send(account, 24 * days + hour + rng.normal(0, 0.02, len(days)), text)


CROWDS: dict[str, Callable[[World], None]] = {
    crowd.__name__: crowd
    for crowd in (
        own_key_tool, free_tier, homework, exam, viral, release, hackathon, company, library, reseller,
        published_job, support_bots, agents, night_batch, digest,
    )
}  # fmt: skip


def _user(world: World, crowd: str, mean: float) -> Account:
    """Open an account of a crowd, and send what ordinary accounts send beside it: mean requests a day."""
    account = world.account(f"decoy:{crowd}")
    world.live(account, mean)
    return account


def _filled(template: str, world: World, filling: Callable[[], str] | None = None) -> Callable[[], str]:
    """Return what fills a template, with some text of people if with nothing else."""
    before, after = template.split("{}")
    return lambda: f"{before}{filling() if filling else world.any_of(world.people)}{after}"

"""Kinds of logs by name."""

from campaigns.simulation.library import DECOYS, SCENARIOS
from campaigns.simulation.simulate import SimulationSettings


def names(split: str, campaigns: bool) -> tuple[str, ...]:
    """Return the names of the campaigns, or else of the look-alikes, of a split ("tuning", "heldout")."""
    return tuple(s.name for s in (SCENARIOS if campaigns else DECOYS).values() if s.split == split)


_PLAIN = ("fixed_preamble", "reasoning_suffix", "benchmark_sweep", "diverse_harvest", "rubric_grading")
# demo: a week with three campaigns and two look-alikes. realistic: many ordinary accounts, each campaign
# 0.1 to 5 % of the rows. null: nothing to find.
PRESETS: dict[str, SimulationSettings] = {
    "demo": SimulationSettings(),
    "realistic": SimulationSettings(
        accounts=20_000,
        rate=2.5,
        campaigns=(
            *_PLAIN,
            "paraphrased_templates",
            "human_hours",
            "camouflage",
            "short_lived",
            "few_and_fast",
        ),
        decoys=names("tuning", campaigns=False),
    ),
    "null": SimulationSettings(campaigns=(), decoys=names("tuning", campaigns=False)),
}

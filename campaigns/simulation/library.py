"""The campaigns and the innocent look-alikes that can be put into a log, as declarations."""

from campaigns.simulation.scenario import Addresses, Draw, Giveaway, Hours, Partition, Scenario, Shape

_TEMPLATE = (Giveaway.LENGTH, Giveaway.TOPIC)
_CAMPAIGNS = (
    Scenario(
        name="fixed_preamble", shape=Shape.PREAMBLE,
        sentence="One fixed preamble before varied questions.", accounts=60, per_day=6,
        partition=Partition.ROUND_ROBIN, declared=(*_TEMPLATE, Giveaway.HOURS),
    ),
    Scenario(
        name="long_preamble", shape=Shape.LONG_PREAMBLE,
        sentence="Pages of instructions before each question.", accounts=40, per_day=5,
        partition=Partition.RANDOM, declared=(*_TEMPLATE, Giveaway.HOURS),
    ),
    Scenario(
        name="reasoning_suffix", beats=True, shape=Shape.SUFFIX,
        sentence="Questions that end in an order to lay open the reasoning.", accounts=70, per_day=6,
        share=0.7, partition=Partition.RANDOM, declared=(*_TEMPLATE, Giveaway.HOURS),
    ),
    Scenario(
        name="injected_line", beats=True, shape=Shape.INJECTED,
        sentence="A line slipped into long requests that differ.", accounts=60, per_day=5,
        hours=Hours.OFFICE, roles=("organic",), families=40,
        declared=(*_TEMPLATE, Giveaway.HOURS, Giveaway.LANGUAGE),
    ),
    Scenario(
        name="benchmark_sweep", shape=Shape.TASK,
        sentence="A benchmark swept in order, a shard an account.", accounts=50, per_day=8,
        partition=Partition.CONTIGUOUS, roles=("probe",), families=2,
        declared=(*_TEMPLATE, Giveaway.HOURS, Giveaway.REPEATS),
    ),
    Scenario(
        name="diverse_harvest", beats=True, shape=Shape.TASK,
        sentence="Self-instruct tasks of many kinds, no common wording.", accounts=80, per_day=8,
        partition=Partition.RANDOM, roles=("distillation",), families=12,
        declared=(Giveaway.TOPIC, Giveaway.HOURS),
    ),
    Scenario(
        name="paraphrased_templates", beats=True, shape=Shape.PARAPHRASED,
        sentence="A template in thousands of wordings.", accounts=60, per_day=6,
        partition=Partition.RANDOM, declared=(*_TEMPLATE, Giveaway.HOURS),
    ),
    Scenario(
        name="rubric_grading", shape=Shape.RUBRIC,
        sentence="The model as a judge for somebody's training.", accounts=50, per_day=8,
        partition=Partition.STICKY, declared=(*_TEMPLATE, Giveaway.HOURS),
    ),
    Scenario(
        name="trace_cleaning", shape=Shape.CLEANING,
        sentence="Captured traces sent back to be cleaned and judged.", accounts=30, per_day=20,
        partition=Partition.STICKY, declared=(*_TEMPLATE, Giveaway.HOURS),
    ),
    Scenario(
        name="safe_rewriting", shape=Shape.REWRITE,
        sentence="Sensitive questions turned harmless and answered.", accounts=50, per_day=6,
        roles=("jailbreak", "distillation"), declared=(*_TEMPLATE, Giveaway.HOURS),
    ),
    Scenario(
        name="translation", shape=Shape.TRANSLATION, sentence="One task set into twenty languages.",
        accounts=60, per_day=7, partition=Partition.ROUND_ROBIN, bank=200,
        declared=(*_TEMPLATE, Giveaway.HOURS, Giveaway.REPEATS, Giveaway.LANGUAGE),
    ),
    Scenario(
        name="human_hours", beats=True, shape=Shape.PREAMBLE,
        sentence="A preamble, in the hours and volumes of people.", accounts=70, per_day=5,
        partition=Partition.HEAVY, hours=Hours.HUMAN, declared=_TEMPLATE,
    ),
    Scenario(
        name="camouflage", beats=True, shape=Shape.SUFFIX,
        sentence="A quarter of each account's traffic, the rest ordinary.", accounts=80, per_day=4,
        share=0.25, hours=Hours.HUMAN, declared=_TEMPLATE,
    ),
    Scenario(
        name="short_lived", beats=True, shape=Shape.PREAMBLE,
        sentence="Accounts that live two days and are replaced.", accounts=40, per_day=15, lifetime=2,
        declared=(*_TEMPLATE, Giveaway.HOURS, Giveaway.METADATA),
    ),
    Scenario(
        name="pivot", beats=True, shape=Shape.TASK,
        sentence="A harvest that turns to a new task set and model.", accounts=60, per_day=8, pivot=True,
        families=6, model="one",
        declared=(Giveaway.TOPIC, Giveaway.HOURS, Giveaway.METADATA, Giveaway.REPEATS),
    ),
    Scenario(
        name="banned_and_back", shape=Shape.PREAMBLE,
        sentence="Banned in mid-week; successors within hours.", accounts=50, per_day=10, ban=True,
        declared=(*_TEMPLATE, Giveaway.HOURS, Giveaway.METADATA),
    ),
    Scenario(
        name="one_network", beats=True, shape=Shape.TASK,
        sentence="A harvest from a handful of addresses.", accounts=40, per_day=10,
        addresses=Addresses.SHARED, roles=("distillation",), families=8,
        declared=(Giveaway.TOPIC, Giveaway.HOURS, Giveaway.METADATA),
    ),
    Scenario(
        name="rotating_proxies", shape=Shape.SUFFIX,
        sentence="A suffix, through proxies that change each session.", accounts=60, per_day=6,
        addresses=Addresses.ROTATING, declared=(*_TEMPLATE, Giveaway.HOURS, Giveaway.METADATA),
    ),
    Scenario(
        name="bursts", shape=Shape.PREAMBLE, sentence="A few bursts of some hours, then silence.",
        accounts=60, per_day=6, hours=Hours.BURST, declared=(*_TEMPLATE, Giveaway.HOURS),
    ),
    Scenario(
        name="slow_and_wide", beats=True, shape=Shape.PREAMBLE,
        sentence="Two requests an account and day over many accounts.", accounts=250, per_day=2,
        declared=(*_TEMPLATE, Giveaway.HOURS),
    ),
    Scenario(
        name="few_and_fast", shape=Shape.RUBRIC,
        sentence="Eight accounts at several hundred requests a day.", accounts=8, per_day=250,
        partition=Partition.ROUND_ROBIN, declared=(*_TEMPLATE, Giveaway.HOURS),
    ),
    Scenario(
        name="human_harvest", beats=True, shape=Shape.TASK,
        sentence="A diverse harvest in people's hours and volumes.", accounts=70, per_day=6,
        partition=Partition.HEAVY, hours=Hours.HUMAN, roles=("distillation",), families=10,
        declared=(Giveaway.TOPIC,), split="heldout",
    ),
    Scenario(
        name="paraphrased_camouflage", beats=True, shape=Shape.PARAPHRASED,
        sentence="Paraphrases, half of the traffic.", accounts=60, per_day=6, share=0.5,
        hours=Hours.OFFICE, declared=(Giveaway.HOURS, Giveaway.TOPIC, Giveaway.LENGTH), split="heldout",
    ),
    Scenario(
        name="injected_sweep", beats=True, shape=Shape.INJECTED,
        sentence="An injected line, round robin, round the clock.", accounts=40, per_day=12,
        partition=Partition.ROUND_ROBIN, roles=("organic",), families=30,
        declared=(*_TEMPLATE, Giveaway.HOURS, Giveaway.LANGUAGE), split="heldout",
    ),
    Scenario(
        name="replaced_graders", shape=Shape.RUBRIC, sentence="Graders whose accounts live three days.",
        accounts=40, per_day=10, lifetime=3, partition=Partition.STICKY,
        declared=(*_TEMPLATE, Giveaway.HOURS, Giveaway.METADATA), split="heldout",
    ),
)  # fmt: skip
_PEOPLE = ("organic",)
_LOOKALIKES = (
    Scenario(
        name="own_key_tool", beats=True, shape=Shape.PREAMBLE,
        sentence="A shop tool with one template; users bring their keys.", accounts=120, per_day=2.5,
        share=0.6, partition=Partition.HEAVY, hours=Hours.HUMAN, draw=Draw.PEOPLE, roles=_PEOPLE,
        families=12, declared=(Giveaway.TOPIC, Giveaway.LENGTH, Giveaway.REPEATS),
    ),
    Scenario(
        name="enrichment_tool", beats=True, shape=Shape.PREAMBLE,
        sentence="A catalogue tool on users' keys: each item once, round the clock, one network.",
        accounts=70, per_day=6, share=0.9, partition=Partition.HEAVY, hours=Hours.FLAT,
        addresses=Addresses.SHARED, roles=_PEOPLE, families=12,
        declared=(Giveaway.TOPIC, Giveaway.LENGTH, Giveaway.METADATA, Giveaway.HOURS),
    ),
    Scenario(
        name="agent_harness", beats=True, shape=Shape.HARNESS,
        sentence="A coding harness with a public system prompt.", accounts=200, per_day=3, share=0.7,
        partition=Partition.HEAVY, hours=Hours.HUMAN, draw=Draw.PEOPLE, roles=("organic", "probe"),
        families=8, declared=(Giveaway.TOPIC, Giveaway.LENGTH, Giveaway.REPEATS),
    ),
    Scenario(
        name="viral_prompt", shape=Shape.EXACT, sentence="One prompt that everybody tries for two days.",
        accounts=260, per_day=0.25, share=0.2, hours=Hours.WAVE, draw=Draw.BANK, bank=1,
        roles=("shared_template",),
        declared=(Giveaway.TOPIC, Giveaway.LENGTH, Giveaway.REPEATS, Giveaway.HOURS),
    ),
    Scenario(
        name="homework_class", shape=Shape.TASK,
        sentence="A class with the same questions and one deadline.", accounts=90, per_day=1.4, share=0.5,
        hours=Hours.DEADLINE, draw=Draw.BANK, bank=12, addresses=Addresses.SHARED, roles=("probe",),
        families=1,
        declared=(Giveaway.TOPIC, Giveaway.LENGTH, Giveaway.REPEATS, Giveaway.METADATA, Giveaway.HOURS),
    ),
    Scenario(
        name="randomised_exam", shape=Shape.TASK,
        sentence="An exam with questions drawn for each student.", accounts=80, per_day=1.5, share=0.6,
        hours=Hours.DEADLINE, draw=Draw.BANK, bank=400, roles=("probe",), families=2,
        declared=(Giveaway.TOPIC, Giveaway.LENGTH, Giveaway.REPEATS, Giveaway.HOURS),
    ),
    Scenario(
        name="prompt_library", beats=True, shape=Shape.LIBRARY,
        sentence="Prompts copied from one public collection.", accounts=150, per_day=1.5, share=0.5,
        partition=Partition.HEAVY, hours=Hours.HUMAN, draw=Draw.PEOPLE, roles=_PEOPLE, families=20,
        declared=(Giveaway.TOPIC, Giveaway.LENGTH, Giveaway.REPEATS),
    ),
    Scenario(
        name="nightly_evaluation", shape=Shape.TASK,
        sentence="A customer's evaluation, the same items each night.", accounts=8, per_day=120,
        hours=Hours.NIGHTLY, draw=Draw.RERUN, bank=900, one_org=True, addresses=Addresses.SHARED,
        roles=("probe",), families=3,
        declared=(Giveaway.TOPIC, Giveaway.LENGTH, Giveaway.REPEATS, Giveaway.METADATA, Giveaway.HOURS),
    ),
    Scenario(
        name="company_keys", beats=True, shape=Shape.PREAMBLE,
        sentence="One company's product behind many keys.", accounts=50, per_day=7,
        partition=Partition.ROUND_ROBIN, draw=Draw.PEOPLE, one_org=True, addresses=Addresses.SHARED,
        roles=_PEOPLE, families=10,
        declared=(Giveaway.TOPIC, Giveaway.LENGTH, Giveaway.REPEATS, Giveaway.METADATA, Giveaway.HOURS),
    ),
    Scenario(
        name="cron_jobs", shape=Shape.PREAMBLE,
        sentence="A published CI action: few inputs, round the clock.", accounts=40, per_day=8, share=0.8,
        partition=Partition.RANDOM, draw=Draw.BANK, bank=60, roles=_PEOPLE,
        declared=(Giveaway.TOPIC, Giveaway.LENGTH, Giveaway.REPEATS, Giveaway.HOURS),
    ),
    Scenario(
        name="free_tier", beats=True, shape=Shape.PREAMBLE,
        sentence="A tool's free tier: so many items a week on each user's key, at any hour.", accounts=80,
        per_day=6, share=0.9, partition=Partition.QUOTA, roles=_PEOPLE, families=12,
        declared=(Giveaway.TOPIC, Giveaway.LENGTH, Giveaway.HOURS),
    ),
    Scenario(
        name="published_job", shape=Shape.PREAMBLE,
        sentence="A published job that runs every four hours, on whatever is new.", accounts=60, per_day=6,
        share=0.8, partition=Partition.ROUND_ROBIN, hours=Hours.CLOCK, roles=_PEOPLE,
        declared=(Giveaway.TOPIC, Giveaway.LENGTH, Giveaway.HOURS),
    ),
    Scenario(
        name="evening_course", shape=Shape.TASK,
        sentence="A course every evening, exercises of their own for all.", accounts=90, per_day=3, share=0.6,
        hours=Hours.LESSONS, roles=("probe",), families=2,
        declared=(Giveaway.TOPIC, Giveaway.LENGTH, Giveaway.HOURS),
    ),
    Scenario(
        name="reseller", beats=True, shape=Shape.TASK,
        sentence="A reseller's ordinary users behind proxies.", accounts=120, per_day=5, share=0.9,
        partition=Partition.HEAVY, hours=Hours.HUMAN, draw=Draw.PEOPLE, addresses=Addresses.ROTATING,
        roles=("organic", "distillation", "probe", "shared_template"), families=60, split="heldout",
        declared=(Giveaway.TOPIC, Giveaway.REPEATS, Giveaway.METADATA),
    ),
    Scenario(
        name="localisation_bot", beats=True, shape=Shape.TRANSLATION,
        sentence="Shops that localise the strings they sell by.", accounts=50, per_day=5, share=0.8,
        hours=Hours.OFFICE, draw=Draw.PEOPLE, roles=_PEOPLE, families=6, split="heldout",
        declared=(Giveaway.TOPIC, Giveaway.LENGTH, Giveaway.REPEATS, Giveaway.HOURS, Giveaway.LANGUAGE),
    ),
    Scenario(
        name="support_bot", beats=True, shape=Shape.PREAMBLE,
        sentence="Support bots of one vendor's customers.", accounts=60, per_day=6, share=0.95,
        partition=Partition.HEAVY, hours=Hours.FLAT, draw=Draw.PEOPLE, roles=_PEOPLE, families=2,
        split="heldout", declared=(Giveaway.TOPIC, Giveaway.LENGTH, Giveaway.REPEATS, Giveaway.HOURS),
    ),
    Scenario(
        name="release_day", shape=Shape.TASK,
        sentence="A new model's day: everybody tries the known puzzles.", accounts=220, per_day=0.8,
        share=0.4, hours=Hours.WAVE, draw=Draw.BANK, bank=150, model="new", roles=("probe", "organic"),
        families=6, split="heldout",
        declared=(Giveaway.TOPIC, Giveaway.LENGTH, Giveaway.REPEATS, Giveaway.METADATA, Giveaway.HOURS),
    ),
)  # fmt: skip

SCENARIOS: dict[str, Scenario] = {s.name: s for s in _CAMPAIGNS}
DECOYS: dict[str, Scenario] = {s.name: s for s in _LOOKALIKES}

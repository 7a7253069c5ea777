"""Writing a simulated log where `detect` and `evaluate` look for it."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flows.errors import InputError


def write_simulation(folder: Path, prompts: Path | None, settings: dict[str, Any]) -> int:
    """Simulate a log and write FOLDER/traffic.parquet and FOLDER/truth/; return how many requests it has.

    What is true lies in a subfolder, which `detect FOLDER` does not read. Raises InputError.
    """
    import polars as pl

    from campaigns.simulation.simulate import SimulationSettings, simulate

    try:
        pack = pl.read_parquet(prompts, glob=False) if prompts else None
        made = simulate(pack, SimulationSettings(**settings))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise InputError(str(error).splitlines()[0]) from None
    truth = folder / "truth"
    try:
        truth.mkdir(parents=True, exist_ok=True)
        made.traffic.write_parquet(folder / "traffic.parquet")
        made.truth.write_parquet(truth / "truth.parquet")
        made.labels.write_parquet(truth / "labels.parquet")
        if made.enforcement.height:
            made.enforcement.write_parquet(truth / "enforcement.parquet")
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror or error}") from None
    return made.traffic.height

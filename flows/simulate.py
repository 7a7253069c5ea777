"""Writing a simulated log where `detect` and `evaluate` look for it."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from flows.errors import InputError
from flows.files import first_line


def write_simulation(folder: Path, prompts: Path | None, settings: dict[str, Any]) -> int:
    """Simulate a log and write FOLDER/traffic.parquet and FOLDER/truth/; return how many requests it has.

    What is true lies in a subfolder, which `detect FOLDER` does not read. A log that is there is replaced,
    with its truth, once all of the new one is written. Raises InputError for settings and prompts at fault,
    and for a folder that cannot be written.
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
        raise InputError(first_line(error)) from None
    files = {
        "traffic.parquet": made.traffic,
        "truth/truth.parquet": made.truth,
        "truth/labels.parquet": made.labels,
        "truth/enforcement.parquet": made.enforcement if made.enforcement.height else None,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".simulate-", dir=folder) as beside:
            Path(beside, "truth").mkdir()
            for name, frame in files.items():
                if frame is not None:
                    frame.write_parquet(Path(beside, name))
            (folder / "truth").mkdir(exist_ok=True)
            for name, frame in files.items():
                if frame is not None:
                    os.replace(Path(beside, name), folder / name)
                else:  # an older log had it
                    (folder / name).unlink(missing_ok=True)
    except (OSError, pl.exceptions.PolarsError) as error:
        why = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"cannot write to {folder}: {why}") from None
    return made.traffic.height

"""What Prefect costs: the same log with --plain and as a flow, with a server running.

python -m benchmarks.overhead [--accounts N] [--prompts FILE]

Seconds on top are those outside of the stages (start-up, orchestration, artifacts), flow less plain: the
stages are the same functions, and on a shared machine they vary by more than what is measured here.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from flows.server import own_server, set_defaults


class Ran(NamedTuple):
    """One run of the command: wall seconds, seconds in stages, peak resident memory in MB, rows kept."""

    wall: float
    stages: float
    peak: float
    rows: int

    @property
    def besides(self) -> float:
        """Seconds outside the stages."""
        return self.wall - self.stages


def detect(log: Path, output: Path, *more: str) -> Ran:
    command = [str(Path(sys.executable).with_name("hydrascope")), "detect", str(log), "--output", str(output)]
    began = time.perf_counter()
    ran = subprocess.Popen([*command, "--sample", "1000000", *more], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(ran.pid, 0)
    wall = time.perf_counter() - began
    if status:
        raise SystemExit(f"detect ended with {status}")
    run_dir = output / json.loads((output / "latest.json").read_text())["run_dir"]
    manifest = json.loads((run_dir / "manifest.json").read_text())
    return Ran(wall, sum(manifest["seconds"].values()), used.ru_maxrss / 1024, manifest["rows"]["kept"])


def task_runs(url: str) -> int:
    request = urllib.request.Request(f"{url}/task_runs/count", b"{}", {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(json.load(answer))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--accounts", type=int, default=4000)
    parser.add_argument("--prompts", type=Path, help="parquet of prompts; without it the generator's own")
    asked = parser.parse_args()
    set_defaults()
    with tempfile.TemporaryDirectory(prefix="hydrascope-overhead-") as folder:
        log = Path(folder) / "log"
        words = [
            "--accounts",
            str(asked.accounts),
            *(["--prompts", str(asked.prompts)] if asked.prompts else []),
        ]
        simulate = [str(Path(sys.executable).with_name("hydrascope")), "simulate", str(log), *words]
        subprocess.run(simulate, check=True)
        os.environ["PREFECT_HOME"] = f"{folder}/prefect"
        plain = detect(log, Path(folder) / "plain", "--plain")
        with own_server(Console(stderr=True)) as url:
            os.environ["PREFECT_API_URL"] = url
            flow = detect(log, Path(folder) / "flow")
            time.sleep(10)  # the server writes task runs down after the flow has ended
            tasks = task_runs(url)
    print(f"rows kept            {plain.rows:>10,}")
    print(f"wall seconds         {plain.wall:>10.1f} plain {flow.wall:>10.1f} flow")
    print(f"outside the stages   {plain.besides:>10.1f} plain {flow.besides:>10.1f} flow")
    print(f"seconds on top       {flow.besides - plain.besides:>10.1f}       (at most 15)")
    print(f"task runs            {tasks:>10}       (at most 100)")
    print(f"peak memory, MB      {plain.peak:>10,.0f} plain {flow.peak:>10,.0f} flow")
    print(f"memory, flow / plain {flow.peak / plain.peak:>10.3f}       (at most 1.1)")


if __name__ == "__main__":
    main()

"""Runs a detection and dies by SIGKILL when a stage has written its files and is not yet finished.

python kill_driver.py LOG OUTPUT STAGE[:PART] [flow]

With the word flow it runs on the server of PREFECT_API_URL.
"""

import functools
import os
import signal
import sys
from pathlib import Path
from typing import Any

import flows.pipeline as pipeline
from flows.request import open_run
from flows.run import perform
from flows.settings import DetectSettings
from tests.tiny import use_tiny_encoder

log, output, victim, *how = sys.argv[1:]
use_tiny_encoder(setattr)


def deadly(function: Any, run: Any, part: str = "") -> Any:
    @functools.wraps(function)
    def dies(run: Any, part: str, out: Path) -> Any:
        function(run, part, out)
        os.kill(os.getpid(), signal.SIGKILL)

    struck = victim in (function.__name__, f"{function.__name__}:{part}")
    return perform(dies if struck else function, run, part)


def run_dir() -> Path:
    run = open_run(log, Path(output), DetectSettings(), (None, None))
    if not how:
        pipeline.perform = deadly
        return pipeline.complete(run, pipeline.plain())
    import flows.detect as orchestrated

    orchestrated.perform = deadly
    return orchestrated.detect_run(run, lambda stage, part, counts: None)


sys.stdout.write(str(run_dir()))

"""The fitted encoder that the runs of one output have in common."""

import json
from pathlib import Path
from typing import Any

from flows.run import Run, digest, write_atomically
from flows.settings import FITTED, DetectSettings


def known_encoder(output: Path, base: str, settings: DetectSettings) -> dict[str, Any]:
    """Return what of earlier runs in this output shapes this one: the encoder that one of them fitted."""
    if settings.encoder != FITTED:
        return {}
    try:
        current = json.loads(_current(output, settings).read_text())
    except (OSError, ValueError):
        return {}
    there = (output / "encoder" / str(current.get("encoder"))).is_dir()
    return {"encoder": current["encoder"]} if there and current.get("request") != base else {}


def _current(output: Path, settings: DetectSettings) -> Path:
    """Return the file that names the encoder fitted with such settings: others must not take its place."""
    fit = digest(settings.model_dump(mode="json", include={"fit", "seed"}))
    return output / "encoder" / f"current-{fit}.json"


def remember_encoder(run: Run, identity: str, *, instead: bool = False) -> None:
    """Let later runs in this output use this run's fitted encoder; not `instead` of one that they have.

    Of two first runs the one that ends first has fitted theirs, and a refit is not undone by an older run.
    """
    if not instead and known_encoder(run.output, run.request, run.settings):
        return
    current = {"encoder": identity, "request": run.request}
    write_atomically(_current(run.output, run.settings), json.dumps(current))

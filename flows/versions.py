"""Which versions made a run."""

import platform
from importlib.metadata import PackageNotFoundError, version

_MATTER = (
    "hydrascope", "polars", "pyarrow", "numpy", "scipy", "scikit-learn", "sentence-transformers", "torch",
    "faiss-cpu", "prefect",
)  # fmt: skip
STAGES = "9"  # raised when a stage writes something else than before: unfinished runs then start afresh


def own_version() -> str:
    """Return the version of hydrascope."""
    try:
        return version("hydrascope")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that shape a result, as far as they are there."""
    found = {"python": platform.python_version()}
    for name in _MATTER:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

"""The errors that reach a person, by what the caller should do.

HydrascopeError
├── InputError     stop: the call or the input is at fault (exit code 2)
├── ServerError    Prefect's server does not answer: start it, then call again (exit code 1)
└── StageError     look, then call again: the run resumes at that stage (exit code 1)
    └── StorageError   a disk is full, a store does not answer: trying again later can help
"""

from pathlib import Path


class HydrascopeError(Exception):
    """An error whose text is one clear line for a person, without prompt text or account names."""


class InputError(HydrascopeError):
    """The call or the input is at fault: nothing was written, calling again changes nothing."""


class ServerError(HydrascopeError):
    """Prefect's server does not answer, or not to us."""


class StageError(HydrascopeError):
    """A stage failed; the stages before it are kept, and a second call resumes there."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(f"stage {stage} failed: {reason}")
        self.stage = stage
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.stage, self.reason)


class StorageError(StageError):
    """A stage could not write or read files for a reason that may pass."""


def place_of(error: BaseException) -> str:
    """Return the type of an error and where it was raised, all that is told of one that others wrote."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else "unknown place"
    return f"{type(error).__name__} at {where}"

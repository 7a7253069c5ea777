"""A request at the door: the log, the settings, the output and the bans are checked before a run is begun."""

import errno
import os
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile

from embeddings.encoders import EncoderSettings
from embeddings.errors import EncoderUnavailable
from flows.errors import InputError
from flows.files import file_digest, first_line, is_part_of
from flows.fitted import known_encoder
from flows.run import Run, as_begun, digest
from flows.settings import FITTED, DetectSettings
from flows.source import check_type, open_source
from flows.times import Window, moment
from flows.versions import STAGES, own_version


def open_run(
    log: str, output: Path, settings: DetectSettings, window: Window, enforcement: Path | None = None
) -> Run:
    """Check a request at the door and return its run, begun before or new; nothing is written by a refusal.

    Raises InputError for input at fault and for an output that cannot be written.
    """
    start, end = window
    if start is not None and end is not None and start >= end:
        last, first = moment(end).isoformat(), moment(start).isoformat()
        raise InputError(f"the window ends at {last}, which is not after its start at {first}")
    source = open_source(absolute(log), settings.columns, window)
    encoder, dimension = _encoder(settings)
    if not settings.index.suits(dimension):
        raise InputError(
            f"index.factory {settings.index.factory!r} does not suit vectors of {dimension} dimensions"
        )
    bans = _enforcement(enforcement) if enforcement else None
    changing = settings.model_dump(mode="json", exclude={"work"})
    inputs = [source.digests, source.optional, window, encoder, bans and bans["digest"]]
    base = digest([STAGES, own_version(), inputs, changing])
    output = output.absolute()
    _writable(output)
    if is_part_of(source.url, output / "date=" / "run_id=" / "prompts.parquet"):
        raise InputError(f"{output} lies in the log's folder, its tables would be read as log: name another")
    prior = known_encoder(output, base, settings)
    run = Run(
        output=output, request=base, run_id=f"r{digest([base, prior])}", settings=settings, source=source,
        window=window, prior=prior, encoder=encoder, enforcement=bans,
    )  # fmt: skip
    return as_begun(run)


def absolute(log: str) -> str:
    """Return the path of a log, or of a model's folder, in full; URLs as they are."""
    return log if "://" in log or "::" in log else os.path.abspath(log)


def _encoder(settings: DetectSettings) -> tuple[str | None, int]:
    """Return the identity of a named encoder, None for the fitted one, and the dimensions of its vectors."""
    if settings.encoder != FITTED:
        return _loaded(settings.encoder, settings.encoding)
    prompt, most = settings.encoding.prompt_name, settings.fit.dimension
    if prompt is not None:
        from embeddings.fit import PROMPTS  # seldom asked for, and slow to import

        if prompt not in PROMPTS:
            said = " and ".join(PROMPTS)
            raise InputError(f"encoding.prompt_name {prompt!r}: the fitted encoder has {said}")
    return None, min(most, settings.encoding.truncate_dim or most)


@lru_cache(maxsize=4)
def _loaded(name: str, settings: EncoderSettings) -> tuple[str, int]:
    """Load a named encoder, so that one that is not there is refused before anything is written."""
    from embeddings.encoders import load_encoder

    try:
        encoder = load_encoder(name, settings)
    except EncoderUnavailable as error:
        raise InputError(str(error)) from None
    return encoder.identity, encoder.dimension


def _enforcement(path: Path) -> dict[str, str]:
    """Check the file of bans and limits and return where it is and its digest."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot read {path} as Parquet: {first_line(error)}") from None
    columns = ["account_id", "timestamp", "action"]
    for name in columns:
        if name not in schema.names:
            raise InputError(f"{path} has no column {name!r}; it has {', '.join(schema.names)}")
        check_type(str(path), schema, name, name)
    try:
        pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot read {path} to its end: {first_line(error)}") from None
    return {"path": str(path.absolute()), "digest": file_digest(path)}


def _writable(output: Path) -> None:
    """Refuse an output that is a file or cannot be written, without making it."""
    there = output
    while not os.path.exists(there):  # not Path.exists: it raises in a folder that may not be entered
        there = there.parent
    longest = os.pathconf(there, "PC_NAME_MAX")
    if any(len(os.fsencode(name)) > longest for name in output.relative_to(there).parts):
        raise InputError(f"cannot write to {output}: a name in it is longer than {longest} bytes")
    try:
        TemporaryFile(dir=there).close()  # os.access is wrong of /proc and of stores that others serve
    except OSError as error:
        if error.errno != errno.ENOSPC:  # that may pass: it is the stages' to say
            raise InputError(
                f"cannot write to {output}: {there} is not a folder that may be written"
            ) from None

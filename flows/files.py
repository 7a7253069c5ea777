"""The files of a log on whatever holds them: which they are, what their folders say, what identifies them."""

import errno
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import fsspec
import pyarrow.parquet as pq
from fsspec.utils import glob_translate

from flows.errors import HydrascopeError, InputError, StorageError

SUFFIXES = (".parquet", ".pq", ".parq")
AWAY = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENETUNREACH, errno.EHOSTUNREACH)
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
Fixed = Mapping[str, str | int | None]  # what key=value folders say of a file, by column


def find_files(url: str) -> tuple[fsspec.AbstractFileSystem, str, list[str]]:
    """Return the filesystem, the root and the sorted Parquet files of a file, folder, glob or Hive dataset.

    In a folder: the files in it and in subfolders called key=value, whatever their depth. Of a glob:
    the files that it matches, and those in the folders called key=value that it matches. Raises InputError.
    """
    try:
        fs, path = fsspec.core.url_to_fs(url)
        if any(c in path for c in "*?[") and not _is_there(fs, path):
            root, files = _parent(re.split("[*?[]", path)[0]), list(_matched(fs, path))
        elif fs.isdir(path):
            root, files = path, _parts(fs, path)
        else:
            root, files = _parent(path), [path] if fs.isfile(path) else []
    except Exception as error:  # stores have errors of their own
        refused = InputError(f"cannot open {url}: {first_line(error)}")
        raise _away(error) or refused from None  # it may name accounts
    if not files:
        raise InputError(
            f"no Parquet file at {url}; a folder is read with its key=value subfolders, a glob reads any file"
        )
    return fs, root, sorted(set(files))


def _is_there(fs: fsspec.AbstractFileSystem, path: str) -> bool:
    """Tell whether there is a file or folder; `fs.exists` takes a Ctrl-C for none."""
    return bool(fs.isfile(path) or fs.isdir(path))


def _matched(fs: fsspec.AbstractFileSystem, glob: str) -> Iterator[str]:
    for found in fs.glob(glob):
        if not fs.isdir(found):
            yield found
        elif "=" in Path(found).name:
            yield from _parts(fs, found)


def _parts(fs: fsspec.AbstractFileSystem, folder: str) -> list[str]:
    return [file for file in fs.find(folder) if _is_part(file, folder)]


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def keys_of(path: str, root: str) -> dict[str, str | None]:
    """Return what the key=value folders between a dataset's root and a file say, as Hive writes it."""
    pairs = [part.split("=", 1) for part in _parent(path.removeprefix(root)).split("/") if "=" in part]
    return {unquote(key): None if value == HIVE_NULL else unquote(value) for key, value in pairs}


def is_part_of(url: str, file: Path) -> bool:
    """Tell whether a file that were written there would be read as part of a log in local folders."""
    fs, path = fsspec.core.url_to_fs(url)
    if not is_local(fs):
        return False
    file = file.resolve()
    if fs.isdir(path):
        folder = Path(path).resolve()
        return folder in file.parents and _is_part(str(file), str(folder))
    if fs.isfile(path):
        return False
    root = _parent(re.split("[*?[]", path)[0])
    glob = re.compile(glob_translate(f"{Path(root).resolve()}{path.removeprefix(root)}"))
    return bool(glob.match(str(file))) or any(
        "=" in folder.name and glob.match(str(folder)) and _is_part(str(file), str(folder))
        for folder in file.parents
    )


def shown(path: str, names: Mapping[Any, str]) -> str:
    """Return a path of a log, or a text with one, without the accounts in it; names: the log's by ours."""
    account = re.escape(quote(names.get("account_id", "account_id")))
    return re.sub(rf"(?<=/)({account}=)[^/]*", r"\1…", path)


def _is_part(file: str, folder: str) -> bool:
    *above, name = file.removeprefix(folder).strip("/").split("/")
    return name.endswith(SUFFIXES) and name[0] not in "._" and all("=" in part for part in above)


def open_parquet(fs: fsspec.AbstractFileSystem, path: str, names: Mapping[Any, str]) -> pq.ParquetFile:
    """Open a file of a log; raises InputError for what is not Parquet. names: as for `shown`."""
    try:
        where = path if is_local(fs) else fs.open(path)
        return pq.ParquetFile(where, coerce_int96_timestamp_unit="us")
    except Exception as error:
        raise unreadable(path, names, "as Parquet", error) from None


def _away(error: Exception) -> StorageError | None:
    """Return the error of a store that does not answer just now, None where the file is at fault."""
    if isinstance(error, ConnectionError | TimeoutError) or getattr(error, "errno", None) in AWAY:
        return StorageError("begin", f"the log's store does not answer: {type(error).__name__}")
    return None


def unreadable(path: str, names: Mapping[Any, str], how: str, error: Exception) -> HydrascopeError:
    """Return the error of a file of a log that cannot be read; raise it from None: its cause has the path."""
    return _away(error) or InputError(
        f"cannot read {shown(path, names)} {how}: {shown(first_line(error), names)}"
    )


def first_line(error: Exception) -> str:
    """Return what an error says, or is, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def is_local(fs: fsspec.AbstractFileSystem) -> bool:
    """Tell whether files are on this machine."""
    return isinstance(fs, fsspec.implementations.local.LocalFileSystem)


def digests_of(
    fs: fsspec.AbstractFileSystem, files: Sequence[str], constants: Sequence[Fixed]
) -> tuple[str, ...]:
    """Return the digests of files, those that folders give a constant with it: it is of what they hold."""
    return tuple(
        sorted(
            _blake2b(json.dumps([_digest(fs, path), fixed], sort_keys=True)) if fixed else _digest(fs, path)
            for path, fixed in zip(files, constants, strict=True)
        )
    )


def _blake2b(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _digest(fs: fsspec.AbstractFileSystem, path: str) -> str:
    """Digest a file's content; of a remote file, what its store says identifies the content."""
    if not is_local(fs):
        return _blake2b(str(fs.checksum(path)))
    facts = Path(path).stat()
    return _digest_once(path, facts.st_size, facts.st_mtime_ns)


@cache  # of every file: a log of more than it kept would be read anew each time
def _digest_once(path: str, size: int, changed: int) -> str:
    return file_digest(Path(path))


def file_digest(path: Path) -> str:
    """Return the digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()

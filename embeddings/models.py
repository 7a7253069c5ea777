"""Where a model's files are, and what identifies them."""

import hashlib
import json
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from embeddings.errors import EncoderUnavailable

_PATIENCE = 5.0  # seconds to wait for the hub before calling it unreachable
# Left out of the identity: what says nothing about vectors, and what only records library versions.
_NO_MATTER = {".md", ".png", ".jpg", ".svg", ".lock"}
_RECORDS = {"config_sentence_transformers.json", "README.md", "LICENSE", ".gitattributes"}


def locate(name_or_path: str, revision: str | None) -> Path:
    """Return the folder of a model: a local one, one in the hub's cache, or one fetched now.

    Raises EncoderUnavailable within seconds where there is neither files nor a hub.
    """
    folder = os.path.expanduser(name_or_path)  # pathlib's raises where there is no such user
    if os.path.isdir(folder):  # and where a folder may not be entered
        return Path(folder)
    if name_or_path.count("/") > 1 or name_or_path.startswith((".", "/", "~")):
        raise EncoderUnavailable(f"there is no encoder folder {name_or_path}: give a folder or a hub name")
    return _snapshot(name_or_path, revision)


def _snapshot(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        cached = Path(snapshot_download(name, revision=revision, local_files_only=True))
        if any(cached.rglob("*.safetensors")) or any(cached.rglob("*.bin")):
            return cached
    except LocalEntryNotFoundError:
        pass
    except ValueError as fault:
        raise EncoderUnavailable(f"{name!r} is neither a folder nor a name on the model hub") from fault
    if not _hub_answers():
        raise EncoderUnavailable(
            f"encoder {name!r} is not on this machine and the model hub cannot be reached: run "
            f"`hf download {name}` where there is a network and copy the folder, or leave out the encoder "
            "for the default one, which needs no download"
        )
    try:
        return Path(snapshot_download(name, revision=revision, etag_timeout=_PATIENCE))
    except Exception as fault:
        raise EncoderUnavailable(
            f"the model hub does not give encoder {name!r} ({type(fault).__name__}): check its name, its "
            "revision and your access to it"
        ) from fault


def _hub_answers() -> bool:
    """Say whether the hub, or the proxy to it, takes a connection."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or constants.ENDPOINT
    address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname, port), timeout=_PATIENCE):
            return True
    except OSError:
        return False


def digest(folder: Path, *settings: str | int | None) -> str:
    """Return 32 hexadecimal digits of a model folder's files, by relative path, and of settings."""
    total = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.suffix in _NO_MATTER or path.name in _RECORDS or not path.is_file():
            continue
        with path.open("rb") as file:
            content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    total.update(json.dumps(settings).encode())
    return total.hexdigest()


def prompt_text(folder: Path, prompt_name: str | None) -> str:
    """Return the text that a model puts before each input under `prompt_name`, or under its own default."""
    path = folder / "config_sentence_transformers.json"
    config = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    prompts = config.get("prompts") or {}
    name = prompt_name or config.get("default_prompt_name")
    if name is None:
        return ""
    if name not in prompts:
        raise EncoderUnavailable(f"the encoder has no prompt {name!r}: it has {sorted(prompts) or 'none'}")
    return str(prompts[name] or "")


def is_static(folder: Path) -> bool:
    """Say whether the model is a StaticEmbedding, perhaps normalised, and nothing else."""
    path = folder / "modules.json"
    if not path.exists() or not (folder / "tokenizer.json").exists():
        return False
    modules = [module["type"].rsplit(".", 1)[-1] for module in json.loads(path.read_text(encoding="utf-8"))]
    return modules in (["StaticEmbedding"], ["StaticEmbedding", "Normalize"])

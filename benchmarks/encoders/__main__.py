"""Measure encoders: python -m benchmarks.encoders [--prompts FILE] [--static FOLDER] [--parts ...].

Without --prompts the texts come from the project's own generator. Writes tables to bench-out/encoders.
"""

import argparse
import shutil
from pathlib import Path

import polars as pl

from benchmarks.encoders import quality, speed
from benchmarks.encoders.texts import OUT, labelled, load_pack
from benchmarks.encoders.transformer import random_transformer

PARTS = ("default", "static", "transformer", "fits", "quality", "coverage")


def main() -> None:
    """Run the parts that are asked for, one after the other."""
    call = arguments()
    OUT.mkdir(parents=True, exist_ok=True)
    n_speed, n_slow, n_labelled, accounts = (
        (20_000, 300, 3000, 300) if call.quick else (315_000, 2000, 10_000, 1500)
    )
    pack = load_pack(call.prompts, n_speed + 50_000)
    texts = written(pack, n_speed, "texts")
    if "default" in call.parts:
        speed.default_encoder(texts, call.rounds)
    if "static" in call.parts and call.static:
        same, apart = speed.same_ids_and_vectors(str(texts), call.static)
        said = f"Token ids identical: {'yes' if same else 'no'}; vectors differ by at most {apart:.0e}.\n"
        speed.against("static", texts, call.static, speed.STATIC_SIZES, call.rounds, said)
    if "transformer" in call.parts:
        few = written(pack, n_slow, "few")
        random_transformer(iter(pack["prompt"].head(20_000).to_list()), OUT / "transformer")
        model = str(OUT / "transformer" / "model")
        speed.against("transformer", few, model, speed.TRANSFORMER_SIZES, call.rounds)
    frame = labelled(pack, n_labelled)
    if "fits" in call.parts:
        quality.compare_fits(frame)
    if "quality" in call.parts:
        quality.compare_encoders(frame, call.static, OUT / "fitted")
    if "coverage" in call.parts:
        own = pl.read_parquet(call.prompts) if call.prompts else None
        quality.coverage(own, call.static, accounts, OUT / "fitted")
    for left in ("fitted", "transformer"):
        shutil.rmtree(OUT / left, ignore_errors=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.encoders", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--prompts", type=Path, help="Parquet with prompt, family, role, lang")
    parser.add_argument("--static", help="folder of a pretrained StaticEmbedding, to compare with")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=3, help="times that each speed is measured")
    parser.add_argument("--quick", action="store_true", help="a fraction of the prompts, to try it out")
    return parser.parse_args()


def written(pack: pl.DataFrame, n: int, name: str) -> Path:
    """Keep n prompts, drawn at random, where the processes that are measured read them."""
    path = OUT / f"{name}.parquet"
    pack.select("prompt").sample(min(n, pack.height), seed=0, shuffle=True).write_parquet(path)
    return path


if __name__ == "__main__":
    main()

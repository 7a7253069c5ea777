"""A transformer from random weights: a model's cost does not depend on what it learned."""

from collections.abc import Iterator
from pathlib import Path

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def random_transformer(texts: Iterator[str], folder: Path, layers: int = 6, width: int = 384) -> None:
    """Write a SentenceTransformer folder: BERT, mean pooling and normalisation, sized as MiniLM-L6."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel
    from transformers.models.bert import BertTokenizer

    words = BertWordPieceTokenizer()
    words.train_from_iterator(texts, vocab_size=30_000, special_tokens=SPECIAL, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    words.save_model(str(folder))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=words.get_vocab_size(),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        intermediate_size=4 * width,
    )
    BertModel(config).save_pretrained(folder / "bert")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder / "bert")
    module = Transformer(str(folder / "bert"), max_seq_length=256)
    SentenceTransformer(modules=[module, Pooling(width), Normalize()]).save(str(folder / "model"))

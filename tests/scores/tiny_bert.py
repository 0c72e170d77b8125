"""A tiny random BERT with a tokenizer of a few words, as a folder of weights."""

import torch
import transformers

WORDS = "a and blue dogs faces grass heads light of red sky things white".split()
LAYERS = 3


def write_tiny_bert(folder):
  """Writes the model and its tokenizer; returns the folder."""
  folder.mkdir(parents=True, exist_ok=True)
  tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
  (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
  vocab = {token: number for number, token in enumerate(tokens)}
  tokenizer = transformers.BertTokenizerFast(vocab=vocab, model_max_length=16)
  tokenizer.save_pretrained(folder)
  torch.manual_seed(0)
  config = transformers.BertConfig(
    vocab_size=len(tokens),
    hidden_size=16,
    num_hidden_layers=LAYERS,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=16,
    initializer_range=1.0,
  )
  transformers.BertModel(config).eval().save_pretrained(folder)
  return folder

"""Cuts the recordings of the original down to what may travel; see README.md here.

python tests/data/cut.py RECORDINGS
"""

import collections
import json
import pathlib
import re
import sys
import zlib

import numpy as np
import torch
from PIL import Image

HERE = pathlib.Path(__file__).parent
LAYERS = ("conv1", "layer1", "layer2", "layer3")
# Captions that annotators did not write: the last of the tokenizer's samples.
OWN_CAPTIONS = slice(470, 500)
SYLLABLES = [a + b for a in "bdfgklmnprtvz" for b in "aeiou"]
# Words of grammar stay: they decide which descriptions count as similar.
GRAMMAR = frozenset(
  """
  a an the this that these those its it there is are be been have has such of and or in
  on at to with from by for as into where but either also well like all any some many
  few one each together other
  """.split()
)


def made_up_words(tokens):
  """One made-up word for each word that is not grammar, plural where it was."""
  words = {}
  for number, token in enumerate(tokens):
    if token in GRAMMAR or not token.isalpha():
      words[token] = token
      continue
    mixed = zlib.crc32(str(number).encode())
    parts = (mixed % 65, mixed // 65 % 65, number // 65, number % 65)
    word = "".join(SYLLABLES[part] for part in parts)
    words[token] = word + "s" * token.endswith("s")
  assert len(set(words.values())) == len(tokens)
  return words


def with_other_words(caption, tokens, words):
  """A recorded caption, its words replaced one by one, capitals kept."""
  done, rest = "", caption
  for token in tokens:
    found = re.match(rf"([ ]*)({re.escape(token)})", rest, re.IGNORECASE)
    assert found, (caption, token)
    word = words[token]
    if found[2][0].isupper():
      word = word[0].upper() + word[1:]
    done, rest = done + found[1] + word, rest[found.end() :]
  assert not rest, (caption, rest)
  return done


def checkpoint(path, target):
  """Writes the checkpoint with other words and a stand-in encoder; gives the words."""
  value = torch.load(path, weights_only=False)
  properties = value["properties"]
  indexers = [properties["indexer"], properties["lm"]["properties"]["indexer"]]
  tokens = indexers[0]["properties"]["vocab"]["properties"]["tokens"]
  words = made_up_words(tokens)
  for indexer in indexers:
    inner = indexer["properties"]
    inner["vocab"]["properties"]["tokens"] = tuple(words[token] for token in tokens)
    spacy = inner["tokenize"]["properties"]
    spacy["nlp"] = (spacy["nlp"][0], b"the state of a spaCy pipeline")
  # Every tensor of the encoder is a view of one small storage, another stride an axis.
  noise = torch.rand(7000, generator=torch.Generator().manual_seed(0)).half() + 0.5
  state = collections.OrderedDict()
  for name, tensor in value["state_dict"].items():
    if name.startswith("encoder.encoder.model.") and tensor.is_floating_point():
      strides = (7, 5, 3, 1)[-tensor.ndim :] if tensor.ndim > 1 else (1,)
      tensor = noise.as_strided(tensor.shape, strides)
    state[name] = tensor
  value["state_dict"] = state
  torch.save(value, target)
  return tokens, words


def decoding(path, target, tokens, words):
  """Every search's result; of predictions, every fourth word of the vocabulary."""
  with np.load(path) as arrays:
    kept = {
      name: arrays[name]
      for name in arrays.files
      if name not in ("images", "masks", "features_nomask", "tokens_json")
      and name != "strings_json"
    }
    recorded = json.loads(bytes(arrays["strings_json"]))
  for name in ("forced/mi=False/predictions", "forced/mi=True/predictions", "lm/full"):
    kept[name] = kept[name][..., ::4]
  # Ids fit into 16 bits.
  kept = {
    name: array.astype(np.int16) if array.dtype == np.int64 else array
    for name, array in kept.items()
  }
  captions = {}
  for name in recorded:
    search = name.removesuffix("/captions")
    if f"{search}/tokens" not in kept or search == name:
      continue
    captions[name] = []
    for row, caption in zip(kept[f"{search}/tokens"], recorded[name], strict=True):
      stop = [*row, 425].index(425)
      own = [tokens[token] for token in row[:stop]]
      captions[name].append(with_other_words(caption, own, words))
  strings = np.frombuffer(json.dumps(captions).encode(), np.uint8)
  np.savez_compressed(target, **kept, strings_json=strings)


def training(path, target):
  """Losses and gradients; of the largest gradients, every fourth feature."""
  with np.load(path) as arrays:
    kept = {name: arrays[name] for name in arrays.files if name != "features"}
    names = json.loads(bytes(arrays["strings_json"]))
  del names["captions"]
  for name, array in kept.items():
    if name.startswith("grad/") and array.size == 64 * 1024:
      kept[name] = array[:, ::4] if array.shape[1] == 1024 else array[::4]
  strings = np.frombuffer(json.dumps(names).encode(), np.uint8)
  np.savez_compressed(target, **kept | {"strings_json": strings})


def exemplars(folder, target):
  """A small network, its images, and what the original found with them."""
  images = np.load(folder / "images.npz")["images"]
  rows = images.transpose(0, 2, 3, 1).reshape(10, 20, 64, 64, 3).swapaxes(1, 2)
  sheet = Image.fromarray(rows.reshape(640, 1280, 3))
  sheet.save(target / "images.webp", lossless=True, quality=100, method=6)
  note = json.loads((folder / "note.json").read_text())["layers"]
  kept = {
    f"network/{name}": tensor.numpy()
    for name, tensor in torch.load(folder / "tiny-cnn.pth").items()
  }
  for layer in LAYERS:
    ids = (folder / layer / "ids.csv").read_text()
    (target / f"{layer}-ids.csv").write_text(ids)
    activations = (folder / layer / "activations.csv").read_text()
    (target / f"{layer}-activations.csv").write_text(activations)
    masks = np.load(folder / layer / "masks.npy")
    assert set(np.unique(masks)) <= {0, 1}, np.unique(masks)
    kept[f"{layer}/masks"] = masks
    rows = np.loadtxt(folder / layer / "ids.csv", delimiter=",", dtype=int)
    # Nearest neighbor from 64 to 32: every second pixel.
    lost = images[rows][..., ::2, ::2] - np.load(folder / layer / "images.npy")
    assert set(np.unique(lost)) == {0, 1}
    kept[f"{layer}/lost"] = np.packbits(lost)
    levels = np.load(folder / layer / "levels.npz")
    kept[f"{layer}/sketch"] = levels["sketch"]
    kept[f"{layer}/exact_hazen"] = levels["exact_hazen"]
    error = note[layer]["vs"]["hazen"]["level_abs_err_max"]
    kept[f"{layer}/sketch_error"] = np.array(error)
  np.savez_compressed(target / "recorded.npz", **kept)


def captions(path, target):
  """Tokens, ids and sentences of captions that no annotator wrote."""
  recorded = json.loads(path.read_text())
  samples = recorded["samples"][OWN_CAPTIONS]
  used = {token for sample in samples for token in sample["tokens"]}
  tokens = recorded["indexer_tokens"]
  kept = {
    "indexer_tokens": [
      token if token in used or token[0] == "<" else f"word{number}"
      for number, token in enumerate(tokens)
    ],
    **{name: recorded[name] for name in ("start", "stop", "pad", "unk")},
    "samples": samples,
  }
  target.write_text(json.dumps(kept, ensure_ascii=False, indent=1) + "\n")


def main():
  recordings = pathlib.Path(sys.argv[1])
  tokens, words = checkpoint(recordings / "decoder-tiny.pth", HERE / "decoder-tiny.pth")
  decoding(recordings / "reference-tiny.npz", HERE / "decoding.npz", tokens, words)
  training(recordings / "training-tiny.npz", HERE / "training.npz")
  exemplars(recordings / "exemplars", HERE / "exemplars")
  captions(recordings / "tokenizer-500.json", HERE / "captions.json")


if __name__ == "__main__":
  main()

"""The commands' options: every name, default and explanation, once.

A file in `configs/` returns one of these; on the command line every field is a flag.
"""

import dataclasses
from typing import Any


def _option(default: Any, text: str) -> Any:
  return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass
class Describe:
  """Describes the units of a network, or of a directory of exemplars."""

  workdir: str = _option("runs/describe", "folder for everything that is written")
  model: str = _option(
    "efficientnet-lite0",
    "network to describe: a backbone's name; an ONNX file (.onnx) or a program that "
    "torch exported (.pt2); transformers:NAME or the folder of a transformers model; "
    "or package.module:name of a torch, Flax or other model, or of a function that "
    "makes one",
  )
  weights: str = _option(
    "", "state dict of the network (.pth, .pt, .safetensors); empty: the packaged one"
  )
  image_size: str = _option(
    "",
    "size of the network's images, in pixels: 224, or HEIGHTxWIDTH such as 128x64; "
    "empty: its own, or 224",
  )
  mean: str = _option(
    "",
    "subtracted from the colours, R,G,B from 0 to 1, or as many numbers as the "
    "network's images have channels; empty: its own, or ImageNet's",
  )
  std: str = _option(
    "", "the colours are divided by it, R,G,B from 0 to 1; empty: as for mean"
  )
  layouts: str = _option(
    "",
    "how layers' arrays are read where the guess that --list_layers shows is wrong: "
    "GLOB=LAYOUT, comma-separated, such as encoder*=NLC:special=1 (docs/probing.md)",
  )
  before_clip: bool = _option(
    True,
    "read clipped activations (ReLU6) before their upper clip where it can be seen",
  )
  torch_device: str = _option(
    "", "where torch modules run; empty: cuda where there is one, else cpu"
  )
  images: str = _option(
    "",
    "images to show: a folder, an .npy or .npz file, tfds:NAME or tfds:FOLDER, "
    "hf:FOLDER; empty: photographs that come inside packages",
  )
  split: str = _option(
    "", "split of a data set's images; empty: train of tfds:, the only one of hf:"
  )
  data_dir: str = _option("", "where tfds:NAME was prepared; empty: tfds's own folder")
  fit: str = _option(
    "",
    "what is done to images: resize-crop, resize (to the network's size, whatever "
    "their proportions) or none; empty: resize-crop, but for images that have the "
    "network's size, which are taken as they are",
  )
  latents: str = _option(
    "", "for a generator: .npz file of its latents, and classes, in place of images"
  )
  image_range: str = _option(
    "-1,1", "least and greatest value of the images that a generator returns"
  )
  exemplars: str = _option(
    "", "describe this exemplar directory instead of a network over images"
  )
  features: str = _option(
    "",
    "describe this features folder of an earlier run instead: no images, no page",
  )
  layers: str = _option(
    "",
    "layers to describe: names, globs or indices, comma-separated (a name that holds "
    "commas as it is); empty: the default ones",
  )
  units: str = _option(
    "",
    "units of each layer: a range 0:64, a list 3,5,9, a file, or all; empty: all, but "
    "the first 32 when no images are named",
  )
  k: int = _option(15, "exemplars per unit; at least so many images are needed")
  quantile: float = _option(0.99, "quantile of a unit's activations that masks exceed")
  probe_batch_size: int = _option(
    32, "images that go through one device of the network together"
  )
  workers: int = _option(
    -1, "processes that decode images; 0: threads; -1: what suits the images"
  )
  save_every: float = _option(30.0, "seconds between saves of the pass over the images")
  milan: str = _option(
    "starter", "captioner: a packaged or official key, or a released folder"
  )
  strategy: str = _option(
    "", "greedy, sample, beam or rerank; empty: the captioner's own"
  )
  mi: bool | None = _option(
    None,
    "score each token by mutual information (greedy, sample and beam); not given: as "
    "the original does with --parity, where the captioner has a language model, else "
    "not",
  )
  temperature: float = _option(
    -1.0, "weight of the language model; negative: the captioner's own"
  )
  consensus: float = _option(
    -1.0, "weight of the hypotheses' consensus (rerank); negative: the captioner's own"
  )
  beam_size: int = _option(0, "hypotheses per unit; 0: the captioner's own")
  length: int = _option(0, "most tokens of a description; 0: the captioner's own")
  encoder_precision: str = _option(
    "float32", "how the encoder's products round: float32 or bfloat16"
  )
  batch_size: int = _option(64, "units decoded together")
  precision: str = _option(
    "float32",
    "how products round: float32, tensorfloat32 (where the device has it) or bfloat16",
  )
  parity: bool = _option(
    False, "match the original's scores exactly, its counting errors included"
  )
  seed: int = _option(0, "seed of the strategy `sample`")
  coordinator: str = _option(
    "",
    "HOST:PORT of the first of several processes that work together, the same for all; "
    "each is started with all the same options but --process_id, and can reach workdir",
  )
  num_processes: int = _option(1, "how many processes there are")
  process_id: int = _option(0, "which of them this is; 0 writes")
  page: bool = _option(True, "write the page index.html")
  list_layers: bool = _option(
    False, "print the network's layers with their shapes and numbers of units, and exit"
  )


@dataclasses.dataclass
class Train:
  """Trains a captioner and its language model on annotated exemplars."""

  workdir: str = _option("runs/train", "folder for everything that is written")
  exemplars: str = _option("", "exemplar directory: a native store or the original's")
  annotations: str = _option(
    "", "CSV with columns layer,unit,summary; empty: the exemplars' annotations.csv"
  )
  split: str = _option(
    "",
    "CSV with columns layer,unit,split (train, validation or test); empty: the "
    "exemplars' split.csv or, without one, at random",
  )
  encoder: str = _option("efficientnet-lite0", "backbone whose activations are pooled")
  encoder_weights: str = _option(
    "", "its state dict (.pth, .pt, .safetensors); empty: the packaged one"
  )
  encoder_layers: str = _option(
    "", "its layers, names or globs, comma-separated; empty: the default ones"
  )
  projection: str = _option(
    "",
    "principal components to keep of each encoder layer, comma-separated; empty: the "
    "captioner sees the features as they are pooled",
  )
  whitening: float = _option(
    0.5, "power of their deviation that the components are divided by"
  )
  batch_size: int = _option(64, "captions per step of the captioner")
  lm_batch_size: int = _option(128, "captions per step of the language model")
  hidden_size: int = _option(512, "size of the captioner's state")
  embedding_size: int = _option(128, "size of its word embeddings")
  lm_hidden_size: int = _option(512, "size of the language model's states")
  lm_embedding_size: int = _option(128, "size of its word embeddings")
  lm_layers: int = _option(2, "layers of the language model")
  dropout: float = _option(0.5, "rate of dropout")
  feature_noise: float = _option(
    0.0, "deviation of noise on the features in training, in the projection's scale"
  )
  resample_regions: bool = _option(
    False, "draw a unit's regions with replacement in training"
  )
  stray_regions: float = _option(
    0.0, "most of a unit's regions that others' take the place of in training, 0 to 1"
  )
  learning_rate: float = _option(1e-3, "AdamW's learning rate")
  cosine_decay: bool = _option(
    False, "let the learning rate fall to 0 along a cosine in max_epochs"
  )
  weight_decay: float = _option(1e-2, "AdamW's weight decay")
  max_epochs: int = _option(100, "most epochs")
  stop_by: str = _option(
    "nll",
    "what stops the captioner and picks its epoch, over the validation part: nll (of a "
    "token), or bleu (of greedy captions), as in the original",
  )
  patience: int = _option(
    4, "epochs without improvement that are borne; the next one stops"
  )
  validation_fraction: float = _option(0.1, "share of the units to stop by")
  test_fraction: float = _option(0.1, "share of the units that is only reported")
  min_count: int = _option(1, "times that a word must be seen to enter the vocabulary")
  length: int = _option(0, "most tokens of a caption; 0: the longest caption's")
  seed: int = _option(0, "seed of the split, the weights, the order and the dropout")
  checkpoint_every: int = _option(500, "steps between checkpoints")
  temperature: float = _option(
    0.2, "weight of the language model that the release proposes for decoding"
  )
  consensus: float = _option(
    0.0, "weight of the hypotheses' consensus that the release proposes for decoding"
  )
  release_dtype: str = _option("float32", "of the released weights, or float16")
  about: str = _option("", "what the release says of itself")


@dataclasses.dataclass
class Corpus:
  """Builds annotated regions of known meaning from photographs and packages."""

  workdir: str = _option("runs/corpus", "folder to build the corpus in")
  images: str = _option("", "folder of photographs")
  packages: str = _option(
    "runs/packages",
    "folder for the Debian packages that hold cut-outs, named photographs and "
    "textures, fetched through apt-get where they are not there; none: photographs "
    "alone, which makes a smaller corpus",
  )
  num_units: int = _option(12000, "region sets to build")
  seed: int = _option(0, "seed of every draw")


@dataclasses.dataclass
class Bench:
  """Measures decoding: ours, and in the same run the published way in torch."""

  strategies: str = _option("greedy,rerank", "of greedy, beam, rerank")
  batches: str = _option("1,16,64", "units decoded together")
  beams: str = _option("50", "hypotheses per unit")
  lengths: str = _option("15", "most tokens of a description")
  vocabs: str = _option("5000", "tokens, specials included, of the random captioner")
  dtypes: str = _option("float32,bfloat16", "of float32, tensorfloat32, bfloat16")
  devices: str = _option(
    "1", "devices a batch is spread over; on a CPU they are simulated"
  )
  cores: int = _option(1, "cores that each contender may use; 0: all")
  rounds: int = _option(3, "turns of each contender; its fastest counts")
  against: str = _option(
    "auto",
    "other contenders: textbook, hoisted or none; auto: both where torch is installed",
  )
  milan: str = _option(
    "peaked",
    "captioner: peaked (random weights of the paper's sizes), a packaged or official "
    "key, or a released folder",
  )
  features: str = _option(
    "", "features for a captioner that is not peaked: the features folder of a run"
  )
  hidden_size: int = _option(512, "size of the random models' states")
  json: str = _option("", "file for the rows; kept while the run goes on")
  plot: str = _option("", "PNG file for a plot")
  compare: str = _option("", "JSON file of an earlier run to compare with")


@dataclasses.dataclass
class Eval:
  """Tests a captioner on units whose truth is known."""

  workdir: str = _option("runs/eval", "folder for everything that is written")
  milan: str = _option(
    "starter", "captioner: a packaged or official key, or a released folder"
  )
  images: str = _option(
    "",
    "folder of photographs, named as n01440764_tench.jpg for the test of classes; "
    "those that the captioner was trained on are left out",
  )
  corpus: str = _option(
    "", "folder that milan-corpus built, for the region sets that it held out"
  )
  corpus_features: str = _option(
    "",
    "features folder of the run that trained on the corpus, for the nearest neighbor",
  )
  tests: str = _option(
    "",
    "of planted, classes, stem, hand_built, vgg16, lite0, negatives; empty: all",
  )
  json: str = _option("", "file for the figures")
  plot: str = _option("", "PNG file for a plot of confidence against what is right")
  page: bool = _option(True, "write the page misses/index.html, with every miss")
  seed: int = _option(0, "seed of lettering and of the regions of nothing")


@dataclasses.dataclass
class Convert:
  """Turns an official checkpoint into the released format: CHECKPOINT OUT_DIR."""

"""The options of `milan-describe`."""

import dataclasses
import math

from milan_jax._src.errors import UserError
from milan_jax._src.options.decoding import (
  PRECISIONS,
  STRATEGIES,
  Decoding,
)
from milan_jax._src.options.fields import Checked, Options, option
from milan_jax._src.options.process_group import ProcessOptions

FITS = ("resize-crop", "resize", "none")
TAILS = ("auto", "upper", "lower", "both")


@dataclasses.dataclass(frozen=True, slots=True)
class ModelOptions(Checked):
  """The network to describe, and how to read it."""

  name: str = option(
    "efficientnet-lite0",
    "network to describe: a backbone's name; an ONNX file (.onnx) or a program that "
    "torch exported (.pt2); transformers:NAME or the folder of a transformers model; "
    "or package.module:name of a torch, Flax or other model, or of a function that "
    "makes one",
    flag="model",
  )
  weights: str | None = option(
    None,
    "state dict of the network (.pth, .pt, .safetensors); default: the packaged one",
  )
  image_size: str | None = option(
    None,
    "size of the network's images, in pixels: 224, or HEIGHTxWIDTH such as 128x64; "
    "default: its own, or 224",
    separator="x",
  )
  mean: str | None = option(
    None,
    "mean of the colors, subtracted: R,G,B from 0 to 1, or as many numbers as the "
    "network's images have channels; default: its own, or ImageNet's",
    separator=",",
  )
  std: str | None = option(
    None,
    "standard deviation that divides the colors, R,G,B from 0 to 1; default: as for "
    "mean",
    separator=",",
  )
  layouts: str | None = option(
    None,
    "layouts of layers' arrays, where the guess that --list_layers shows is wrong: "
    "GLOB=LAYOUT, comma-separated, such as encoder*=NLC:special=1 (docs/probing.md)",
    separator=",",
  )
  before_clip: bool = option(
    True,
    "read clipped activations (ReLU6) before their upper clip where possible",
  )
  torch_device: str | None = option(
    None, "where torch modules run; default: cuda where there is one, else cpu"
  )
  image_range: str = option(
    "-1,1",
    "lowest and highest value of the images that a generator returns",
    separator=",",
  )


@dataclasses.dataclass(frozen=True, slots=True)
class ImageOptions(Checked):
  """The images that the network is shown."""

  source: str | None = option(
    None,
    "images to show: a folder, an .npy or .npz file, tfds:NAME or tfds:FOLDER, "
    "hf:FOLDER; default: the packaged photographs",
    flag="images",
  )
  split: str | None = option(
    None, "split of a data set; default: train of tfds:, the only one of hf:"
  )
  data_dir: str | None = option(
    None, "where tfds:NAME was prepared; default: tfds's own folder"
  )
  fit: str | None = option(
    None,
    "how images are resized to the network's size: resize-crop, resize (without "
    "keeping their proportions) or none; default: resize-crop, but images that have "
    "the network's size are used unchanged",
    choices=FITS,
  )
  latents: str | None = option(
    None, "for a generator: .npz file of its latents, and classes, in place of images"
  )


@dataclasses.dataclass(frozen=True, slots=True)
class ExemplarOptions(Checked):
  """Which units are described, and how their exemplars are collected."""

  folder: str | None = option(
    None,
    "describe this exemplar directory instead of a network over images",
    flag="exemplars",
  )
  features: str | None = option(
    None,
    "describe this features folder of an earlier run instead: no images, no page",
  )
  layers: str | None = option(
    None,
    "layers to describe: names, globs or indices, comma-separated (a name with "
    "commas is accepted); default: the network's default layers",
    separator=",",
  )
  units: str | None = option(
    None,
    "units of each layer: a range 0:64, a list 3,5,9, a file, or all; default: all, or "
    "the first 32 when no images are named",
    separator=",",
  )
  k: int = option(15, "exemplars per unit; at least that many images are needed")
  quantile: float = option(
    0.99, "quantile of a unit's activations that masks exceed, between 0 and 1"
  )
  tail: str | None = option(
    None,
    "what a unit is described by: upper, what raises it; lower, what lowers it; both; "
    "auto, what lowers it if it rests at its maximum, else what raises it; default: "
    "auto, or upper with --parity",
    choices=TAILS,
  )
  batch_size: int = option(
    32,
    "images per batch on each device that runs the network",
    flag="probe_batch_size",
  )
  workers: int = option(
    -1, "processes that decode images; 0: threads; -1: what suits the images"
  )
  save_every: float = option(30.0, "seconds between saves while images are processed")

  def _check_ranges(self) -> None:
    checks = (
      ("k", self.k, self.k >= 1, "1 or more"),
      ("quantile", self.quantile, 0 < self.quantile < 1, "between 0 and 1"),
      ("probe_batch_size", self.batch_size, self.batch_size >= 1, "1 or more"),
      ("workers", self.workers, self.workers >= -1, "-1, 0 or more"),
    )
    for name, value, fits, expected in checks:
      if not fits:
        raise UserError(f"--{name}={value}: expected {expected}.")


@dataclasses.dataclass(frozen=True, slots=True)
class CaptionerOptions(Checked):
  """The captioner."""

  name: str = option(
    "starter",
    "captioner: a packaged or official key, or a released folder",
    flag="milan",
    remote=True,
  )
  encoder_precision: str = option(
    "float32",
    "precision of the encoder's matrix products",
    choices=("float32", "bfloat16"),
  )


@dataclasses.dataclass(frozen=True, slots=True)
class DecodingOptions(Checked):
  """How descriptions are searched for.

  Example:
    >>> options = milan_jax.DecodingOptions(strategy="beam", beam_size=3)
    >>> captioner.resolve(options).beam_size
    3
  """

  strategy: str | None = option(
    None, "search strategy; default: the captioner's own", choices=STRATEGIES
  )
  mi: bool | None = option(
    None,
    "score each token by mutual information (greedy, sample and beam); default: as "
    "the original does with --parity, where the captioner has a language model, else "
    "not",
  )
  temperature: float | None = option(
    None,
    "weight of the language model (rerank and --mi); default: the captioner's own",
  )
  consensus: float | None = option(
    None,
    "weight of the hypotheses' consensus, an MBR term (rerank); default: the "
    "captioner's own",
  )
  word_weight: float | None = option(
    None,
    "weight of the word detectors (rerank); default: the captioner's own",
  )
  coverage: float | None = option(
    None,
    "weight of words that the detectors are nearly certain of (rerank); default: the "
    "captioner's own",
  )
  floor: float | None = option(
    None,
    "leave out hypotheses with a token less likely than e^-floor under the language "
    "model, where others exist (rerank); 0 for none; default: the captioner's own",
  )
  lm_stop: bool | None = option(
    None,
    "count the language model's probability of the stop (rerank); default: the "
    "captioner's own",
  )
  repeats: bool | None = option(
    None,
    "let a description repeat a content word (rerank); default: the captioner's own",
  )
  beam_size: int | None = option(
    None, "hypotheses per unit (beam and rerank); default: the captioner's own"
  )
  length: int | None = option(
    None, "maximum tokens of a description; default: the captioner's own"
  )
  batch_size: int = option(64, "units decoded together")
  precision: str = option(
    "float32",
    "precision of matrix products; tensorfloat32 where the device has it",
    choices=PRECISIONS,
  )
  parity: bool = option(
    False, "match the original's scores exactly, including its counting errors"
  )
  seed: int | None = option(None, "seed of the strategy `sample`; default: 0")

  def _check_ranges(self) -> None:
    for name in ("batch_size", "beam_size", "length"):
      value = getattr(self, name)
      if value is not None and value < 1:
        raise UserError(f"--{name}: expected 1 or more; found {value}.")
    for name in ("temperature", "consensus", "word_weight", "coverage", "floor"):
      value = getattr(self, name)
      if value is not None and not 0 <= value < math.inf:  # nor NaN
        raise UserError(f"--{name}: expected 0 or more; found {value:g}.")
    limit = 2**31
    if self.seed is not None and not -limit <= self.seed < limit:
      raise UserError(f"--seed={self.seed}: expected {-limit} to {limit - 1}.")

  def resolve(self, own: Decoding, *, language_model: bool) -> Decoding:
    """How to decode: a captioner's own way, but for what these options set.

    Args:
      own: the captioner's own way.
      language_model: whether the captioner has a language model.

    Raises:
      UserError: an option that the strategy would ignore, or a value out of its range.
    """
    strategy = self.strategy or (own.strategy if language_model else "beam")
    mi = self.mi
    if mi is None:
      # As the original does by default in every search that goes token by token.
      mi = self.parity and strategy != "rerank" and language_model
    self._check_used(strategy, mi)
    consensus, floor, lm_stop = self.consensus, self.floor, self.lm_stop
    reranks = strategy == "rerank" and not self.parity
    if consensus is None:
      consensus = own.consensus if reranks else 0.0
    word_weight = self.word_weight
    if word_weight is None:
      word_weight = own.word_weight if reranks else 0.0
    coverage = self.coverage
    if coverage is None:
      coverage = own.coverage if reranks else 0.0
    if floor is None:
      floor = own.floor if reranks else 0.0
    if lm_stop is None:
      lm_stop = own.lm_stop or not reranks
    repeats = self.repeats
    if repeats is None:
      repeats = own.repeats or not reranks
    return Decoding(
      strategy=strategy,
      length=own.length if self.length is None else self.length,
      beam_size=own.beam_size if self.beam_size is None else self.beam_size,
      temperature=own.temperature if self.temperature is None else self.temperature,
      consensus=consensus,
      word_weight=word_weight,
      coverage=coverage,
      floor=floor,
      lm_stop=lm_stop,
      repeats=repeats,
      nothing=own.nothing,
      guarded=own.guarded and not self.parity,
      mi=mi,
      parity=self.parity,
      precision=self.precision,
    )

  def _check_used(self, strategy: str, mi: bool) -> None:
    """Refuses an option that the strategy would ignore."""
    rerank, beams = strategy == "rerank", strategy in ("rerank", "beam")
    ignored = (
      ("temperature", self.temperature, rerank or mi, "add --mi, or take rerank"),
      ("mi", self.mi or None, not rerank, "rerank scores whole descriptions by it"),
      ("beam_size", self.beam_size, beams, "beam and rerank keep a beam"),
      ("seed", self.seed, strategy == "sample", "only sample draws"),
      ("consensus", self.consensus or None, rerank, "only rerank has it"),
      ("word_weight", self.word_weight or None, rerank, "only rerank has it"),
      ("coverage", self.coverage or None, rerank, "only rerank has it"),
      ("floor", self.floor or None, rerank, "only rerank has it"),
      ("lm_stop", self.lm_stop, rerank, "only rerank has it"),
      ("repeats", self.repeats, rerank, "only rerank has it"),
    )
    for name, value, used, reason in ignored:
      if value is not None and not used:
        raise UserError(
          f"--{name}: --strategy {strategy} does not use it ({reason}); leave it out."
        )


@dataclasses.dataclass(frozen=True, slots=True)
class RunOptions(ProcessOptions):
  """The run: where it writes, and who takes part."""

  workdir: str = option("runs/describe", "folder for everything that is written")
  page: bool = option(True, "write the page index.html")
  list_layers: bool = option(
    False, "print the network's layers with their shapes and numbers of units, and exit"
  )
  show: str | None = option(
    None,
    "LAYER/UNIT, such as layer3/17 (layer3/17-off for what lowers it): write the "
    "regions and the description of this unit of the finished run in --workdir as a "
    "PNG file, print its path, and exit",
  )


@dataclasses.dataclass(frozen=True, slots=True)
class DescribeOptions(Options):
  """Describes the units of a network, or of a directory of exemplars.

  Example:
    >>> options = milan_jax.DescribeOptions.of(model="resnet18", strategy="beam")
    >>> options.model.name, options.decoding.strategy
    ('resnet18', 'beam')
  """

  model: ModelOptions = dataclasses.field(default_factory=ModelOptions)
  images: ImageOptions = dataclasses.field(default_factory=ImageOptions)
  exemplars: ExemplarOptions = dataclasses.field(default_factory=ExemplarOptions)
  captioner: CaptionerOptions = dataclasses.field(default_factory=CaptionerOptions)
  decoding: DecodingOptions = dataclasses.field(default_factory=DecodingOptions)
  run: RunOptions = dataclasses.field(default_factory=RunOptions)

"""The options of `milan-train`."""

import dataclasses

from milan_jax._src.options.fields import Checked, Options, option
from milan_jax._src.options.process_group import ProcessOptions

CRITERIA = ("nll", "bleu")
UPDATE_RULES = ("adamw", "lamb")
RATE_SCALINGS = ("none", "linear", "sqrt")
ORDERS = ("length", "random")
LM_ARCHITECTURES = ("lstm", "transformer")
COMPUTE_DTYPES = ("float32", "bfloat16")
# The largest of numbers without another limit.
MANY = 2**31 - 1


@dataclasses.dataclass(frozen=True, slots=True)
class SetOptions(Checked):
  """Annotated exemplars."""

  exemplars: str | None = option(
    None,
    "exemplar directory, a native store or the original's; or several, "
    "comma-separated, each with its annotations.csv, and all or none with split.csv",
    remote=True,
    separator=",",
  )
  data: str | None = option(
    None,
    "networks or groups of MILANNOTATIONS (alexnet/imagenet, base, "
    "not-alexnet-imagenet) or folders, comma-separated, in place of --exemplars; "
    "downloaded if missing",
    separator=",",
  )
  data_root: str | None = option(
    None,
    "folder of these networks, as MODEL/DATASET; default: milannotations in the cache",
  )
  annotations: str | None = option(
    None, "CSV with columns layer,unit,summary; default: the exemplars' annotations.csv"
  )
  split: str | None = option(
    None,
    "CSV with columns layer,unit,split (train, validation or test); default: the "
    "exemplars' split.csv or, without one, at random",
  )
  min_annotations: int = option(
    1, "minimum number of annotations of a unit; others are left out"
  )
  max_annotations: int | None = option(
    None, "how many annotations of a unit are used, the first ones; default: all"
  )


@dataclasses.dataclass(frozen=True, slots=True)
class DataOptions(SetOptions):
  """What the captioner is trained on."""

  features: str | None = option(
    None,
    "folder that milan-features wrote, local or remote (gs://), in place of "
    "--exemplars",
    remote=True,
  )
  validation_fraction: float = option(
    0.1, "fraction of the units used for early stopping"
  )
  test_fraction: float = option(0.1, "fraction of the units for the final report only")
  repeat: str | None = option(
    None,
    "how many times an epoch uses the captions of each directory, comma-separated "
    "whole numbers, or one number for all; default: once",
    separator=",",
  )
  min_count: int = option(
    1, "minimum number of occurrences of a word in the vocabulary", least=1, most=MANY
  )
  length: int | None = option(
    None,
    "maximum tokens of a caption; default: the longest caption's",
    least=1,
    most=MANY,
  )
  feature_noise: float = option(
    0.0,
    "standard deviation of noise on the features in training, in the projection's "
    "scale",
    least=0,
    most=1e6,
  )
  resample_regions: bool = option(
    False, "draw a unit's regions with replacement in training"
  )
  stray_regions: float = option(
    0.0,
    "maximum fraction of a unit's regions replaced by other units' regions in "
    "training, 0 to 1",
    least=0,
    most=1,
  )


@dataclasses.dataclass(frozen=True, slots=True)
class EncoderOptions(Checked):
  """The encoder."""

  encoder: str = option("efficientnet-lite0", "backbone whose activations are pooled")
  encoder_weights: str | None = option(
    None, "its state dict (.pth, .pt, .safetensors); default: the packaged one"
  )
  encoder_layers: str | None = option(
    None,
    "its layers, names or globs, comma-separated; default: its default layers",
    separator=",",
  )
  pooling: str = option(
    "inside",
    "features of a region: inside, the average over the region, as in the original; "
    "placed, the average weighted by area, and the region's area, shape and place",
    choices=("inside", "placed"),
  )


@dataclasses.dataclass(frozen=True, slots=True)
class NetworkOptions(EncoderOptions):
  """The encoder, the captioner and the language model."""

  projection: str | None = option(
    None,
    "principal components to keep of each encoder layer (and of the geometry, with "
    "--pooling=placed), comma-separated; default: the captioner sees the features as "
    "they are pooled",
    separator=",",
  )
  whitening: float = option(
    0.5,
    "power of the components' standard deviation that divides them, 0 to 1",
    least=0,
    most=1,
  )
  hidden_size: int = option(512, "size of the captioner's state", least=1, most=2**16)
  embedding_size: int = option(128, "size of its word embeddings", least=1, most=2**16)
  attention_size: int | None = option(
    None,
    "size of its attention's hidden layer; default: the smaller of hidden_size and "
    "the features' size, as in the original",
    least=1,
    most=2**16,
  )
  lm_architecture: str = option(
    "lstm",
    "the language model: lstm, as in the original, or transformer",
    choices=LM_ARCHITECTURES,
  )
  lm_hidden_size: int = option(
    512, "size of the language model's states", least=1, most=2**16
  )
  lm_embedding_size: int = option(
    128, "size of its word embeddings", least=1, most=2**16
  )
  lm_layers: int = option(2, "layers of the language model", least=1, most=64)
  dropout: float = option(0.5, "dropout rate of all models", least=0, most=0.99)


@dataclasses.dataclass(frozen=True, slots=True)
class OptimizerOptions(Checked):
  """The optimizer, and when it stops."""

  batch_size: int = option(
    64,
    "captions per step of the captioner, and units per step of the word detectors",
    least=1,
    most=2**20,
  )
  lm_batch_size: int = option(
    128, "captions per step of the language model", least=1, most=2**20
  )
  order: str = option(
    "length",
    "order of the captions of an epoch: length, shuffled batches of captions of "
    "similar lengths, which need less padding; random, shuffled captions, as in the "
    "original",
    choices=ORDERS,
  )
  update_rule: str = option(
    "adamw",
    "optimizer: adamw, as in the original, or lamb, for large batches",
    choices=UPDATE_RULES,
  )
  learning_rate: float = option(
    1e-3, "the learning rate, the largest of its schedule", least=1e-12, most=1e6
  )
  rate_scaling: str = option(
    "none",
    "scale the learning rate by the captions per update divided by those of the base: "
    "none, linear, or sqrt, by the square root",
    choices=RATE_SCALINGS,
  )
  base_batch_size: int = option(
    64,
    "captions per update of the captioner, and units per update of the word "
    "detectors, for which learning_rate is meant",
    least=1,
    most=2**20,
  )
  lm_base_batch_size: int = option(
    128, "the same of the language model", least=1, most=2**20
  )
  warmup_steps: int = option(
    0,
    "updates in which the learning rate rises linearly to its value",
    least=0,
    most=MANY,
  )
  clip_norm: float | None = option(
    None,
    "largest global norm of an update's gradient; default: no limit",
    least=1e-12,
    most=1e12,
  )
  accumulate_steps: int = option(
    1, "steps whose mean gradient is one update", least=1, most=2**20
  )
  cosine_decay: bool = option(
    False, "decay the learning rate to 0 along a cosine in max_epochs"
  )
  weight_decay: float = option(1e-2, "the weight decay", least=0, most=1e6)
  compute_dtype: str = option(
    "float32",
    "type that the operands of matrix products are rounded to in training; sums, "
    "weights and the optimizer's state are float32",
    choices=COMPUTE_DTYPES,
  )
  max_epochs: int = option(100, "maximum number of epochs", least=1, most=MANY)
  stop_by: str = option(
    "nll",
    "what stops the captioner and picks its epoch, over the validation part: nll (of a "
    "token), or bleu (of greedy captions), as in the original",
    choices=CRITERIA,
  )
  patience: int = option(
    4, "epochs without improvement before stopping", least=0, most=MANY
  )


@dataclasses.dataclass(frozen=True, slots=True)
class ReleaseOptions(Checked):
  """Defaults and description of the released captioner."""

  temperature: float = option(
    0.2,
    "the release's default weight of the language model in decoding",
    least=0,
    most=1e6,
  )
  consensus: float = option(
    0.0,
    "the release's default weight of the hypotheses' consensus in decoding",
    least=0,
    most=1e6,
  )
  word_weight: float = option(
    0.0,
    "the release's default weight of the word detectors in decoding, which are trained "
    "if it is above 0",
    least=0,
    most=1e6,
  )
  word_hidden_size: int = option(
    512,
    "size of each hidden layer of the word detectors, with --word_weight or --coverage "
    "above 0",
    least=1,
    most=2**16,
  )
  word_hidden_layers: int = option(
    1, "number of hidden layers of the word detectors", least=1, most=16
  )
  word_members: int = option(
    1,
    "number of networks that detect words; their probabilities are averaged",
    least=1,
    most=64,
  )
  word_dropout: float | None = option(
    None,
    "dropout rate of the word detectors' hidden layers in training; default: that of "
    "--dropout",
    least=0,
    most=0.99,
  )
  coverage: float = option(
    0.0,
    "the release's default weight of words that the detectors are nearly certain of; "
    "they are trained if it is above 0",
    least=0,
    most=1e6,
  )
  floor: float = option(
    0.0,
    "the release's default floor in decoding: leave out hypotheses with a token less "
    "likely than e^-floor under the language model, where others exist; 0 for none",
    least=0,
    most=1e6,
  )
  lm_stop: bool = option(
    True,
    "count the language model's probability of the stop in the release's "
    "default decoding",
  )
  repeats: bool = option(
    True, "let a description repeat a content word in the release's default decoding"
  )
  dtype: str = option(
    "float32",
    "type of the released weights",
    flag="release_dtype",
    choices=("float32", "float16"),
  )
  about: str | None = option(
    None, "description of the captioner, kept in the release", remote=True
  )

  @property
  def needs_word_detectors(self) -> bool:
    """Whether word detectors are trained."""
    return self.word_weight > 0 or self.coverage > 0


@dataclasses.dataclass(frozen=True, slots=True)
class TrainRunOptions(ProcessOptions):
  """The run: where it writes, its seed, and who takes part."""

  workdir: str = option(
    "runs/train", "folder for everything that is written", remote=True
  )
  seed: int = option(
    0, "seed of the split, the weights, the order and the dropout", least=0, most=MANY
  )
  checkpoint_every: int = option(500, "steps between checkpoints", least=1, most=MANY)
  profile: str | None = option(
    None,
    "START:STEPS: trace STEPS steps of each model, after the first START, into "
    "workdir/profile",
  )
  tensorboard: bool = option(
    False,
    "write each epoch's metrics for TensorBoard into workdir/tensorboard; needs "
    "tensorboardX",
  )
  compile_only: str | None = option(
    None,
    "compile the training steps for a device that this machine may lack, print memory "
    "and collectives, and train nothing: h100, h200, or a TPU topology such as "
    "v5e:16x16; needs no data",
  )


@dataclasses.dataclass(frozen=True, slots=True)
class TrainOptions(Options):
  """Trains a captioner and its language model on annotated exemplars.

  Example:
    >>> milan_jax.TrainOptions.of(hidden_size=64).model.hidden_size
    64
  """

  data: DataOptions = dataclasses.field(default_factory=DataOptions)
  model: NetworkOptions = dataclasses.field(default_factory=NetworkOptions)
  optimizer: OptimizerOptions = dataclasses.field(default_factory=OptimizerOptions)
  release: ReleaseOptions = dataclasses.field(default_factory=ReleaseOptions)
  run: TrainRunOptions = dataclasses.field(default_factory=TrainRunOptions)


@dataclasses.dataclass(frozen=True, slots=True)
class FeaturesRunOptions(Checked):
  """Where features are computed and written."""

  workdir: str = option(
    "runs/features", "folder for the features while they are computed"
  )
  out: str | None = option(
    None,
    "folder for the data set, local or remote (gs://); default: the workdir",
    remote=True,
  )


@dataclasses.dataclass(frozen=True, slots=True)
class FeaturesOptions(Options):
  """Computes features of annotated exemplars once, as a data set for training."""

  data: SetOptions = dataclasses.field(default_factory=SetOptions)
  model: EncoderOptions = dataclasses.field(default_factory=EncoderOptions)
  run: FeaturesRunOptions = dataclasses.field(default_factory=FeaturesRunOptions)

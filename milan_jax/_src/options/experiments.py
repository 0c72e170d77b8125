"""The options of `milan-score`, `milan-generalize` and `milan-sweep`."""

import dataclasses

from milan_jax._src.options.fields import Checked, Options, option
from milan_jax._src.options.train import MANY, NetworkOptions, OptimizerOptions


@dataclasses.dataclass(frozen=True, slots=True)
class MetricOptions(Checked):
  """The text scores."""

  bert_score: str | None = option(
    None,
    "compute BERTScore with this model: a folder with weights and tokenizer, or a name "
    "in Hugging Face's local cache; the paper's is roberta-large",
  )
  bert_layer: int | None = option(
    None, "layer of its embeddings; default: 17, that of roberta-large", least=1
  )
  bert_baseline: str | None = option(
    None,
    "CSV with columns LAYER,P,R,F to rescale BERTScore by; default: that of "
    "roberta-large, and none for other models",
  )
  parity: bool = option(
    False,
    "BLEU: use only as many references of each unit as every unit has, as the original "
    "does",
  )
  draws: int = option(
    1000, "bootstrap samples of the units, for the intervals", least=1
  )


@dataclasses.dataclass(frozen=True, slots=True)
class ScoredOptions(Checked):
  """The descriptions, and what people wrote."""

  descriptions: str | None = option(
    None,
    "CSV with columns layer,unit,description, such as descriptions.csv of a run; or "
    "several of the same units, comma-separated",
  )
  annotations: str | None = option(
    None, "CSV with columns layer,unit,summary, or a folder that holds annotations.csv"
  )
  split: str | None = option(
    None,
    "CSV with columns layer,unit,split: only units of the test part are scored; "
    "default: split.csv of the folder of annotations or, without one, all units are "
    "scored",
  )


@dataclasses.dataclass(frozen=True, slots=True)
class ScoreOptions(Options):
  """Scores descriptions against annotations: BLEU, ROUGE and BERTScore.

  The scores of a constant caption and of shuffled units are in the same table.
  """

  data: ScoredOptions = dataclasses.field(default_factory=ScoredOptions)
  metrics: MetricOptions = dataclasses.field(default_factory=MetricOptions)
  seed: int = option(
    0, "seed of the bootstrap samples and of the shuffled units", least=0
  )
  json: str | None = option(None, "file for the scores")


@dataclasses.dataclass(frozen=True, slots=True)
class SetsOptions(Checked):
  """The annotated networks."""

  data: str | None = option(
    None,
    "networks or groups of MILANNOTATIONS (alexnet/imagenet, base) or folders of "
    "annotated exemplars, comma-separated; downloaded if missing",
    separator=",",
  )
  data_root: str | None = option(
    None,
    "folder of these networks, as MODEL/DATASET; default: milannotations in the cache",
  )
  units: int | None = option(
    None,
    "use as many units of each network, drawn with the seed; default: all",
    least=3,
  )
  min_annotations: int = option(
    1, "minimum number of annotations of a unit; others are left out"
  )
  max_annotations: int | None = option(
    None, "how many annotations of a unit are used, the first ones; default: all"
  )


@dataclasses.dataclass(frozen=True, slots=True)
class SearchOptions(Checked):
  """The search for descriptions."""

  beam_size: int = option(
    50, "hypotheses per unit of the search with the two models", least=1
  )
  temperature: float = option(0.2, "weight of the language model", least=0)
  length: int = option(15, "maximum tokens of a description", least=1)
  decoding_batch_size: int = option(64, "units decoded together", least=1)


@dataclasses.dataclass(frozen=True, slots=True)
class ExperimentRunOptions(Checked):
  """The run: where it writes, and its seed."""

  workdir: str = option("runs/generalize", "folder for everything that is written")
  seed: int = option(
    0,
    "seed of the units drawn, the splits, the training and the bootstrap samples",
    least=0,
    most=MANY,
  )
  trials: int = option(
    5, "captioners trained for each experiment, from other seeds", least=1
  )
  checkpoint_every: int = option(500, "steps between checkpoints", least=1, most=MANY)


@dataclasses.dataclass(frozen=True, slots=True)
class GeneralizationOptions(Checked):
  """The experiments, and what is reported."""

  experiments: str | None = option(
    None,
    "within-network, across-architecture, across-dataset, across-task, leave-one-out, "
    "train-on-one, across-network, comma-separated; default: all that the networks "
    "allow but across-network",
    separator=",",
  )
  test_fraction: float = option(
    0.1, "fraction of a network's units that are tested on, within a network"
  )
  validation_fraction: float = option(
    0.1, "fraction of the training networks' units used for early stopping"
  )
  within_patience: int | None = option(
    None, "patience within a network; default: patience"
  )
  worst: int = option(
    8,
    "units of each experiment on the page of the worst descriptions; 0 for no page",
    least=0,
  )


@dataclasses.dataclass(frozen=True, slots=True)
class GeneralizeOptions(Options):
  """Trains captioners on some annotated networks and tests them on others.

  Example:
    >>> milan_jax.GeneralizeOptions.of(data="base", trials=3).run.trials
    3
  """

  sets: SetsOptions = dataclasses.field(default_factory=SetsOptions)
  generalization: GeneralizationOptions = dataclasses.field(
    default_factory=GeneralizationOptions
  )
  model: NetworkOptions = dataclasses.field(default_factory=NetworkOptions)
  optimizer: OptimizerOptions = dataclasses.field(default_factory=OptimizerOptions)
  search: SearchOptions = dataclasses.field(default_factory=SearchOptions)
  metrics: MetricOptions = dataclasses.field(default_factory=MetricOptions)
  run: ExperimentRunOptions = dataclasses.field(default_factory=ExperimentRunOptions)


@dataclasses.dataclass(frozen=True, slots=True)
class GridOptions(Checked):
  """What is varied; each value is tried at the defaults of the others."""

  encoders: str | None = option(
    None,
    "encoders, comma-separated, each NAME, or NAME=WEIGHTS with its state dict; a "
    "captioner is trained for each; default: that of --encoder",
    separator=",",
  )
  strategies: str = option(
    "greedy,greedy-mi,beam,beam-mi,rerank",
    "strategies, comma-separated: greedy, beam, both with -mi for mutual information "
    "by token, and rerank",
    separator=",",
  )
  beam_sizes: str | None = option(
    None,
    "hypotheses per unit, comma-separated; default: that of --beam_size",
    separator=",",
  )
  temperatures: str | None = option(
    None,
    "weights of the language model, comma-separated; default: that of --temperature",
    separator=",",
  )
  test_fraction: float = option(0.1, "fraction of the units that are tested on")
  validation_fraction: float = option(
    0.1, "fraction of the units that stop the training and choose among the settings"
  )


@dataclasses.dataclass(frozen=True, slots=True)
class SweepRunOptions(Checked):
  """The run: where it writes, and its seed."""

  workdir: str = option("runs/sweep", "folder for everything that is written")
  seed: int = option(
    0,
    "seed of the units drawn, the split, the training and the bootstrap samples",
    least=0,
    most=MANY,
  )
  checkpoint_every: int = option(500, "steps between checkpoints", least=1, most=MANY)


@dataclasses.dataclass(frozen=True, slots=True)
class SweepOptions(Options):
  """Trains a captioner for each encoder and describes with many settings.

  Example:
    >>> milan_jax.SweepOptions.of(temperatures="0.1,0.2").grid.temperatures
    '0.1,0.2'
  """

  sets: SetsOptions = dataclasses.field(default_factory=SetsOptions)
  grid: GridOptions = dataclasses.field(default_factory=GridOptions)
  model: NetworkOptions = dataclasses.field(default_factory=NetworkOptions)
  optimizer: OptimizerOptions = dataclasses.field(default_factory=OptimizerOptions)
  search: SearchOptions = dataclasses.field(default_factory=SearchOptions)
  metrics: MetricOptions = dataclasses.field(default_factory=MetricOptions)
  run: SweepRunOptions = dataclasses.field(default_factory=SweepRunOptions)

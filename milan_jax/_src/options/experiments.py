"""The options of `milan-score`, `milan-generalize` and `milan-sweep`."""

import dataclasses

from milan_jax._src.options.fields import Checked, Options, option


@dataclasses.dataclass(frozen=True, slots=True)
class MetricOptions(Checked):
  """The text scores."""

  bert_score: str | None = option(
    None,
    "compute BERTScore with this model: a folder with weights and tokenizer, or a name "
    "in Hugging Face's local cache; the paper's is roberta-large",
  )
  bert_layer: int | None = option(
    None, "layer of its embeddings; default: 17, that of roberta-large"
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
  draws: int = option(1000, "bootstrap samples of the units, for the intervals")


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
  seed: int = option(0, "seed of the bootstrap samples and of the shuffled units")
  json: str | None = option(None, "file for the scores")

"""The text metrics that options ask for."""

from milan_jax._src.errors import UserError
from milan_jax._src.options.experiments import MetricOptions
from milan_jax._src.scores.bert_score import BertScore, read_baselines
from milan_jax._src.scores.rouge import Rouge
from milan_jax._src.scores.sacre_bleu import SacreBleu
from milan_jax._src.scores.text_metric import TextMetric


def check_metrics(options: MetricOptions) -> None:
  """Checks what can be checked without the metrics' libraries.

  Raises:
    UserError: if an option has no effect, or names a file that cannot be read.
  """
  for flag in ("bert_layer", "bert_baseline"):
    if getattr(options, flag) is not None and not options.bert_score:
      raise UserError(f"--{flag} has no effect without --bert_score.")
  if options.bert_baseline is not None:
    read_baselines(options.bert_baseline)


def make_metrics(options: MetricOptions) -> list[TextMetric]:
  """Returns the metrics, the one that units are ranked by first.

  Raises:
    UserError: if a library or the model of BERTScore is missing, or an option has no
      effect.
  """
  check_metrics(options)
  metrics: list[TextMetric] = [Rouge(), SacreBleu(same_counts=options.parity)]
  if options.bert_score:
    found = BertScore(
      options.bert_score, layer=options.bert_layer, baseline=options.bert_baseline
    )
    metrics.insert(0, found)
  return metrics

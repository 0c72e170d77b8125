"""The ranges of the numbers that a training is given."""

from milan_jax._src.errors import UserError
from milan_jax._src.models.language_models import TRANSFORMER
from milan_jax._src.models.transformer import expected_width, is_width
from milan_jax._src.options.fields import values_of
from milan_jax._src.options.train import TrainOptions

# Ranges of numeric options, both ends included.
_MANY = 2**31 - 1
_BETWEEN = (
  *((name, 1, 2**20) for name in ("batch_size", "lm_batch_size")),
  *((name, 1, 2**16) for name in ("hidden_size", "embedding_size", "attention_size")),
  *((name, 1, 2**16) for name in ("lm_hidden_size", "lm_embedding_size")),
  ("word_hidden_size", 1, 2**16),
  *(("lm_layers", 1, 64), ("max_epochs", 1, _MANY), ("patience", 0, _MANY)),
  *(("min_count", 1, _MANY), ("length", 1, _MANY), ("checkpoint_every", 1, _MANY)),
  *(("seed", 0, _MANY), ("dropout", 0, 0.99), ("stray_regions", 0, 1)),
  *(("feature_noise", 0, 1e6), ("whitening", 0, 1), ("weight_decay", 0, 1e6)),
  *(("learning_rate", 1e-12, 1e6), ("consensus", 0, 1e6), ("temperature", 0, 1e6)),
  *(("floor", 0, 1e6), ("word_weight", 0, 1e6)),
  *(("warmup_steps", 0, _MANY), ("clip_norm", 1e-12, 1e12)),
  *((name, 1, 2**20) for name in ("base_batch_size", "lm_base_batch_size")),
  ("accumulate_steps", 1, 2**20),
)


def check_ranges(options: TrainOptions) -> None:
  """Raises UserError for a number out of its range."""
  values = values_of(options)
  for name, least, largest in _BETWEEN:
    value = values[name]
    if value is not None and not least <= value <= largest:  # also rejects NaN
      raise UserError(f"--{name}: expected {least} to {largest}; found {value}.")
  width = options.model.lm_hidden_size
  if options.model.lm_architecture == TRANSFORMER and not is_width(width):
    raise UserError(
      f"--lm_hidden_size: expected {expected_width(width)}; found {width}."
    )

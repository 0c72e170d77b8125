"""What a training is given that has to fit together."""

from milan_jax._src.errors import UserError
from milan_jax._src.models.language_models import TRANSFORMER
from milan_jax._src.models.transformer import expected_width, is_width
from milan_jax._src.options.train import ReleaseOptions, TrainOptions


def check_ranges(options: TrainOptions) -> None:
  """Raises UserError for numbers that do not fit together."""
  width = options.model.lm_hidden_size
  if options.model.lm_architecture == TRANSFORMER and not is_width(width):
    raise UserError(
      f"--lm_hidden_size: expected {expected_width(width)}; found {width}."
    )
  _check_detectors(options.release)


def _check_detectors(release: ReleaseOptions) -> None:
  """Refuses sizes of word detectors that are not trained."""
  if release.needs_word_detectors:
    return
  defaults = ReleaseOptions()
  sizes = ("word_hidden_size", "word_hidden_layers", "word_members", "word_dropout")
  for name in sizes:
    value = getattr(release, name)
    if value != getattr(defaults, name):
      raise UserError(
        f"--{name}={value:g}: no word detectors are trained without --word_weight or "
        "--coverage above 0: set one of these, or leave it out."
      )

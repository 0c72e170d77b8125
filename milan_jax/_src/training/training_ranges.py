"""What a training is given that has to fit together."""

from milan_jax._src.errors import UserError
from milan_jax._src.models.language_models import TRANSFORMER
from milan_jax._src.models.transformer import expected_width, is_width
from milan_jax._src.options.train import TrainOptions


def check_ranges(options: TrainOptions) -> None:
  """Raises UserError for numbers that do not fit together."""
  width = options.model.lm_hidden_size
  if options.model.lm_architecture == TRANSFORMER and not is_width(width):
    raise UserError(
      f"--lm_hidden_size: expected {expected_width(width)}; found {width}."
    )

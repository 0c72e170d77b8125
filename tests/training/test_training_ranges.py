import pytest

from milan_jax._src.errors import UserError
from milan_jax._src.options.train import TrainOptions
from milan_jax._src.training.training_ranges import check_ranges

SIZES = {
  "word_hidden_size": 64,
  "word_hidden_layers": 2,
  "word_members": 3,
  "word_dropout": 0.0,
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_of_word_detectors_are_not_ignored(name):
  message = rf"^{name}={SIZES[name]:g}: no word detectors are trained without"
  with pytest.raises(UserError, match=message):
    check_ranges(TrainOptions.of(**{name: SIZES[name]}))


@pytest.mark.parametrize("option", ["word_weight", "coverage"])
def test_word_detectors_have_any_size(option):
  check_ranges(TrainOptions.of(**SIZES, **{option: 1.0}))

"""Which options take remote paths, and that the others refuse them."""

import pytest

import milan_jax
from milan_jax._src.options.fields import options_of
from milan_jax._src.options.train import FeaturesOptions, TrainOptions
from tests.options.wrong_values import OPTIONS, raised

# As docs/training.md and docs/milannotations.md state.
REMOTE = {
  ("TrainOptions", "exemplars"),
  ("TrainOptions", "features"),
  ("TrainOptions", "workdir"),
  ("FeaturesOptions", "exemplars"),
  ("FeaturesOptions", "out"),
  ("AnnotatedDataOptions", "out"),
  ("BenchOptions", "milan"),
  ("DescribeOptions", "milan"),
  ("EvalOptions", "milan"),
  ("LocalPageOptions", "milan"),
}
NO_PATHS = {
  ("CatalogOptions", "base_url"),
  ("CatalogOptions", "title"),
  ("DescribeOptions", "coordinator"),
  ("TrainOptions", "about"),
  ("TrainOptions", "coordinator"),
}
TEXTS = [(kind, one) for kind, one in OPTIONS if one.kind is str and not one.choices]


def test_the_options_that_take_remote_paths():
  found = {(kind.__name__, one.flag) for kind, one in TEXTS if one.remote}
  assert found == REMOTE | NO_PATHS


@pytest.mark.parametrize("value", ["gs://bucket/x", "here,s3://bucket/x", "a=gs://b"])
def test_other_options_refuse_remote_paths(value):
  refusing = [(kind, one.flag) for kind, one in TEXTS if not one.remote]
  assert len(refusing) >= 100
  for kind, flag in refusing:
    words = f"--{flag}: expected a path on this machine; found {value!r}"
    assert words in raised(lambda kind=kind, flag=flag: kind.of(**{flag: value}))[1]


@pytest.mark.parametrize("kind", [TrainOptions, FeaturesOptions])
def test_a_colon_alone_is_no_scheme(kind):
  assert "encoder" in options_of(kind)
  assert kind.of(encoder_weights="C:/x.pth").model.encoder_weights == "C:/x.pth"
  assert milan_jax.DescribeOptions.of(images="tfds:x/y").images.source == "tfds:x/y"

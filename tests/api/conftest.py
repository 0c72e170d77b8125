"""What the examples of the public names begin with."""

import pytest

from tests.api.scene import make_scene


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
  """The folder that examples run in, and the names that they may use."""
  folder = tmp_path_factory.mktemp("examples")
  return folder, make_scene(folder)

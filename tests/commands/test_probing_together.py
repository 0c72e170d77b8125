"""However many processes and devices look at the images, the bytes are the same."""

import pytest

from tests.helpers.together import describe_together

# Optimized programs are those that add up in another order for other shapes.
pytestmark = pytest.mark.usefixtures("optimized")
# How many processes look at a model's images; 3 have parts of other lengths.
PROCESSES = {"tiny_linen:linen": 3, "tiny_network:build": 2}


def contents(folder):
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


def flags(model, captioner, photos, workdir):
  return (
    f"--model=tests.helpers.{model}",
    "--layers=0,-1",
    f"--images={photos}",
    f"--milan={captioner}",
    "--k=4",
    "--probe_batch_size=4",
    "--save_every=0",
    "--batch_size=4",
    "--strategy=greedy",
    "--nopage",
    f"--workdir={workdir}",
  )


@pytest.fixture(scope="module", params=list(PROCESSES))
def alone(optimized, request, captioner, photos, tmp_path_factory):
  """A run of one process on one device: its model and its folder."""
  workdir = tmp_path_factory.mktemp("alone") / "run"
  describe_together(1, *flags(request.param, captioner, photos, workdir))
  return request.param, workdir


def test_processes_find_the_same_bytes(alone, captioner, photos, tmp_path):
  model, want = alone
  found = tmp_path / "run"
  describe_together(PROCESSES[model], *flags(model, captioner, photos, found))
  assert contents(found / "exemplars") == contents(want / "exemplars")
  assert contents(found / "features") == contents(want / "features")
  names = {path.name for path in found.iterdir()}
  assert names == {path.name for path in want.iterdir()}
  descriptions = [
    [
      line.split(",")[:3]
      for line in (each / "descriptions.csv").read_text().split("\n")
    ]
    for each in (found, want)
  ]
  assert descriptions[0] == descriptions[1]


def test_devices_find_the_same_bytes(alone, captioner, photos, tmp_path):
  model, want = alone
  if "linen" not in model:
    pytest.skip("torch runs on one device")
  found = tmp_path / "run"
  describe_together(1, *flags(model, captioner, photos, found), devices=8)
  assert contents(found / "exemplars") == contents(want / "exemplars")

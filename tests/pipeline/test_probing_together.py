"""However many processes and devices look at the images, the bytes are the same."""

import pytest

from tests.pipeline.together import describe_together


def contents(folder):
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


def flags(model, captioner, photos, workdir):
  return (
    f"--model=tests.pipeline.{model}",
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


@pytest.fixture(scope="module", params=["tiny_linen:linen", "tiny_network:build"])
def alone(request, captioner, photos, tmp_path_factory):
  """A run of one process on one device: its model and its folder."""
  workdir = tmp_path_factory.mktemp("alone") / "run"
  describe_together(1, *flags(request.param, captioner, photos, workdir))
  return request.param, workdir


@pytest.mark.parametrize("number", [2, 4])
def test_processes_find_the_same_bytes(alone, captioner, photos, tmp_path, number):
  model, want = alone
  if "linen" not in model and number == 2:
    pytest.skip("four are enough for a model of another kind")
  found = tmp_path / "run"
  describe_together(number, *flags(model, captioner, photos, found))
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


@pytest.mark.parametrize("devices", [2, 8])
def test_devices_find_the_same_bytes(alone, captioner, photos, tmp_path, devices):
  model, want = alone
  if "linen" not in model:
    pytest.skip("torch runs on one device")
  found = tmp_path / "run"
  describe_together(1, *flags(model, captioner, photos, found), devices=devices)
  assert contents(found / "exemplars") == contents(want / "exemplars")

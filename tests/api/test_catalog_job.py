"""A catalog of folders of exemplars in the original's layout, from files of people."""

import gzip
import json
import re
import shutil
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from milan_jax._src.api.catalog_job import write_catalog
from milan_jax._src.catalog.distributions import Bins, UnitDistribution
from milan_jax._src.catalog.neuronpedia import write_neuronpedia
from milan_jax._src.catalog.page import Network, PageInfo, PageUnit
from milan_jax._src.errors import UserError
from milan_jax._src.options.catalog import CatalogOptions
from milan_jax._src.records import Unit
from milan_jax._src.store.exemplar_sets import open_exemplars
from tests.helpers import site_data
from tests.helpers.commands import run_here


@pytest.fixture
def folder(tmp_path):
  """Exemplars of one layer with three units, two of them annotated."""
  inside = tmp_path / "net" / "layer4"
  inside.mkdir(parents=True)
  rng = np.random.default_rng(0)
  np.save(inside / "images.npy", rng.integers(0, 256, (3, 2, 3, 16, 16), np.uint8))
  np.save(inside / "masks.npy", rng.integers(0, 2, (3, 2, 1, 16, 16), np.uint8))
  np.savetxt(inside / "activations.csv", [[3, 2], [5, 4], [7, 6]], delimiter=",")
  (tmp_path / "net" / "annotations.csv").write_text(
    "layer,unit,summary\nlayer4,0,a dog\nlayer4,0,an animal\nlayer4,2,the <b>sky</b>\n"
  )
  return tmp_path / "net"


def test_an_annotated_folder_of_the_originals(folder, tmp_path):
  options = CatalogOptions(exemplars=str(folder), out=str(tmp_path / "site"))
  page = write_catalog(options)
  assert page == tmp_path / "site" / "index.html"
  found = site_data.columns(tmp_path / "site")
  assert found["shown"] == ["a dog", "", "the <b>sky</b>"]
  assert found["maximum"].tolist() == [3, 5, 7]
  details = site_data.details(tmp_path / "site")
  assert details[0, 0]["annotations"] == ["a dog", "an animal"]
  assert "annotations" not in details[0, 1]
  facts = site_data.facts(tmp_path / "site")
  assert facts["scores"] == [] and facts["vector_width"] in (0, 4)
  (layer,) = facts["layers"]
  # The second unit is not annotated.
  assert (layer["counts"]["units"], layer["counts"]["described"]) == (3, 2)
  (network,) = facts["networks"]
  assert (network["title"], network["key"]) == ("net", "net")
  assert network["facts"]["Descriptions"] == "annotations"


def test_descriptions_from_elsewhere_are_shown_beside(folder, tmp_path):
  (tmp_path / "cosy.csv").write_text(
    "unit,description,layer\n1,grass,layer4\n2,clouds,layer4\n9,ships,layer9\n"
  )
  write_catalog(
    CatalogOptions(
      exemplars=f"{folder},{folder}",
      descriptions=f"CoSy={tmp_path / 'cosy.csv'}",
      out=str(tmp_path / "site"),
    )
  )
  found = site_data.columns(tmp_path / "site")
  # The first of the two describes, where it has the unit.
  assert found["shown"] == ["a dog", "grass", "clouds"] * 2
  details = site_data.details(tmp_path / "site")
  assert details[0, 2]["others"] == {"CoSy": "clouds"}
  keys = [each["key"] for each in site_data.facts(tmp_path / "site")["networks"]]
  assert keys == ["net", "net%202"]
  table = json.loads((tmp_path / "site" / "catalog.json").read_text())
  assert [unit["network"] for unit in table["units"]] == ["net"] * 3 + ["net%202"] * 3
  assert (tmp_path / "site" / table["units"][3]["images"][0]).is_file()


def test_networks_of_one_name_have_keys_of_their_own(folder, tmp_path):
  second = folder.parent / "other" / "net"
  third = folder.parent / "net 2"
  for each in (second, third):
    shutil.copytree(folder, each)
  out, original = tmp_path / "site", tmp_path / "original"
  write_catalog(
    CatalogOptions(
      exemplars=f"{folder},{third},{second}", out=str(out), original=str(original)
    )
  )
  keys = [each["key"] for each in site_data.facts(out)["networks"]]
  assert keys == ["net", "net%202", "net%203"]
  inside = original / "json" / "net%202"
  data = json.loads((inside / "data.json").read_text())
  # Addresses, relative to the file that has them.
  address = data["units"][0]["images"][0]
  assert (inside / urllib.parse.unquote(address)).is_file()


def test_the_command_writes_a_catalog_of_annotated_exemplars(folder, tmp_path):
  annotations = tmp_path / "people.csv"
  annotations.write_text(
    "unit;summary;layer\n1;wet grass;layer4\n1;a lawn;layer4\n2;;layer4\n"
  )
  flags = (f"--exemplars={folder}", f"--annotations={annotations}")
  found = run_here("catalog", *flags, f"--out={tmp_path / 'site'}")
  assert found.returncode == 2 and "line 4: the summary is empty" in found.stderr
  annotations.write_text(annotations.read_text().replace("2;;", "2;clouds;"))
  found = run_here("catalog", *flags, f"--out={tmp_path / 'site'}")
  assert found.returncode == 0
  assert str(tmp_path / "site" / "index.html") in found.stderr
  # Not those of the folder.
  assert site_data.columns(tmp_path / "site")["shown"] == ["", "wet grass", "clouds"]
  details = site_data.details(tmp_path / "site")
  assert details[0, 1]["annotations"] == ["wet grass", "a lawn"]


@pytest.mark.parametrize(
  ("options", "words"),
  [
    ({"exemplars": None}, "runs, exemplars: expected some folders"),
    ({"exemplars": "nowhere"}, "no folder nowhere"),
    ({"runs": "nowhere", "exemplars": None}, "does not hold a run"),
    ({"annotations": "other.csv"}, "no unit of it is described.*'layer4'"),
    ({"descriptions": "a=other.csv,a=other.csv"}, "a is named twice"),
    ({"descriptions": "missing.csv"}, "missing.csv"),
    (
      {"descriptions": "a=other.csv", "annotations": "own.csv"},
      "a: expected layers such as layer4; found fc",
    ),
    (
      {"descriptions": "a=others.csv", "annotations": "own.csv"},
      r"a: expected units such as layer4/0, layer4/1, layer4/2; found layer4/7, lay",
    ),
    ({"annotations": "others.csv"}, "no unit of it is described"),
    ({"descriptions": "empty.csv"}, "empty.csv has no descriptions"),
    ({"original": "site"}, "original: .* not inside of out, site; found site"),
    ({"neuronpedia": "site/np"}, "neuronpedia: .* not inside of out, site; .*/np"),
    ({"out": "np/site", "neuronpedia": "np"}, "out: .* not inside of neuronpedia"),
    ({"original": "a", "neuronpedia": "./x/../a"}, "neuronpedia: .* original, a;"),
    ({"original": "net"}, "original: net exists already"),
    ({"base_url": "x"}, "base_url: only original uses it"),
  ],
)
def test_what_does_not_fit_is_named(folder, tmp_path, monkeypatch, options, words):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "other.csv").write_text("layer,unit,summary,description\nfc,0,x,x\n")
  (tmp_path / "own.csv").write_text("layer,unit,summary\nlayer4,0,x\n")
  (tmp_path / "others.csv").write_text(
    "layer,unit,summary,description\nlayer4,7,x,x\nlayer4,8,x,x\n"
  )
  (tmp_path / "empty.csv").write_text("layer,unit,description\n")
  given = {"exemplars": str(folder), "out": "site"} | options
  with pytest.raises(UserError, match=words):
    write_catalog(CatalogOptions(**given))
  assert not (tmp_path / "site").exists()


def test_exports_to_other_programs(folder, tmp_path):
  write_catalog(
    CatalogOptions(
      exemplars=str(folder),
      out=str(tmp_path / "site"),
      original=str(tmp_path / "original"),
      base_url="https://example.org/images/",
      neuronpedia=str(tmp_path / "np"),
    )
  )
  data = json.loads((tmp_path / "original" / "json" / "net" / "data.json").read_text())
  assert list(data) == ["name", "architecture", "dataset", "layers", "units"]
  assert data["layers"] == ["layer4"]
  assert data["units"][2] == {
    "layer": "layer4",
    "unit": 2,
    "images": [
      f"https://example.org/images/net/layer4_2_{place}.png" for place in (0, 1)
    ],
    "description": "the <b>sky</b>",
  }
  exemplars = open_exemplars(folder)
  images = exemplars.images(exemplars.exemplars("layer4").image_rows[2])
  masks = exemplars.masks("layer4", np.array([2, 2]), np.array([0, 1]))
  drawn = Image.open(tmp_path / "original" / "images" / "net" / "layer4_2_1.png")
  np.testing.assert_array_equal(np.asarray(drawn)[masks[1]], images[1][masks[1]])

  source = tmp_path / "np" / "net" / "0-milan"
  rows = _neuronpedia(source)
  assert [row["index"] for row in rows["features"]] == ["0", "1", "2"]
  assert [row["maxActApprox"] for row in rows["features"]] == [3, 5, 7]
  said = [(row["index"], row["description"]) for row in rows["explanations"]]
  assert said == [("0", "a dog"), ("2", "the <b>sky</b>")]
  assert [row["maxValue"] for row in rows["activations"]] == [3, 2, 5, 4, 7, 6]
  last = rows["activations"][-1]
  assert {last[name] for name in ("modelId", "layer")} == {"net", "0-milan"}
  mask = Image.open(source / last["image"]["mask"])
  np.testing.assert_array_equal(np.asarray(mask), masks[1])
  with Image.open(source / last["image"]["file"]) as image:
    assert image.size == (16, 16)
  (model,), (one,) = rows["model"], rows["source"]
  assert (model["id"], one["id"], one["notes"]) == ("net", "0-milan", "layer4")
  with pytest.raises(UserError, match=r"original: .* exists already"):
    write_catalog(
      CatalogOptions(
        exemplars=str(folder),
        out=str(tmp_path / "site"),
        original=str(tmp_path / "original"),
      )
    )


# What Neuronpedia's schema requires of a row and has no default for, and what a row may
# not name, because the database lacks it.
REQUIRED = {
  "model": {"id", "creatorId", "layers", "neuronsPerLayer", "owner"},
  "release": {"name", "description", "creatorName", "creatorId"},
  "sourceset": {"modelId", "name", "description", "creatorName", "creatorId"},
  "source": {"id", "modelId", "setName", "creatorId"},
  "features": {"modelId", "layer", "index"},
  "activations": {
    *("id", "modelId", "layer", "index", "creatorId", "tokens", "values"),
    *("maxValue", "minValue", "maxValueTokenIndex"),
  },
  "explanations": {"id", "modelId", "layer", "index", "description", "authorId"},
}
FOREIGN = {"typeName", "explanationModelName", "triggeredByUserId"}


def _neuronpedia(source):
  """The rows of a source, by file."""
  found = {}
  for name in ("model", "release", "sourceset", "source"):
    found[name] = [json.loads((source / f"{name}.jsonl").read_text())]
  for name in ("features", "activations", "explanations"):
    path = source / name / "batch-0.jsonl.gz"
    if path.exists():
      lines = gzip.decompress(path.read_bytes()).decode().splitlines()
      found[name] = [json.loads(line) for line in lines]
  return found


def test_neuronpedia_has_what_its_import_needs(folder, tmp_path):
  for out in ("np", "again"):
    write_catalog(
      CatalogOptions(
        exemplars=str(folder),
        out=str(tmp_path / "site"),
        neuronpedia=str(tmp_path / out),
      )
    )
  source = tmp_path / "np" / "net" / "0-milan"
  rows = _neuronpedia(source)
  assert set(rows) == set(REQUIRED)
  for name, table in rows.items():
    for row in table:
      assert set(row) >= REQUIRED[name] and not set(row) & FOREIGN, name
      assert all(value is not None for value in row.values())
      assert row.get("modelId", "net") == "net"
  (model,), (release,), (members,), (one,) = list(rows.values())[:4]
  assert re.fullmatch(r"[a-zA-Z0-9-_]{1,128}", model["id"])
  assert members["modelId"] == one["modelId"] == model["id"]
  assert members["releaseName"] == release["name"] and model["owner"]
  assert one["setName"] == members["name"] and one["id"] == source.name
  for name in ("activations", "explanations"):
    ids = [row["id"] for row in rows[name]]
    assert len(set(ids)) == len(ids) and max(map(len, ids)) <= 25
  # The same catalog gives the same bytes, and so the same identifiers.
  for path in source.rglob("*.gz"):
    other = tmp_path / "again" / path.relative_to(tmp_path / "np")
    assert path.read_bytes() == other.read_bytes()


def test_a_source_without_explanations_has_no_empty_file(tmp_path):
  """Which would stop Neuronpedia's import."""
  image = np.zeros((1, 8, 8, 3), np.uint8)
  unit = PageUnit(Unit("a", 0), "", lambda: (image, image[..., 0] > 0), dead=True)
  network = Network(PageInfo("t", "net", "images"), ("a",), [unit], "a", "net")
  write_neuronpedia(str(tmp_path / "np"), [network])
  folder = tmp_path / "np" / "net" / "0-milan"
  assert set(_neuronpedia(folder)) == set(REQUIRED) - {"explanations"}
  assert not (folder / "explanations").exists()


def test_the_histogram_and_the_scores_are_exported(tmp_path):
  image = np.zeros((1, 8, 8, 3), np.uint8)
  unit = PageUnit(
    Unit("a", 0, "off"),
    "dogs",
    lambda: (image, image[..., 0] > 0),
    scores={"score": -1.5, "log p(text)": None},
    confidence=0.875,
    fires=(3, 12),
    distribution=UnitDistribution(
      values=Bins(-1.0, 0.5, [0, 2, 0, 7, 0]),
      maxima=Bins(0.0, 1.0, [1]),
      regions=lambda: (image, image[..., 0] > 0),
      activations=[1.0],
      shares=[1],
      below=[False],
    ),
  )
  info = PageInfo("t", "net", "images", facts={"Captioner": "starter"})
  network = Network(info, ("a",), [unit], "a", "net")
  write_neuronpedia(str(tmp_path / "np"), [network])
  rows = _neuronpedia(tmp_path / "np" / "net" / "0-milan-off")
  (feature,), (said,) = rows["features"], rows["explanations"]
  assert feature["freq_hist_data_bar_heights"] == [2, 0, 7]
  assert feature["freq_hist_data_bar_values"] == [-0.25, 0.25, 0.75]
  assert feature["frac_nonzero"] == 0.25
  assert said["description"] == "dogs"
  assert (
    said["notes"] == "milan-jax; captioner starter; confidence 0.8750; score -1.5000"
  )


def test_annotations_of_the_folder_that_fit_no_unit_are_named(folder, tmp_path):
  (folder / "annotations.csv").write_text("layer,unit,summary\nlayer4,9,a dog\n")
  (tmp_path / "fits.csv").write_text("layer,unit,description\nlayer4,0,a cat\n")
  options = CatalogOptions(
    exemplars=str(folder),
    descriptions=str(tmp_path / "fits.csv"),
    out=str(tmp_path / "site"),
  )
  with pytest.raises(UserError, match=r"annotations.csv: expected units .*/0.*/9"):
    write_catalog(options)


def test_networks_with_like_names_are_exported_apart(tmp_path):
  image = np.zeros((1, 8, 8, 3), np.uint8)

  def network(key):
    unit = PageUnit(Unit("a", 0), f"of {key}", lambda: (image, image[..., 0] > 0))
    return Network(PageInfo("t", "net", "images"), ("a",), [unit], "a", key)

  keys = ("Net.1", "net-1", "net-1-2", "NET 1", "")
  write_neuronpedia(str(tmp_path / "np"), [network(key) for key in keys])
  models = ("net-1", "net-1-3", "net-1-2", "net-1-4", "net")
  assert {path.name for path in (tmp_path / "np").iterdir()} == set(models)
  for key, model in zip(keys, models, strict=True):
    folder = tmp_path / "np" / model / "0-milan"
    packed = (folder / "explanations" / "batch-0.jsonl.gz").read_bytes()
    row = json.loads(gzip.decompress(packed))
    assert (row["modelId"], row["description"]) == (model, f"of {key}")
    assert json.loads((folder / "model.jsonl").read_text())["id"] == model


def test_what_json_lacks_is_not_exported(tmp_path):
  image = np.zeros((2, 8, 8, 3), np.uint8)
  unit = PageUnit(
    Unit("a", 0),
    "",
    lambda: (image, image[..., 0] > 0),
    dead=True,
    activations=(float("inf"), float("nan")),
  )
  network = Network(PageInfo("t", "net", "images"), ("a",), [unit], "a", "net")
  write_neuronpedia(str(tmp_path / "np"), [network])
  folder = tmp_path / "np" / "net" / "0-milan"
  packed = (folder / "activations" / "batch-0.jsonl.gz").read_bytes()
  rows = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
  assert [row["maxValue"] for row in rows] == [0, 0]

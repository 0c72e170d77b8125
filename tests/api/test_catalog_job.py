"""A catalog of folders of exemplars in the original's layout, from files of people."""

import json

import numpy as np
import pytest

from milan_jax._src.api.catalog_job import write_catalog
from milan_jax._src.errors import UserError
from milan_jax._src.options.catalog import CatalogOptions
from tests.helpers import site_data


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
  assert facts["scores"] == [] and facts["vector_width"] in (0, 3)
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


@pytest.mark.parametrize(
  ("options", "words"),
  [
    ({"exemplars": None}, "runs, exemplars: expected some folders"),
    ({"exemplars": "nowhere"}, "no folder nowhere"),
    ({"runs": "nowhere", "exemplars": None}, "does not hold a run"),
    ({"annotations": "other.csv"}, "no unit of it is described.*'layer4'"),
    ({"descriptions": "a=other.csv,a=other.csv"}, "a is named twice"),
    ({"descriptions": "missing.csv"}, "missing.csv"),
  ],
)
def test_what_does_not_fit_is_named(folder, tmp_path, monkeypatch, options, words):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "other.csv").write_text("layer,unit,summary,description\nfc,0,x,x\n")
  given = {"exemplars": str(folder), "out": "site"} | options
  with pytest.raises(UserError, match=words):
    write_catalog(CatalogOptions(**given))
  assert not (tmp_path / "site").exists()

"""What the wheel and the source distribution hold."""

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest
import yaml

from milan_jax import __version__

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = """
import sys
from setuptools import build_meta
folder = sys.argv[1]
build_meta.build_sdist(folder)
build_meta.build_wheel(folder)
"""
# Of the repository, for those who work in it.
IGNORED = {".git", ".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__"}


def _files(root):
  """Files of the checkout, as POSIX paths."""
  found = set()
  for folder, folders, names in os.walk(root):
    folders[:] = [
      name
      for name in folders
      if name not in IGNORED | {"runs", "build", "dist"}
      and not name.startswith(".venv")
      and not name.endswith(".egg-info")
    ]
    where = pathlib.Path(folder).relative_to(root)
    found |= {(where / name).as_posix() for name in names if name != ".git"}
  return found


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
  """Names of the files in the source distribution and in the wheel, and the wheel."""
  folder = tmp_path_factory.mktemp("distributions")
  copy = folder / "copy"
  for name in _files(ROOT):
    (copy / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / name, copy / name)
  command = [sys.executable, "-W", "ignore", "-c", BUILD, str(folder)]
  found = subprocess.run(command, cwd=copy, capture_output=True, text=True)
  assert found.returncode == 0, found.stdout + found.stderr
  with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
    names = [member.name for member in archive if member.isfile()]
  source = {name.partition("/")[2] for name in names}
  wheel = next(folder.glob("*.whl"))
  with zipfile.ZipFile(wheel) as archive:
    return source, set(archive.namelist()), wheel


def test_the_source_distribution_is_the_checkout(distributions):
  source, _, _ = distributions
  made = {"PKG-INFO", "setup.cfg"}
  found = {name for name in source if ".egg-info/" not in name} - made
  assert found == _files(ROOT)


def test_the_wheel_holds_the_package_its_notices_and_the_configurations(distributions):
  _, wheel, _ = distributions
  package = {name for name in _files(ROOT) if name.startswith("milan_jax/")}
  configs = {f"milan_jax/configs/{path.name}" for path in ROOT.glob("configs/*.py")}
  notices = {name for name in wheel if name.split("/")[-2] == "licenses"}
  assert {name.split("/")[-1] for name in notices} == {"LICENSE", "THIRD_PARTY.md"}
  rest = {name for name in wheel if ".dist-info/" not in name}
  assert rest == package | configs
  assert len(configs) >= 3


def test_the_readmes_configuration_is_found_by_what_is_installed(
  distributions, tmp_path
):
  with zipfile.ZipFile(distributions[2]) as archive:
    archive.extractall(tmp_path / "site")
  script = """
from milan_jax import TrainOptions
from milan_jax._src.commands import flags
found, _ = flags.parse(TrainOptions, ["train", "--config=configs/starter.py"])
print(flags.__file__, found.run.workdir)
"""
  found = subprocess.run(
    [sys.executable, "-c", script],
    cwd=tmp_path,
    env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
    capture_output=True,
    text=True,
  )
  assert found.returncode == 0, found.stderr
  assert found.stdout.split() == [
    str(tmp_path / "site" / "milan_jax" / "_src" / "commands" / "flags.py"),
    "runs/starter",
  ]


def test_the_workflow_has_every_python_and_both_ends_of_jax():
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
  prefix = "Programming Language :: Python :: 3."
  pythons = {
    name.removeprefix("Programming Language :: Python :: ")
    for name in project["classifiers"]
    if name.startswith(prefix)
  }
  workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
  job = workflow["jobs"]["tests"]
  legs = {(leg["python"], leg["jax"]) for leg in job["strategy"]["matrix"]["include"]}
  (jax,) = [need for need in project["dependencies"] if need.startswith("jax>")]
  lowest, newest = jax.removeprefix("jax>=").split(",")
  assert {python for python, _ in legs} == pythons
  assert {(python, newest) for python in pythons} < legs
  assert ("3.11", f"=={lowest}.0") in legs
  # The command of the README, but for the environment, which gets torch first.
  readme = (ROOT / "README.md").read_text()
  (command,) = [
    line
    for line in readme.splitlines()
    if line.startswith("python3") and line.endswith("-m pytest")
  ]
  make, run = command.split(" && ", 1)
  assert job["steps"][-1]["run"] == run
  assert job["steps"][-2]["run"].startswith(make)


def test_the_citation_names_this_version():
  citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
  assert citation["version"] == __version__
  assert citation["license"] == "Apache-2.0"


def test_what_an_extra_needs():
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
  extras = project["optional-dependencies"]
  assert any(need.startswith("onnxscript") for need in extras["onnx"])
  # Those versions fail on import beside the JAX that Python 3.12 brings.
  flax = [need for need in project["dependencies"] if need.startswith("flax")]
  assert flax == [
    "flax>=0.12.10; python_version >= '3.12'",
    "flax>=0.12; python_version < '3.12'",
  ]

"""Runs of `milan-describe` in this process, of a tiny network over small images."""

import dataclasses
import sys
import textwrap
import types

from milan_jax._src.api.describe_run import describe
from milan_jax._src.api.identity import of_subject
from milan_jax._src.options import Describe
from milan_jax._src.probe.model_options import Wishes
from milan_jax._src.probe.probe_target import find_subject
from milan_jax._src.runs.inputs import Tables
from milan_jax._src.runs.workdir import open_workdir


def run(workdir, **options):
  """Describes, as a user's options say; returns the run directory."""
  keywords = dataclasses.asdict(Describe(workdir=str(workdir), **options))
  del keywords["list_layers"]
  return describe(**keywords).parent


def look(workdir, *, model, images="", latents="", layers="", weights="", **options):
  """Begins a run, or goes on with one, as far as its inputs are looked at."""
  wishes = {
    field.name: field.default
    for field in dataclasses.fields(Wishes)
    if field.name != "latents"
  }
  wishes |= {"weights": weights, "image_size": "16"} | options
  paths = {"images": images, "latents": latents, "split": "", "data_dir": ""}
  subject = find_subject(model=model, **paths, **wishes)
  identity = of_subject(
    subject,
    subject.choose(layers, ""),
    model=model,
    weights=weights,
    images=images,
    batch_size=2,
    tables=Tables(workdir),
    others={},
  )
  return open_workdir(workdir, {}, identity=identity)


def make_module(text, name="changing"):
  """Puts a module in the place of one that was imported, as if it had changed."""
  module = types.ModuleType(name)
  exec(textwrap.dedent(text), module.__dict__)
  sys.modules[name] = module


def contents(folder):
  """The bytes of all files."""
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }

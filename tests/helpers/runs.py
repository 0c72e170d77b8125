"""Runs of `milan-describe` in this process, of a tiny network over small images."""

import sys
import textwrap
import types

from milan_jax._src.api.describe_run import describe
from milan_jax._src.api.identity import of_target
from milan_jax._src.options.describe import DescribeOptions, ExemplarOptions
from milan_jax._src.probe.probe_target import open_target
from milan_jax._src.runs.inputs import Tables
from milan_jax._src.runs.workdir import open_workdir


def run(workdir, **options):
  """Describes, as a user's options say; returns the run directory."""
  return describe(DescribeOptions.of(workdir=str(workdir), **options)).parent


def look(workdir, *, layers=None, **options):
  """Begins a run, or goes on with one, as far as its inputs are looked at."""
  whole = DescribeOptions.of(**{"image_size": "16"} | options)
  target = open_target(whole.model, whole.images)
  identity = of_target(
    target,
    target.choose(ExemplarOptions(layers=layers)),
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

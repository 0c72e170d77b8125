"""The house's rules: who may import whom, and how long a file may be."""

import ast
import functools
import pathlib
import re
import subprocess
import sys

from tests.conftest import LONG

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "milan_jax" / "_src"

# What each package may import beside itself. It goes one way: a package imports only
# those above it, but for `api`, `commands` and `lab`, which nothing else imports.
MAY_IMPORT: dict[str, set[str]] = {
  "errors": set(),
  "version": set(),
  "templates": set(),
  "notebook": set(),
  "options": set(),
  "records": set(),
  "files": {"records"},
  "runs": {"files"},
  "images": {"options", "files", "runs"},
  "models": {"images"},  # a backbone brings its preprocessing
  "weights": {"files"},
  "probe": {
    *("options", "records", "files", "runs", "images", "models", "weights"),
  },
  "exemplars": {"records", "images", "probe"},
  "text": set(),
  "scores": {"files", "text"},
  "search": set(),
  "store": {
    *("options", "records", "files", "runs", "images", "models", "weights", "text"),
    "exemplars",
  },
  "decoding": {
    "options",
    "records",
    "runs",
    "models",
    "weights",
    "text",
    "search",
    "store",
  },
  "catalog": {"options", "records", "files", "runs", "images", "text", "store"},
  "training": {
    *("records", "files", "runs", "models", "weights", "probe", "text", "store"),
    *("options", "decoding"),
  },
  "api": {
    *("options", "records", "files", "runs", "images", "models", "probe", "exemplars"),
    *("store", "decoding", "catalog", "training"),
  },
  "annotation": {"options", "records", "files", "runs", "text", "catalog", "api"},
  "experiments": {
    *("options", "records", "files", "runs", "models", "text", "scores", "store"),
    *("decoding", "catalog", "training", "api"),
  },
  "app": {"options", "records", "files", "runs", "images", "store", "decoding"}
  | {"catalog", "api"},
  "lab": {
    *("options", "records", "files", "runs", "images", "models", "weights", "probe"),
    *("text", "search", "store", "decoding", "catalog", "training", "api"),
    "annotation",
  },
  "commands": {"files", "runs", "options", "probe", "store", "training", "api", "lab"}
  | {"annotation", "experiments", "app"},
}
# Every package may raise the user's errors, name the version, render a template, and
# show its objects in a notebook.
COMMON = {"errors", "version", "templates", "notebook"}
# Libraries that only extras bring: a module that needs one is named here.
EXTRAS = {
  "torch": {
    "probe/transformers_model.py",
    *("probe/torch_module.py", "probe/torch_weights.py", "probe/torch_wrappers.py"),
    *("probe/torch_calls.py", "probe/torch_outputs.py", "probe/torch_windows.py"),
    *("probe/torch_layers.py", "probe/torch_pixels.py", "probe/torch_generator.py"),
    "probe/torch_channels.py",
    *("probe/torch_program.py", "probe/torch_nodes.py"),
    *("lab/benchmark/textbook.py", "lab/benchmark/contender.py"),
    *("text/sentence_vectors.py", "scores/bert_score.py"),
  },
  "matplotlib": {
    *("lab/benchmark/plot.py", "lab/evaluation/calibration_plot.py"),
    *("experiments/generalization_report.py", "experiments/sweep_report.py"),
    "experiments/result_files.py",
  },
  "spacy": {"text/tokenizer.py"},
  "sacrebleu": {"scores/sacre_bleu.py"},
  "rouge_score": {"scores/rouge.py"},
  "onnx": {"probe/onnx_file.py", "probe/onnx_graph.py", "probe/onnx_input.py"},
  "onnxruntime": {"probe/onnx_file.py"},
  "transformers": {
    *("probe/transformers_model.py", "text/sentence_vectors.py"),
    "scores/bert_score.py",
  },
  "huggingface_hub": {"probe/transformers_model.py"},
  "spellchecker": {"annotation/spelling.py"},
  "h5py": {"lab/evaluation/second_network.py"},
  "tensorboardX": {"training/tensorboard.py"},
  "tensorflow": set(),
  "tensorflow_datasets": {"images/tfds.py", "store/unit_records.py"},
  "datasets": {"images/hugging_face.py"},
  "gradio": {"app/controls.py", "app/server.py"},
  "starlette": {"app/server.py"},
  "skimage": {"images/demo.py"},
  "sklearn": {"images/demo.py"},
}


def _files() -> list[pathlib.Path]:
  return sorted(PACKAGE.rglob("*.py"))


@functools.cache
def _nodes(path: pathlib.Path) -> tuple[ast.AST, ...]:
  """All nodes of a file."""
  text = path.read_text(encoding="utf-8")
  for _ in range(5):
    try:
      return tuple(ast.walk(ast.parse(text)))
    except SystemError:  # CPython 3.11.7: another thread parsed at the same time
      continue
  raise AssertionError(f"{path}: cannot be parsed")


def _imports(path: pathlib.Path) -> set[str]:
  names = set()
  for node in _nodes(path):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path}: relative import"
      names |= {f"{node.module}.{alias.name}" for alias in node.names}
  return names


def _package(path: pathlib.Path) -> str:
  return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _wrong_arrows(path: pathlib.Path, package: str) -> list[str]:
  wrong = []
  for name in _imports(path):
    parts = name.split(".")
    if parts[:2] == ["milan_jax", "_src"] and len(parts) > 2:
      if parts[2] not in MAY_IMPORT[package] | COMMON | {package}:
        wrong.append(f"{path}: {package} may not import {parts[2]}")
    elif parts[0] == "milan_jax" and package not in ("commands", "lab"):
      wrong.append(f"{path}: imports the public package from within")
    elif parts[0] == "configs":
      wrong.append(f"{path}: only the command line reads configs")
    elif parts[0] in EXTRAS:
      here = str(path.relative_to(PACKAGE))
      if here not in EXTRAS[parts[0]]:
        wrong.append(f"{path}: may not import {parts[0]}")
  return wrong


def test_imports_follow_the_table():
  wrong = [
    arrow
    for path in _files()
    if path != PACKAGE / "__init__.py"
    for arrow in _wrong_arrows(path, _package(path))
  ]
  assert not wrong, "\n".join(wrong)


def test_the_table_goes_one_way():
  order = list(MAY_IMPORT)
  for package, allowed in MAY_IMPORT.items():
    later = {name for name in allowed if order.index(name) >= order.index(package)}
    assert not later, f"{package} may import {later}, which the table has below it"


def test_the_table_itself_catches_a_wrong_arrow(tmp_path):
  wrong = tmp_path / "wrong.py"
  wrong.write_text("from milan_jax._src.search import beam\n")
  assert _wrong_arrows(wrong, "exemplars")
  assert not _wrong_arrows(wrong, "decoding")


def test_describing_needs_no_extra():
  script = """
import sys
import milan_jax._src.commands.main
import milan_jax._src.api.describe_run, milan_jax._src.catalog.run_page
print(sorted(set(sys.modules) & set(sys.argv[1:])))
"""
  # Some versions of Flax have an NNX that fails on import beside a newer JAX.
  command = [sys.executable, "-c", script, *EXTRAS, "flax.nnx"]
  found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
  assert found.stdout.strip() == "[]"


def test_a_name_of_a_file_means_one_thing():
  places: dict[str, list[str]] = {}
  for path in _files():
    if path.name != "__init__.py":
      places.setdefault(path.name, []).append(str(path.relative_to(PACKAGE)))
  shared = [names for names in places.values() if len(names) > 1]
  assert not shared, shared


def test_html_is_written_by_templates_alone():
  tags = [
    f"{path}:{node.lineno}"
    for path in _files()
    for node in _nodes(path)
    if isinstance(node, ast.Constant) and isinstance(node.value, str)
    if re.search(r"</[a-z]+[0-9]?>", node.value)
  ]
  assert not tags, "\n".join(tags)


def test_texts_are_opened_with_an_encoding():
  # Without one it is the machine's, and runs that others wrote are read as other texts.
  bare = [
    f"{path}:{node.lineno}"
    for path in _files()
    for node in _nodes(path)
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "open"
    for mode in node.args[:1]
    if isinstance(mode, ast.Constant) and mode.value in ("r", "w", "a", "x")
    if "encoding" not in {keyword.arg for keyword in node.keywords}
  ]
  assert not bare, "\n".join(bare)


def test_a_file_has_one_job():
  long = [
    f"{path}: {lines} lines"
    for path in _files()
    if (lines := len(path.read_text().splitlines())) > 500
  ]
  assert not long, "\n".join(long)


def test_the_files_that_begin_first_are_there():
  gone = [name for name in LONG if not (ROOT / "tests" / name).exists()]
  assert not gone, f"tests/conftest.py names files that were moved: {gone}"

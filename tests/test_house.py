"""The house's rules: who may import whom, and how long a file may be."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "milan_jax"

# A room may import itself, what is common to all, and the rooms named here.
COMMON = {
  "bars",
  "confidence",
  "errors",
  "file_names",
  "memory",
  "mesh",
  "npy_files",
  "plain_text",
  "sizes",
  "version",
}
MAY_IMPORT = {
  "bars": set(),
  "confidence": set(),
  "errors": set(),
  "file_names": set(),
  "memory": set(),
  "mesh": set(),
  "npy_files": set(),
  "plain_text": set(),
  "sizes": set(),
  "version": set(),
  "records": set(),
  "images": {"records"},
  "probe": {"records", "models"},
  "exemplars": {"records", "probe", "images"},
  "models": set(),
  "text": set(),
  "search": set(),
  "training": {"models", "text", "search"},
  "store": {"records", "text", "models", "images", "exemplars"},
  "catalog": {"records"},
  "corpus": {"records", "images", "text", "store"},
  "config": set(),
  "features": {"records", "models", "store"},
  "pipeline": None,  # anything but the command line and its options
  "flags": set(),
  "interrupts": set(),
  "benchmark": {"models", "pipeline", "search", "store"},
  "evaluation": {
    *("records", "models", "images", "probe", "text", "store", "catalog"),
    *("pipeline", "benchmark", "config"),
  },
  "cli": {
    "config",
    "flags",
    "interrupts",
    "pipeline",
    "store",
    "benchmark",
    "evaluation",
  },
  "__init__": {"pipeline", "store"},
}
# Libraries that only extras bring: a module that needs one is named here.
EXTRAS = {
  "torch": {
    "probe/transformers_model.py",
    *("probe/torch_module.py", "probe/torch_weights.py", "probe/torch_wrappers.py"),
    *("probe/torch_calls.py", "probe/torch_outputs.py", "probe/torch_windows.py"),
    *("probe/torch_layers.py", "probe/torch_pixels.py", "probe/torch_generator.py"),
    "probe/torch_channels.py",
    *("probe/torch_program.py", "probe/torch_nodes.py"),
    *("benchmark/textbook.py", "benchmark/worker.py"),
    "evaluation/sentence_similarity.py",
  },
  "matplotlib": {"benchmark/plot.py", "evaluation/calibration.py"},
  "spacy": {"text/tokenizer.py"},
  "onnx": {"probe/onnx_file.py", "probe/onnx_graph.py", "probe/onnx_input.py"},
  "onnxruntime": {"probe/onnx_file.py"},
  "transformers": {"probe/transformers_model.py", "evaluation/sentence_similarity.py"},
  "huggingface_hub": {"probe/transformers_model.py"},
  "h5py": {"evaluation/second_network.py"},
  "tensorflow": set(),
  "tensorflow_datasets": {"images/tfds.py"},
  "datasets": {"images/hugging_face.py"},
  "skimage": {"images/demo.py"},
  "sklearn": {"images/demo.py"},
}


def _files() -> list[pathlib.Path]:
  return sorted(PACKAGE.rglob("*.py"))


def _imports(path: pathlib.Path) -> set[str]:
  names = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path}: relative import"
      names |= {f"{node.module}.{alias.name}" for alias in node.names}
  return names


def _room(path: pathlib.Path) -> str:
  return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", _files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_table(path):
  room = _room(path)
  assert room in MAY_IMPORT, f"{room} is no room of the house"
  allowed = MAY_IMPORT[room]
  for name in _imports(path):
    parts = name.split(".")
    if parts[0] == "milan_jax" and len(parts) > 1:
      target = parts[1] if parts[1] in MAY_IMPORT else "__init__"
      if allowed is None:
        assert target not in {"cli", "flags", "config", "benchmark"}, (
          f"{path} imports {target}"
        )
      else:
        assert target in allowed | COMMON | {room}, f"{room} may not import {target}"
    assert parts[0] != "configs", "only the command line reads configs"
    if parts[0] in EXTRAS:
      here = str(path.relative_to(PACKAGE))
      assert here in EXTRAS[parts[0]], f"{here} may not import {parts[0]}"


def test_describing_needs_no_extra():
  script = """
import sys
import milan_jax.cli, milan_jax.pipeline.describe, milan_jax.pipeline.page
print(sorted(set(sys.modules) & set(sys.argv[1:])))
"""
  # Some versions of Flax have an NNX that fails on import beside a newer JAX.
  command = [sys.executable, "-c", script, *EXTRAS, "flax.nnx"]
  found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
  assert found.stdout.strip() == "[]"


def test_the_table_itself_catches_a_wrong_arrow(tmp_path):
  wrong = tmp_path / "wrong.py"
  wrong.write_text("from milan_jax.search import beam\n")
  assert "milan_jax.search.beam" in _imports(wrong)
  assert "search" not in MAY_IMPORT["exemplars"]


@pytest.mark.parametrize("path", _files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_has_one_job(path):
  assert len(path.read_text().splitlines()) <= 500, "over 500 lines: two rooms in one?"

"""How the scripts end that are run as modules."""

import runpy
import sys

import pytest

SCRIPTS = {
  "judging": ("draw", "--exemplars=/nowhere", "--workdir=/nowhere"),
  "nothing_units": ("/nowhere", "--images=/nowhere"),
  "annotated_networks": ("--images=/nowhere", "--networks=lite9"),
  "linear_probe": ("--features=/nowhere",),
  "shuffled_units": ("/nowhere",),
  "training_sets": ("/nowhere",),
}


@pytest.mark.parametrize(("name", "arguments"), SCRIPTS.items())
def test_bad_input_is_one_message(name, arguments, monkeypatch, capsys):
  module = f"milan_jax._src.lab.annotation.{name}"
  monkeypatch.setattr(sys, "argv", [name, *arguments])
  monkeypatch.delitem(sys.modules, module, raising=False)  # which runpy warns of
  with pytest.raises(SystemExit) as ended:
    runpy.run_module(module, run_name="__main__")
  assert ended.value.code == 2
  error = capsys.readouterr().err
  assert error.startswith(name) and error.count("\n") == 1

"""Where tests run: `-m device` on an accelerator in one process, others on the CPU."""

import os
import types

import pytest

from tests import conftest
from tests.helpers.together import PLAIN_EMITTERS


@pytest.fixture
def settings(monkeypatch):
  """What JAX is told, which is not done here."""
  found = {}
  config = types.SimpleNamespace(update=found.__setitem__)
  monkeypatch.setattr(conftest, "jax", types.SimpleNamespace(config=config))
  for name in ("JAX_PLATFORMS", "JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS"):
    monkeypatch.setenv(name, "")
    monkeypatch.delenv(name)
  return found


def _configured(markexpr):
  option = types.SimpleNamespace(
    markexpr=markexpr, numprocesses=2, dist="loadfile", tx=["2*popen"]
  )
  conftest.pytest_cmdline_main(types.SimpleNamespace(option=option))
  return option


@pytest.mark.parametrize("found", [True, False])
def test_tests_of_devices_run_in_one_process(settings, monkeypatch, found):
  monkeypatch.setattr(conftest, "has_accelerator", lambda: found)
  option = _configured("device")
  assert (option.numprocesses, option.dist, option.tx) == (0, "no", [])
  assert "JAX_PLATFORMS" not in os.environ
  assert settings == {"jax_disable_most_optimizations": False}


@pytest.mark.parametrize(
  ("flags", "kept"),
  [(PLAIN_EMITTERS, None), ("--xla_own=1", "--xla_own=1")],
)
def test_they_compile_programs_as_users_have_them(settings, monkeypatch, flags, kept):
  monkeypatch.setenv("XLA_FLAGS", flags)
  _configured("device")
  assert os.environ.get("XLA_FLAGS") == kept


@pytest.mark.parametrize(
  ("found", "given", "expected"),
  [
    (True, None, "cpu"),
    (False, None, None),
    (True, "cuda", "cuda"),
  ],
)
def test_other_tests_run_on_the_cpu(settings, monkeypatch, found, given, expected):
  monkeypatch.setattr(conftest, "has_accelerator", lambda: found)
  if given:
    monkeypatch.setenv("JAX_PLATFORMS", given)
  assert _configured("not device").numprocesses == 2
  assert os.environ.get("JAX_PLATFORMS") == expected
  assert settings == ({"jax_platforms": "cpu"} if expected == "cpu" else {})


def test_an_accelerator_needs_a_file_and_a_plugin(monkeypatch, tmp_path):
  (tmp_path / "nvidia0").touch()
  monkeypatch.setattr(conftest, "DEVICES", tmp_path)
  monkeypatch.setattr(conftest, "PLUGINS", ("there_is_no_such_plugin",))
  assert not conftest.has_accelerator()
  monkeypatch.setattr(conftest, "PLUGINS", ("numpy",))
  assert conftest.has_accelerator()
  (tmp_path / "nvidia0").unlink()
  assert not conftest.has_accelerator()

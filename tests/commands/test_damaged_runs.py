"""A run whose files were damaged, run again: the same result, or the name of one."""

import random
import shutil

import pytest

from milan_jax._src.errors import UserError
from tests.commands.test_finished import FUNCTION, small_run
from tests.helpers.runs import make_module, run
from tests.test_damaged_files import damage

MUTANTS = 16
# Without one of these, what it is made of is read again.
RESULTS = ("descriptions.csv", "descriptions.jsonl", "features", "exemplars")


@pytest.fixture(scope="module")
def options(captioner, tmp_path_factory):
  return small_run(captioner, tmp_path_factory.mktemp("images")) | {"page": False}


@pytest.fixture(scope="module")
def whole(options, tmp_path_factory):
  make_module(FUNCTION)
  return run(tmp_path_factory.mktemp("whole") / "run", **options)


def test_a_damaged_run_ends_as_it_did_or_names_what_is_damaged(
  whole, options, tmp_path
):
  make_module(FUNCTION)
  expected = (whole / "descriptions.csv").read_bytes()
  everything = [path for path in whole.rglob("*") if path.is_file()]
  outcomes = {"same": 0, "refused": 0}
  for number in range(MUTANTS):
    rng = random.Random(number)
    folder = shutil.copytree(whole, tmp_path / str(number))
    # As if it had been killed before it was done.
    shutil.rmtree(folder / RESULTS[number % 4], ignore_errors=True)
    (folder / "descriptions.csv").unlink()
    if number % 4 == 1:
      (folder / "descriptions.jsonl").unlink()
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    way = damage(path, everything, rng)
    told = f"mutant {number}: {path.relative_to(folder)} ({way})"
    try:
      run(folder, **options)
    except UserError as error:
      assert path.name in str(error) or str(folder) in str(error), f"{told}: {error}"
      outcomes["refused"] += 1
    except Exception as error:
      raise AssertionError(f"{told}: {type(error).__name__}: {error}") from error
    else:
      assert (folder / "descriptions.csv").read_bytes() == expected, told
      outcomes["same"] += 1
  assert min(outcomes.values()) > 2, outcomes

"""Searches that compile in less than half the time."""

import contextlib
import dataclasses
from unittest import mock

from milan_jax._src.decoding import program
from milan_jax._src.search import rows

# Rows in chunks of one size, and of more where rows are few. Each size is compiled: on
# a CPU users have five. Scores differ between them by rounding: this is not for tests
# of the sizes, nor of bytes that a process writes as well.
ONE_SIZE = dataclasses.replace(rows.CPU_ROWS, sizes=rows.CPU_ROWS.sizes[:1])


@contextlib.contextmanager
def one_size():
  """`Decoder` compiles what it needs here for `ONE_SIZE`."""

  def packing_for(platform):
    return ONE_SIZE if platform == "cpu" else rows.packing_for(platform)

  with mock.patch.object(program, "packing_for", packing_for):
    yield

"""How the scripts of this folder end: with 0, or with 2 after one message."""

import sys
from collections.abc import Callable

from milan_jax._src.errors import UserError
from milan_jax._src.files.names import shown


def exit_code(name: str, work: Callable[[], object]) -> int:
  """Does the work of a script.

  Args:
    name: of the script, for the message.
    work: what it does; a `UserError` of it is printed to the standard error.

  Returns:
    0, or 2 after an error.
  """
  try:
    work()
  except UserError as error:
    print(f"{name}: {shown(error.for_command_line)}", file=sys.stderr)
    return 2
  return 0

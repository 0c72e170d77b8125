"""What the page's buttons call: they return HTML and never raise."""

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from milan_jax._src.app.answer_view import answer_html, found_html, message
from milan_jax._src.app.uploads import read_regions
from milan_jax._src.app.workbench import Settings, Workbench
from milan_jax._src.errors import UserError

# How many units a search shows at most.
UNITS_TO_SHOW = ("10", "20", "50")
_Params = ParamSpec("_Params")
_Number = TypeVar("_Number", int, float)


def _answered(function: Callable[_Params, str]) -> Callable[_Params, str]:
  """Makes a handler return a message where it would raise."""

  @functools.wraps(function)
  def wrapped(*args: _Params.args, **kwargs: _Params.kwargs) -> str:
    try:
      return str(function(*args, **kwargs))
    except UserError as error:
      return str(message(str(error), is_error=True))
    except MemoryError:
      text = "There is not enough memory for this: choose a smaller beam."
      return str(message(text, is_error=True))
    except Exception:
      logging.getLogger("milan_jax").exception("milan-demo: a request failed")
      text = "Something went wrong; the terminal of milan-demo shows what."
      return str(message(text, is_error=True))

  return wrapped


class Handlers:
  """The handlers of a page.

  Args:
    workbench: does the work.
  """

  def __init__(self, workbench: Workbench):
    self._workbench = workbench
    self.describe_unit = _answered(self._describe_unit)
    self.describe_pictures = _answered(self._describe_pictures)
    self.find = _answered(self._find)

  def _describe_unit(
    self,
    run: str | None,
    layer: str | None,
    unit: str | None,
    captioner: str | None,
    strategy: str | None,
    temperature: str | None,
    beam_size: str | None,
  ) -> str:
    settings = _settings(captioner, strategy, temperature, beam_size)
    return answer_html(
      self._workbench.describe_unit(run or "", layer or "", unit or "", settings)
    )

  def _describe_pictures(
    self,
    value: object,
    captioner: str | None,
    strategy: str | None,
    temperature: str | None,
    beam_size: str | None,
  ) -> str:
    images, masks = read_regions(value)
    settings = _settings(captioner, strategy, temperature, beam_size)
    return answer_html(self._workbench.describe_pictures(images, masks, settings))

  def _find(self, run: str | None, text: str | None, top: str | None) -> str:
    if top not in UNITS_TO_SHOW:
      raise UserError(f"Units to show: choose one of {', '.join(UNITS_TO_SHOW)}.")
    wanted = text or ""
    found = self._workbench.find(run or "", wanted, int(top))
    return found_html(wanted, found)


def _settings(
  captioner: str | None,
  strategy: str | None,
  temperature: str | None,
  beam_size: str | None,
) -> Settings:
  """The settings as the page's controls hold them; an empty one is not set."""
  return Settings(
    captioner=captioner or "",
    **({"strategy": strategy} if strategy else {}),
    temperature=_number("Temperature", temperature, float, "a number"),
    beam_size=_number("Beam", beam_size, int, "a whole number"),
  )


def _number(
  name: str, text: str | None, kind: Callable[[str], _Number], expected: str
) -> _Number | None:
  """The number in a text field; None if it is empty."""
  if text is None or not text.strip():
    return None
  try:
    return kind(text)
  except ValueError as error:
    raise UserError(f"{name}: expected {expected}; found {text[:40]!r}.") from error

"""A page for annotators: it shows one unit at a time and saves answers as CSV.

The page is one file beside the sheets and opens from disk; it sends nothing anywhere.
The browser keeps what was written until it is saved. With each answer the page notes
for how many seconds its unit was shown.
"""

import itertools
from collections.abc import Iterable

from milan_jax._src.annotation.contact_sheet import GAP, HEADER, PER_UNIT, WIDTH
from milan_jax._src.annotation.sheet_key import Place, sheet_file
from milan_jax._src.files.digests import sha256_of
from milan_jax._src.templates import templates

_TEMPLATE = "answer_page.html.jinja"
# What a button of the page writes.
NOTHING = "Nothing in common"


def answer_page(places: Iterable[Place], *, key: str, sheets: str) -> str:
  """Returns the page.

  Args:
    places: the units' places, in the order of the sheets. No unit is named.
    key: the text of the key, of which a digest tells the browser which answers to keep.
    sheets: the folder of the sheets, relative to the page.
  """
  data = {
    "id": sha256_of([key])[:16],
    "width": WIDTH,
    "height": PER_UNIT - GAP,
    "top": HEADER,
    "step": PER_UNIT,
    "nothing": NOTHING,
    "sheets": [
      {
        "sheet": number,
        "letters": "".join(place.letter for place in inside),
        "file": f"{sheets}/{sheet_file(number)}",
      }
      for number, inside in itertools.groupby(places, lambda place: place.sheet)
    ],
  }
  return templates("annotation").get_template(_TEMPLATE).render(data=data)

"""The catalog of two made-up networks, opened in headless Chromium."""

import pytest

from tests.catalog.two_networks import UNITS, write_two_networks
from tests.helpers.browsing import counted, launched, opened


@pytest.fixture(scope="session")
def site(tmp_path_factory):
  """The page of the catalog."""
  return write_two_networks(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")  # tests of other modules start a browser of their own
def browser():
  with launched() as found:
    yield found


@pytest.fixture
def tab(browser, site):
  """The list of all units."""
  with opened(browser, site) as tab:
    counted(tab, f"{len(UNITS)} units")
    yield tab

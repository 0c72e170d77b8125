"""A finished run in which every text is HTML, and the page of milan-demo with it."""

import dataclasses
import gc
import socket

import numpy as np
import pytest

import milan_jax
from milan_jax._src.app.server import serving
from milan_jax._src.options.local_page import LocalPageOptions
from milan_jax._src.store.region_sets import RegionSetWriter
from tests.helpers.browsing import launched
from tests.helpers.tiny_release import tiny_release

LAYER = "<img src=x onerror=alert(1)>"
WORD = "<script>alert(2)</script>"
# Milliseconds; searches are compiled when they are first used, on a machine that may
# have much else to do.
PATIENCE = 300_000


@pytest.fixture(scope="session")
def evil_run(tmp_path_factory):
  """The run directory; its captioner describes by words of HTML."""
  folder = tmp_path_factory.mktemp("evil")
  rng = np.random.default_rng(0)
  with RegionSetWriter(folder / "exemplars", LAYER, k=3, size=224) as writer:
    for unit in range(4):
      coarse = rng.integers(0, 256, (3, 14, 14, 3), np.uint8)
      images = coarse.repeat(16, 1).repeat(16, 2)
      rows = [writer.image(f"{unit}-{slot}", images[slot]) for slot in range(3)]
      masks = np.zeros((3, 224, 224), bool)
      masks[:, 40 * unit : 40 * unit + 60, 30:120] = True
      writer.add(unit, rows, masks)
  release = tiny_release()
  words = tuple(f"{WORD}{number}" for number in range(len(release.vocabulary)))
  decoding = milan_jax.Decoding("greedy", length=4)
  release = dataclasses.replace(release, vocabulary=words, decoding=decoding)
  # At random it would choose special tokens, which are not shown.
  bias = release.params["captioner"]["output"]["bias"].copy()
  bias[len(words) :] = -9
  release.params["captioner"]["output"]["bias"] = bias
  milan_jax.Captioner(release).save(folder / "<b>captioner")
  milan_jax.describe(
    milan_jax.DescribeOptions.of(
      exemplars=str(folder / "exemplars"),
      milan=str(folder / "<b>captioner"),
      workdir=str(folder / "<i>run"),
      batch_size=1,
      page=False,
    )
  )
  return folder / "<i>run"


@pytest.fixture(scope="module")
def url(evil_run, captioner, tmp_path_factory):
  """The address of the page, of a run and a second captioner."""
  uploads = tmp_path_factory.mktemp("gradio")
  connect, called = socket.socket.connect, set()

  def watched(self, address):
    called.add(address[0] if isinstance(address, tuple) else "")
    return connect(self, address)

  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("GRADIO_TEMP_DIR", str(uploads))
    patch.setattr(socket.socket, "connect", watched)
    options = LocalPageOptions.of(runs=str(evil_run), milan=str(captioner))
    with serving(options) as address:
      yield address
    gc.collect()  # what Gradio leaves warns now, not in another test
  # Nothing that was uploaded was written, and nobody else was called.
  assert not [path for path in uploads.rglob("*") if path.is_file()]
  assert called <= {"", "127.0.0.1", "localhost"}


@pytest.fixture(scope="module")
def browser():
  with launched() as found:
    yield found


@pytest.fixture
def page(browser, url):
  """A page that fails the test if a script of a name or text runs, or at errors."""
  context = browser.new_context()
  opened = context.new_page()
  opened.set_default_timeout(PATIENCE)
  troubles, hosts = [], set()
  opened.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.accept()))
  opened.on("pageerror", lambda error: troubles.append(str(error)))
  opened.on("request", lambda request: hosts.add(request.url.split("/")[2]))
  opened.goto(url)
  opened.get_by_role("button", name="Describe", exact=True).wait_for()
  yield opened
  assert not troubles
  assert {host for host in hosts if host} == {url.split("/")[2]}
  context.close()


def answer_of(page):
  """Waits for the answer that is shown; a refusal fails the test."""
  answer = page.locator(".milan-answer:visible")
  refusal = page.locator(".milan-error:visible")
  answer.or_(refusal).first.wait_for()
  assert refusal.all_inner_texts() == []
  return answer

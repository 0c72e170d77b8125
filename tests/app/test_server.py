"""How milan-demo starts: its port, its public link, and what it refuses."""

import errno
import gc
import os
import socket
import urllib.request

import pytest

from milan_jax._src.app.server import check_port, serving
from milan_jax._src.errors import UserError
from milan_jax._src.options.local_page import LocalPageOptions

pytestmark = pytest.mark.filterwarnings("default")  # of Gradio and what it imports


@pytest.fixture
def taken():
  """A port that is in use."""
  with socket.socket() as server:
    server.bind(("127.0.0.1", 0))
    server.listen()
    yield server.getsockname()[1]


@pytest.fixture
def launched(monkeypatch):
  """Replaces Gradio's start; the list gets its arguments, and `result` is returned."""
  blocks = pytest.importorskip("gradio").Blocks
  calls = []

  def launch(self, **given):
    calls.append(given)
    found = launched_result[0]
    if isinstance(found, Exception):
      raise found
    return None, f"http://127.0.0.1:{given['server_port'] or 7860}/", found

  launched_result = [None]
  monkeypatch.setattr(blocks, "launch", launch)
  return calls, launched_result


def _options(evil_run, **others):
  return LocalPageOptions.of(runs=str(evil_run), **others)


def test_a_port_in_use_is_named(taken):
  with pytest.raises(UserError, match=rf"port={taken} cannot be opened \(in use\)"):
    check_port(taken)


def test_another_reason_is_not_called_in_use(monkeypatch):
  def refused(self, address):
    raise PermissionError(errno.EACCES, "Permission denied")

  monkeypatch.setattr(socket.socket, "bind", refused)
  with pytest.raises(UserError, match=r"port=80 cannot be opened \(Permission denied"):
    check_port(80)


def test_a_port_in_use_is_found_before_the_page_is_built(evil_run, launched, taken):
  with (
    pytest.raises(UserError, match=rf"port={taken} cannot be opened \(in use\)"),
    serving(_options(evil_run, port=taken)),
  ):
    pass
  assert not launched[0]


def test_without_a_port_the_first_free_one_is_gradios_choice(evil_run):
  """The whole start, twice at once: each has a port of its own."""
  pytest.importorskip("gradio")
  with serving(_options(evil_run)) as one, serving(_options(evil_run)) as other:
    ports = [int(url.rstrip("/").rpartition(":")[2]) for url in (one, other)]
  assert len(set(ports)) == 2 and all(7860 <= port < 7960 for port in ports)
  gc.collect()  # what Gradio leaves warns now, not in another test


def test_other_errors_at_the_start_are_not_of_the_port(evil_run, launched):
  _, result = launched
  result[0] = OSError(errno.ENOSPC, "No space left on device")
  with (
    pytest.raises(OSError, match="No space left"),
    serving(_options(evil_run)),
  ):
    pass


@pytest.mark.parametrize(
  ("given", "message"),
  [
    ({}, "All ports that Gradio tries are in use: give port"),
    ({"port": 7999}, r"port=7999 cannot be opened \(in use\)"),
  ],
)
def test_a_port_that_is_taken_meanwhile_is_named(evil_run, launched, given, message):
  _, result = launched
  result[0] = OSError("Cannot find empty port in range")
  with (
    pytest.raises(UserError, match=message),
    serving(_options(evil_run, **given)),
  ):
    pass


def test_a_public_link_is_made_when_asked_for(evil_run, launched):
  calls, result = launched
  with serving(_options(evil_run)) as url:
    assert url.startswith("http://127.0.0.1:")
  result[0] = "https://abc.gradio.live"
  with serving(_options(evil_run, share=True)) as url:
    assert url == "https://abc.gradio.live"
  local, shared = calls
  assert (local["share"], shared["share"]) == (False, True)
  assert local["server_name"] == shared["server_name"] == "127.0.0.1"
  # Its visitors call it by a name that is not known before.
  (local_hosts,) = [each.kwargs["hosts"] for each in local["app_kwargs"]["middleware"]]
  (any_host,) = [each.kwargs["hosts"] for each in shared["app_kwargs"]["middleware"]]
  assert set(local_hosts) == {"127.0.0.1", "localhost"} and not any_host


def test_without_its_public_link_the_page_is_not_served(evil_run, launched):
  with (
    pytest.raises(UserError, match=r"share: Gradio made no public link"),
    serving(_options(evil_run, share=True)),
  ):
    pass


def test_gradio_is_asked_for_the_link_by_its_tunnel_alone(evil_run, monkeypatch):
  """The whole start, but for the tunnel: with `share` it is opened, else never."""
  networking = pytest.importorskip("gradio.networking")
  opened = []

  def tunnel(**given):
    opened.append(given)
    return "https://abc.gradio.live"

  monkeypatch.setattr(networking, "setup_tunnel", tunnel)
  monkeypatch.setenv("GRADIO_SHARE", "True")  # not what the command was asked for
  # A proxy that is not there: the page is served without it.
  monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
  monkeypatch.delenv("no_proxy", raising=False)
  monkeypatch.setenv("NO_PROXY", "example.org")
  with serving(_options(evil_run)) as url:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(url) as answer:
      assert answer.status == 200
  assert not opened and os.environ["no_proxy"] == "example.org,127.0.0.1"
  with serving(_options(evil_run, share=True)) as url:
    assert url == "https://abc.gradio.live"
  assert [each["local_host"] for each in opened] == ["127.0.0.1"]
  gc.collect()  # what Gradio leaves warns now, not in another test

"""How milan-demo starts: its port, its public link, and what it refuses."""

import errno
import gc
import os
import socket
import urllib.request

import pytest

from milan_jax._src.app.server import open_port, serving
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
    return None, f"http://127.0.0.1:{given['server_port']}/", found

  launched_result = [None]
  monkeypatch.setattr(blocks, "launch", launch)
  return calls, launched_result


def _options(evil_run, **others):
  return LocalPageOptions.of(runs=str(evil_run), **others)


def test_a_port_in_use_is_named(taken):
  with pytest.raises(UserError, match=rf"port={taken} cannot be opened \(in use\)"):
    open_port(taken)


def test_without_a_port_the_first_free_one_is_taken(monkeypatch):
  bind, tried = socket.socket.bind, []

  def busy(self, address):
    tried.append(address)
    if len(tried) <= 3:
      raise OSError(errno.EADDRINUSE, "Address already in use")
    return bind(self, ("127.0.0.1", 0))

  monkeypatch.setattr(socket.socket, "bind", busy)
  assert open_port(None) == 7863
  assert tried == [("127.0.0.1", port) for port in range(7860, 7864)]


def test_another_reason_is_not_called_in_use(monkeypatch):
  def refused(self, address):
    raise PermissionError(errno.EACCES, "Permission denied")

  monkeypatch.setattr(socket.socket, "bind", refused)
  with pytest.raises(UserError, match=r"port=80 cannot be opened \(Permission denied"):
    open_port(80)
  with pytest.raises(UserError, match="port: 7860 to 7959 cannot be opened"):
    open_port(None)


def test_other_errors_at_the_start_are_not_of_the_port(evil_run, launched):
  _, result = launched
  result[0] = OSError(errno.ENOSPC, "No space left on device")
  with (
    pytest.raises(OSError, match="No space left"),
    serving(_options(evil_run)),
  ):
    pass


def test_a_port_that_is_taken_meanwhile_is_named(evil_run, launched, monkeypatch):
  _, result = launched
  result[0] = OSError("Cannot find empty port in range")
  port = open_port(None)
  answers = iter([port, UserError("in use")])

  def once(wanted):
    answer = next(answers)
    if isinstance(answer, Exception):
      raise answer
    return answer

  monkeypatch.setattr("milan_jax._src.app.server.open_port", once)
  with pytest.raises(UserError, match="in use"), serving(_options(evil_run)):
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

"""What the server of milan-demo refuses before Gradio sees it."""

import asyncio

import pytest

from milan_jax._src.app.limits import MAX_BODY, Limits

API = "/gradio_api/"
JSON = {"content-type": "application/json", "content-length": "10"}


def _status(method, path, headers=(), hosts=("127.0.0.1",)):
  """The status of a request, and the headers that come with it."""

  async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})

  sent = []

  async def send(message):
    sent.append(message)

  given = {"host": "127.0.0.1:7860"} | dict(headers)
  pairs = [(name.encode(), value.encode()) for name, value in given.items()]
  scope = {"type": "http", "method": method, "path": path, "headers": pairs}
  asyncio.run(Limits(app, hosts)(scope, None, send))
  assert [message["type"][14:] for message in sent] == ["start", "body"]
  return sent[0]["status"], {name.decode() for name, _ in sent[0]["headers"]}


@pytest.mark.parametrize(
  ("method", "path", "headers", "status"),
  [
    ("GET", "/", {}, 200),
    ("GET", "/assets/a.js", {}, 200),
    ("POST", API + "queue/join", JSON, 200),
    ("POST", API + "component_server", JSON, 200),
    ("GET", API + "file=/etc/passwd", {}, 403),
    ("GET", API + "proxy=https://example.org", {}, 403),
    ("POST", API + "upload", JSON | {"content-type": "multipart/form-data"}, 403),
    ("POST", "/login", JSON, 403),
    ("POST", "queue/join", JSON, 403),
    ("PUT", API + "anything", JSON, 403),
    ("POST", API + "queue/join", JSON | {"content-type": "text/plain"}, 415),
    ("POST", API + "component_server", {"content-type": "multipart/form-data"}, 415),
    ("POST", API + "queue/join", {"content-type": "application/json"}, 411),
    ("POST", API + "queue/join", JSON | {"content-length": "-1"}, 411),
    ("POST", API + "queue/join", JSON | {"transfer-encoding": "chunked"}, 411),
    ("POST", API + "queue/join", JSON | {"content-length": f"{MAX_BODY + 1}"}, 413),
    ("GET", "/", {"host": "example.org"}, 403),
    ("GET", "/", {"host": ""}, 403),
  ],
)
def test_requests(method, path, headers, status):
  found, names = _status(method, path, headers)
  assert found == status
  assert {"content-security-policy", "x-content-type-options"} <= names


def test_any_host_where_none_is_named():
  assert _status("GET", "/", {"host": "example.org"}, hosts=())[0] == 200

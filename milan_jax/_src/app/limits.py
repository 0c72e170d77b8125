"""What the page's server accepts: a layer in front of Gradio, without Gradio."""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

# A picture of the largest size in base64, or fifteen small ones with their masks.
MAX_BODY = 16_000_000
# Nothing but what this server sends: no fonts, scripts or counters of others. Gradio
# compiles its templates in the browser.
POLICY = (
  "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
  "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
  "font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
  "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
  (b"content-security-policy", POLICY.encode()),
  (b"x-content-type-options", b"nosniff"),
  (b"referrer-policy", b"no-referrer"),
)
# What the page needs of Gradio's routes, beside those that only read its own files.
_POSTS = ("queue/join", "component_server", "cancel", "reset")
_API = "/gradio_api/"
# Routes that read or fetch files, or write uploads to disk.
_CLOSED = tuple(
  _API + name
  for name in ("file", "proxy", "upload", "stream", "vibe", "deep_link", "run", "call")
)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Limits:
  """An ASGI application that refuses what the page never sends.

  Args:
    app: the application behind it.
    hosts: names by which the server may be called, against pages of others that reach
      it by a name of their own; empty for any.
  """

  def __init__(self, app: Any, hosts: Collection[str] = ()):
    self._app = app
    self._hosts = frozenset(hosts)

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    """Serves a request, or refuses it."""
    if scope["type"] != "http":
      await self._app(scope, receive, send)
      return
    headers = {name.lower(): value for name, value in scope["headers"]}
    refused = self._refused(scope, headers)
    if refused is not None:
      await _refuse(send, *refused)
      return

    async def guarded(message: Message) -> None:
      if message["type"] == "http.response.start":
        message["headers"] = [*message.get("headers", ()), *_HEADERS]
      await send(message)

    await self._app(scope, receive, guarded)

  def _refused(
    self, scope: Scope, headers: dict[bytes, bytes]
  ) -> tuple[int, str] | None:
    """The status and reason for which a request is refused; None if it is not."""
    host = headers.get(b"host", b"").decode("latin-1").rsplit(":", 1)[0]
    if self._hosts and host not in self._hosts:
      return 403, "Open the address that milan-demo printed."
    path = scope["path"]
    if path.startswith(_CLOSED):
      return 403, "This page does not use that."
    if scope["method"] in ("GET", "HEAD", "OPTIONS"):
      return None
    if path.removeprefix(_API).rstrip("/") not in _POSTS or not path.startswith(_API):
      return 403, "This page does not use that."
    if not headers.get(b"content-type", b"").startswith(b"application/json"):
      return 415, "Expected JSON."
    length = headers.get(b"content-length", b"")
    # A body in chunks has any length, whatever the header states.
    if b"transfer-encoding" in headers or not length.isdigit():
      return 411, "Expected the length of the content."
    if int(length) > MAX_BODY:
      return 413, f"Expected at most {MAX_BODY / 1e6:g} MB."
    return None


async def _refuse(send: Send, status: int, reason: str) -> None:
  headers = [(b"content-type", b"text/plain; charset=utf-8"), *_HEADERS]
  start = {"type": "http.response.start", "status": status, "headers": headers}
  await send(start)
  await send({"type": "http.response.body", "body": reason.encode()})

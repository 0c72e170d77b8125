"""A small HTTP server for tests: it can send parts, or not, and break off."""

import contextlib
import dataclasses
import http.server
import threading


@dataclasses.dataclass
class Behavior:
  """What the server has and how it answers; `asked` lists the requests.

  Attributes:
    files: bytes by path.
    ranges: whether it sends parts.
    etag: version that it names.
    cut_after: bytes of an answer after which it closes the connection.
    cuts: how many answers it cuts; -1 for all.
    status: an error to answer instead.
    claims: Content-Length of a whole file, when it is not the truth.
    asked: path and Range of each request.
  """

  files: dict[str, bytes]
  ranges: bool = True
  etag: str | None = '"one"'
  cut_after: int = 0
  cuts: int = 0
  status: int | None = None
  claims: int | None = None
  asked: list[tuple[str, str | None]] = dataclasses.field(default_factory=list)


class _Handler(http.server.BaseHTTPRequestHandler):
  behavior: Behavior

  def log_message(self, *_):
    pass

  def do_GET(self):
    it, asked = self.behavior, self.headers.get("Range")
    it.asked.append((self.path, asked))
    if it.status or self.path not in it.files:
      self.send_error(it.status or 404)
      return
    whole = it.files[self.path]
    start = 0
    if asked and it.ranges:
      start = int(asked.removeprefix("bytes=").removesuffix("-"))
      if start >= len(whole):
        self.send_error(416)
        return
      self.send_response(206)
      last = f"{len(whole) - 1}/{len(whole)}"
      self.send_header("Content-Range", f"bytes {start}-{last}")
    else:
      self.send_response(200)
    body = whole[start:]
    length = len(body) if it.claims is None else it.claims
    if length >= 0:
      self.send_header("Content-Length", str(length))
    if it.etag:
      self.send_header("ETag", it.etag)
    self.end_headers()
    if it.cuts and it.cut_after < len(body):
      it.cuts -= 1
      body = body[: it.cut_after]
    self.wfile.write(body)


@contextlib.contextmanager
def serve(behavior):
  """Serves on 127.0.0.1 and yields the address."""
  handler = type("Handler", (_Handler,), {"behavior": behavior})
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
      yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
      server.shutdown()
      thread.join()

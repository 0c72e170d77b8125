"""Downloads, merges, trains on and describes MILANNOTATIONS by every name it has.

  python benchmarks/try_milannotations.py
  python benchmarks/try_milannotations.py --generalize

A server on this machine has tiny archives of all seven networks, under the official
paths and in the official layout: numeric layers, units out of order, pictures missing
where they are ImageNet's. Its ImageNet is 50,000 links to a few plain pictures. A first
download is killed, each later one is cut once, and both are resumed. Then each network
and each group is trained on and described, by the commands that a user gives. Merged
pictures are compared with those that `ids.csv` names. A damaged archive, one that
leaves its folder, a missing one and missing pictures must each be one sentence, with
nothing else changed. With `--generalize`, the paper's experiments are run on all
networks, too, with its configuration but for the sizes.
"""

import argparse
import contextlib
import csv
import hashlib
import http.server
import importlib
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import zipfile

import numpy as np
from PIL import Image

from milan_jax._src.store.milannotations import GROUPS, NETWORKS, hyphenated

ROOT = pathlib.Path(__file__).resolve().parents[1]
LAYERS, UNITS, K, SIZE = ("3", "10"), (7, 0, 4, 1, 9, 2), 5, 32
CLASSES, PICTURES = 1000, 50  # of a class
# Plain pictures, of which ImageNet's are links.
COLORS = [(40 * red, 60 * green, 90) for red in range(5) for green in range(4)]
WORDS = ("dogs", "cars", "sky")
OPTIONS = {
  **{"encoder_layers": "act0", "hidden_size": 16, "embedding_size": 8},
  **{"lm_hidden_size": 8, "lm_embedding_size": 8, "lm_layers": 1, "max_epochs": 10},
  **{"batch_size": 8, "lm_batch_size": 8, "min_annotations": 3, "max_annotations": 3},
  # Enough to learn a word.
  **{"learning_rate": 0.05, "dropout": 0.0, "patience": 9},
}


def has_pictures(network: str) -> bool:
  """Returns whether a network's pictures may be redistributed."""
  return network == "biggan/imagenet" or not network.endswith("imagenet")


def archive(network: str) -> bytes:
  """Returns the zip archive of a network."""
  rng = np.random.default_rng(NETWORKS.index(network))
  files = {}
  rows = ["layer,unit,summary"]
  for layer in LAYERS:
    arrays = {
      "masks": rng.integers(0, 2, (len(UNITS), K, 1, SIZE, SIZE), np.uint8),
      "units": np.array(UNITS),
    }
    if has_pictures(network):
      shape = (len(UNITS), K, 3, SIZE, SIZE)
      arrays["images"] = rng.integers(0, 256, shape, np.uint8)
    for name, array in arrays.items():
      content = io.BytesIO()
      np.save(content, array)
      files[f"{layer}/{name}.npy"] = content.getvalue()
    ids = rng.integers(0, CLASSES * PICTURES, (len(UNITS), K))
    lines = (",".join(map(str, row)) for row in ids.tolist())
    files[f"{layer}/ids.csv"] = "\n".join(lines).encode()
    # The last unit has too few annotations for the paper.
    rows += [
      f"{layer},{unit},red {word}"
      for unit in UNITS
      for word in (WORDS if unit != UNITS[-1] else WORDS[:2])
    ]
  files["annotations.csv"] = "\n".join(rows).encode()
  return zipped({f"{network}/{name}": content for name, content in files.items()})


def zipped(files: dict[str, bytes]) -> bytes:
  """Returns a zip archive of files."""
  content = io.BytesIO()
  with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as opened:
    for name, data in files.items():
      opened.writestr(name, data)
  return content.getvalue()


class Host(http.server.BaseHTTPRequestHandler):
  """The host. It breaks off in the middle of the first answer about each file.

  Attributes:
    files: archives by path.
    stalls: whether it waits there, before it breaks off.
    asked: path and range of each request.
  """

  files: dict[str, bytes]
  stalls = threading.Event()
  asked: list[tuple[str, str | None]]

  def log_message(self, *_: object) -> None:
    """Prints nothing."""

  def do_GET(self) -> None:
    """Sends an archive, or the rest of it."""
    path, part = self.path, self.headers.get("Range")
    is_first = path not in [known for known, _ in self.asked]
    self.asked.append((path, part))
    if path not in self.files:
      self.send_error(404)
      return
    whole = self.files[path]
    start = int(part.removeprefix("bytes=").partition("-")[0]) if part else 0
    self.send_response(206 if part else 200)
    if part:
      self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
    self.send_header("Content-Length", str(len(whole) - start))
    self.send_header("ETag", '"one"')
    self.end_headers()
    self.wfile.write(whole[start : len(whole) // 2] if is_first else whole[start:])
    while self.stalls.is_set():
      time.sleep(0.05)


def run(name: str, *arguments: str) -> tuple[int, str]:
  """Runs `milan-NAME` in this process; returns its exit code and what it printed."""
  module = importlib.import_module(f"milan_jax._src.commands.milan_{name}")
  sys.argv = [f"milan-{name}", *arguments]
  printed = io.StringIO()
  with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
    code = module.main()
  return code, printed.getvalue()


def succeed(name: str, *arguments: str) -> str:
  """Runs a command that must end well; returns what it printed."""
  code, printed = run(name, *arguments)
  if code:
    raise SystemExit(f"milan-{name} {' '.join(arguments)} ended with {code}: {printed}")
  return printed


def refuse(name: str, *arguments: str) -> None:
  """Runs a command that must end with one sentence, and prints it."""
  code, printed = run(name, *arguments)
  sentences = [
    line for line in printed.splitlines() if line.startswith(f"milan-{name}")
  ]
  if code != 2 or len(sentences) != 1 or "Traceback" in printed:
    raise SystemExit(f"milan-{name} {' '.join(arguments)} ended with {code}: {printed}")
  print(f"- {sentences[0]}", flush=True)


def tree(folder: pathlib.Path) -> dict[str, str]:
  """Returns the digest of each file."""
  return {
    path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(folder.rglob("*"))
    if path.is_file() and path.name != ".lock"
  }


def write_imagenet(folder: pathlib.Path) -> None:
  """Writes as many pictures as ImageNet's validation part has, in as many classes."""
  folder.mkdir(parents=True)
  kinds = [folder.parent / f"{number}.png" for number in range(len(COLORS))]
  for path, color in zip(kinds, COLORS, strict=True):
    Image.new("RGB", (50, 40), color).save(path)
  for number in range(CLASSES):
    inside = folder / f"n{number:08}"
    inside.mkdir()
    for place in range(PICTURES):
      kind = kinds[(number * PICTURES + place) % len(kinds)]
      os.link(kind, inside / f"{place:02}.png")


def check_pictures(folder: pathlib.Path) -> None:
  """Checks that each exemplar of a merged network shows the picture of its id."""
  for layer in LAYERS:
    images = np.load(folder / layer / "images.npy")
    ids = np.loadtxt(folder / layer / "ids.csv", int, delimiter=",")
    colors = np.array(COLORS, np.uint8)[ids % len(COLORS)]
    if not (images == colors[..., None, None]).all():
      raise SystemExit(f"{folder / layer}: a picture is not the one of its id")


def kill_download(name: str, partial: pathlib.Path) -> int:
  """Kills a download when a part has come; returns the number of its bytes."""
  Host.stalls.set()
  script = "import sys; from milan_jax._src.commands.milan_data import main; main()"
  process = subprocess.Popen(
    [sys.executable, "-c", script, "download", f"--data={name}"],
    cwd=ROOT,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  half = len(Host.files[f"/data/{hyphenated(name)}.zip"]) // 2
  while not partial.exists() or partial.stat().st_size < half:
    if process.poll() is not None:
      raise SystemExit(f"the download ended with {process.returncode}")
    time.sleep(0.05)
  process.kill()
  process.wait()
  Host.stalls.clear()
  return partial.stat().st_size


def try_name(name: str, networks: tuple[str, ...], folder: pathlib.Path) -> str:
  """Trains on a network or a group, and describes it; returns a row of the table."""
  options = [f"--{flag}={value}" for flag, value in OPTIONS.items()]
  succeed("train", f"--data={name}", f"--workdir={folder / 'train'}", *options)
  succeed(
    "describe",
    f"--features={folder / 'train' / 'features'}",
    f"--milan={folder / 'train' / 'milan'}",
    f"--workdir={folder / 'describe'}",
    "--strategy=greedy",
  )
  with (folder / "describe" / "descriptions.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  # The last unit of each layer has too few annotations.
  expected = len(networks) * len(LAYERS) * (len(UNITS) - 1)
  said = [row for row in rows if row["description"]]
  if len(rows) != expected or len(said) != expected:
    raise SystemExit(f"{name}: {len(said)} of {expected} units are described")
  return f"| {name} | {len(networks)} | {len(rows)} | {rows[0]['description']} |"


def generalize(folder: pathlib.Path) -> None:
  """Runs the paper's experiments, and prints their table."""
  sizes = {name: OPTIONS[name] for name in OPTIONS if not name.endswith("annotations")}
  sizes |= {"encoder": "efficientnet-lite0", "max_epochs": 1, "trials": 1}
  sizes |= {"beam_size": 3, "worst": 1, "draws": 20}
  options = [f"--{flag}={value}" for flag, value in sizes.items()]
  config = f"--config={ROOT / 'configs' / 'paper_generalize.py'}"
  succeed("generalize", config, f"--workdir={folder}", *options)
  table = (folder / "table.md").read_text().split("\n\n")[0]
  # Of six networks within and left out both ways, and the paper's seven others.
  if table.count("\n") != 1 + 3 * 6 + 7:
    raise SystemExit(f"an experiment is missing: {table}")
  print(f"\nThe paper's experiments:\n\n{table}", flush=True)


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--names", nargs="*", help="what to train on; default: all")
  parser.add_argument("--generalize", action="store_true")
  wanted = parser.parse_args()
  names = {**{one: (one,) for one in NETWORKS}, **GROUPS}
  Host.files = {f"/data/{hyphenated(one)}.zip": archive(one) for one in NETWORKS}
  Host.asked = []
  with (
    tempfile.TemporaryDirectory() as temporary,
    http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host) as server,
  ):
    folder = pathlib.Path(temporary)
    os.environ |= {
      "JAX_PLATFORMS": "cpu",
      "MILAN_JAX_CACHE": os.fspath(folder / "cache"),
      "MILAN_JAX_HOST": f"http://127.0.0.1:{server.server_address[1]}",
      "no_proxy": "127.0.0.1",
    }
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = folder / "cache" / "milannotations"
    first = NETWORKS[0]
    partial = root / f"{hyphenated(first)}.zip.partial"
    print(f"killed after {kill_download(first, partial)} bytes of {first}", flush=True)
    everything = ",".join(NETWORKS)
    succeed("data", "download", f"--data={everything}")
    parts = [part for _, part in Host.asked if part]
    if len(Host.asked) != 2 * len(NETWORKS) or len(parts) != len(NETWORKS):
      raise SystemExit(f"expected each download to resume once: {Host.asked}")
    print(f"{len(parts)} downloads were cut once each, and resumed", flush=True)
    without = [name for name in NETWORKS if not has_pictures(name)]
    print("\nMissing pictures:\n")
    for one in without:
      refuse("train", f"--data={one}", f"--workdir={folder / 'none'}")
    refuse("data", "merge", f"--data={without[0]}")
    write_imagenet(folder / "imagenet" / "val")
    succeed("data", "merge", f"--data={everything}", f"--images={folder}")
    for one in without:
      check_pictures(root / one)
    for action in ("stats", "check", "export"):
      out = [f"--out={folder / 'exported'}"] if action == "export" else []
      succeed("data", action, f"--data={everything}", *out)
    print(
      "\n| --data | networks | units described | of the first one |\n|---|---|---|---|"
    )
    for number, name in enumerate(names if wanted.names is None else wanted.names):
      print(try_name(name, names[name], folder / str(number)), flush=True)
    if wanted.generalize:
      generalize(folder / "generalize")
    print("\nBad archives:\n")
    before = tree(root)
    path = f"/data/{hyphenated(first)}.zip"
    good = Host.files[path]
    damaged = bytearray(good)
    damaged[len(good) // 3] ^= 0xFF
    outside = zipped({"../../out": b"x", "annotations.csv": b"layer,unit,summary"})
    other = folder / "other"
    for content in (bytes(damaged), outside, None):
      Host.files.pop(path)
      Host.files |= {} if content is None else {path: content}
      refuse("data", "download", f"--data={first}", f"--data_root={other}")
      if tree(root) != before or [*folder.rglob("out")]:
        raise SystemExit("something else has changed")
      for left in other.glob("*.zip*"):
        left.unlink()  # as the message asks
    Host.files[path] = good
    succeed("data", "download", f"--data={first}", f"--data_root={other}")
    server.shutdown()


if __name__ == "__main__":
  main()

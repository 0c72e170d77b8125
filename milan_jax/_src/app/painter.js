// Chooses pictures and paints a region on each. Runs with `element`, `props` and
// `server` of Gradio's HTML component. Texts are set as text, never as HTML.
const input = element.querySelector("input[type=file]");
const brush = element.querySelector("input[type=range]");
const erase = element.querySelector("input[type=checkbox]");
const status = element.querySelector("[role=status]");
const list = element.querySelector(".milan-pictures");
const pictures = [];
const STEP = 8;

function say(text) {
  status.textContent = text;
}

function publish() {
  props.value = JSON.stringify(
    pictures.map(({ name, picture, canvas }) => ({
      name,
      picture,
      mask: canvas.toDataURL("image/png"),
    })),
  );
}

function make(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function paint(canvas, from, to) {
  const context = canvas.getContext("2d");
  context.globalCompositeOperation = erase.checked ? "destination-out" : "source-over";
  context.strokeStyle = "#ffdd00";
  context.lineCap = "round";
  context.lineWidth = Number(brush.value);
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.lineTo(to.x + 0.01, to.y); // a line of no length is not drawn
  context.stroke();
}

function place(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return {
    x: ((event.clientX - box.left) * canvas.width) / box.width,
    y: ((event.clientY - box.top) * canvas.height) / box.height,
  };
}

function listen(canvas, frame) {
  let last = null;
  const cursor = { x: canvas.width / 2, y: canvas.height / 2 };
  const show = () => {
    frame.style.setProperty("--x", `${(100 * cursor.x) / canvas.width}%`);
    frame.style.setProperty("--y", `${(100 * cursor.y) / canvas.height}%`);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = place(canvas, event);
    paint(canvas, last, last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (last === null) return;
    const next = place(canvas, event);
    paint(canvas, last, next);
    last = next;
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => {
      if (last !== null) publish();
      last = null;
    });
  }
  const moves = {
    ArrowLeft: [-STEP, 0],
    ArrowRight: [STEP, 0],
    ArrowUp: [0, -STEP],
    ArrowDown: [0, STEP],
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.key in moves) {
      const [right, down] = moves[event.key];
      cursor.x = Math.min(Math.max(cursor.x + right, 0), canvas.width);
      cursor.y = Math.min(Math.max(cursor.y + down, 0), canvas.height);
      show();
    } else if (event.key === " " || event.key === "Enter") {
      paint(canvas, cursor, cursor);
      publish();
    } else {
      return;
    }
    event.preventDefault();
  });
  show();
}

function add({ name, picture }) {
  const size = props.size;
  const canvas = make("canvas", { width: size, height: size, tabIndex: 0 });
  canvas.setAttribute("role", "application"); // keys go to it, not to a screen reader
  canvas.setAttribute(
    "aria-label",
    `Region on ${name}. Arrow keys move the brush, the space bar paints.`,
  );
  const image = make("img", { src: picture, alt: name, width: size, height: size });
  const frame = make("div", { className: "milan-frame" }, image, canvas);
  const entry = { name, picture, canvas };
  const clear = make("button", { type: "button", textContent: "Clear" });
  const remove = make("button", { type: "button", textContent: "Remove" });
  clear.setAttribute("aria-label", `Clear the region on ${name}`);
  remove.setAttribute("aria-label", `Remove ${name}`);
  const caption = make("figcaption", {}, name);
  const figure = make("figure", {}, frame, caption, clear, remove);
  clear.addEventListener("click", () => {
    canvas.getContext("2d").clearRect(0, 0, size, size);
    publish();
  });
  remove.addEventListener("click", () => {
    pictures.splice(pictures.indexOf(entry), 1);
    figure.remove();
    publish();
    input.focus();
  });
  listen(canvas, frame);
  pictures.push(entry);
  list.append(figure);
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

async function read(file) {
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  if (file.size > props.max_bytes) {
    return {
      error:
        `${file.name}: expected at most ${megabytes(props.max_bytes)}; ` +
        `found ${megabytes(file.size)}: make it smaller.`,
    };
  }
  try {
    return await server.prepare({ name: file.name, data: await base64(file) });
  } catch {
    return { error: `${file.name}: it could not be sent; try again.` };
  }
}

input.addEventListener("change", async () => {
  const files = [...input.files];
  input.value = "";
  const total = pictures.length + files.length;
  if (total > props.max_pictures) {
    say(
      `Pictures: expected at most ${props.max_pictures}; found ${total}: choose fewer.`,
    );
    return;
  }
  const problems = [];
  for (const file of files) {
    say(`Reading ${file.name}`);
    const found = await read(file);
    if (found.error) {
      problems.push(found.error);
    } else {
      add(found);
    }
  }
  publish();
  say([...problems, `${pictures.length} chosen.`].join(" "));
});

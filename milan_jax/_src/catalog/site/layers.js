"use strict";
// What the units of each layer are about, and a whole network in one picture.
(() => {
  const { make, store } = milan;
  let built = false;

  const bar = (layer, most) => {
    const { counts } = layer;
    const parts = ["described", "withheld", "dead"].filter((name) => counts[name]);
    const label = parts.map((name) => `${milan.number(counts[name])} ${name}`).join(", ");
    return make("div.stack", { role: "img", "aria-label": label, title: label, "--share": (counts.units / most).toFixed(4) },
      ...parts.map((name) => make(`span.${name}`, { "--part": (counts[name] / counts.units).toFixed(4) })));
  };

  const kinds = (layer, network) => {
    const all = store.facts.kinds.filter((kind) => layer.kinds[kind]);
    all.sort((a, b) => layer.kinds[b] - layer.kinds[a]);
    return make("ul.kinds", { "aria-label": `Kinds of words in ${layer.name}` }, ...all.map((kind) =>
      make("li", {}, make("a", {
        href: milan.listLink({ layer: layer.name, kind, state: "described", network: network.key }), "data-kind": kind,
        "--share": (layer.kinds[kind] / Math.max(1, layer.counts.described)).toFixed(4),
      }, make("span", {}, kind), make("span.count", {}, milan.percent(layer.kinds[kind] / Math.max(1, layer.counts.described)))))));
  };

  // One cell per unit, colored by the first kind of word of its description.
  const NONE = "none", UNDESCRIBED = "undescribed";
  const swatch = (name) => make(store.facts.kinds.includes(name) || name === NONE ? "span.swatch" : `span.swatch.${name}`,
    { "data-kind": name, "aria-hidden": "true" });
  // As the swatches of the legend have them, whatever the theme.
  const colors = (legend) => new Map([...legend.querySelectorAll(".swatch")].map((each) => {
    const style = getComputedStyle(each);
    return [each.dataset.kind, each.dataset.kind === UNDESCRIBED ? style.outlineColor : style.backgroundColor];
  }));
  const ORDER = ["animal", "person", "plant", "place", "text", "material", "thing", "pattern", "color", "light"];
  const kindOf = (place) => {
    const sort = milan.sort(place);
    if (sort !== "said") return sort;
    const bits = store.kinds[store.text[place]];
    return ORDER.find((name) => bits & (1 << store.facts.kinds.indexOf(name))) ?? NONE;
  };

  const mosaic = (layers, legend) => {
    const hint = "Point at a cell to see its unit, or move through them with the arrow keys; Enter opens it.";
    const tip = make("p.tip", { "aria-live": "polite" }, hint);
    const canvas = make("canvas.mosaic", { role: "application", tabindex: "0", "aria-label": "Every unit as a cell, a band for each layer, colored by the kind of word of its description; the numbers are below. Arrow keys move through the units, Enter opens one." });
    let cells = null, chosen = null; // the unit that the keys are at
    const show = (place) => { tip.textContent = place === null ? hint : `${milan.nameOf(place)}: ${milan.textOf(place)}`; };
    const paint = () => {
      const width = canvas.parentElement?.clientWidth;
      if (!width) return;
      const total = layers.reduce((sum, layer) => sum + layer.counts.units, 0);
      const size = Math.max(2, Math.min(14, Math.floor(Math.sqrt((width * 420) / total))));
      const columns = Math.floor(width / size);
      const named = layers.length <= 24;
      const font = "12px system-ui, sans-serif", line = 18;
      let y = 0;
      cells = { size, columns, bands: layers.map((layer) => {
        const top = y + (named ? line : 0);
        const band = { layer, top, lines: Math.ceil(layer.counts.units / columns) };
        y = top + band.lines * size + 6;
        return band;
      }) };
      const scale = devicePixelRatio || 1;
      canvas.width = width * scale;
      canvas.height = Math.max(1, y - 6) * scale;
      canvas.style.height = `${Math.max(1, y - 6)}px`;
      const pen = canvas.getContext("2d");
      pen.scale(scale, scale);
      const palette = colors(legend), edge = size > 4 ? 1 : 0;
      const quiet = getComputedStyle(tip).color, ink = getComputedStyle(document.body).color;
      let mark = null;
      pen.font = font;
      for (const { layer, top } of cells.bands) {
        pen.fillStyle = quiet;
        if (named) pen.fillText(layer.name, 0, top - 5);
        for (let i = 0; i < layer.counts.units; i++) {
          const kind = kindOf(layer.first + i), x = (i % columns) * size, y = top + Math.floor(i / columns) * size;
          if (kind === UNDESCRIBED && size > 4) {
            pen.strokeStyle = palette.get(kind);
            pen.strokeRect(x + 0.5, y + 0.5, size - edge - 1, size - edge - 1);
          } else {
            pen.fillStyle = palette.get(kind);
            pen.fillRect(x, y, size - edge, size - edge);
          }
          if (layer.first + i === chosen && canvas === document.activeElement) mark = [x, y];
        }
      }
      if (mark) {
        pen.strokeStyle = ink;
        pen.lineWidth = 2;
        pen.strokeRect(mark[0] - 1, mark[1] - 1, size - edge + 2, size - edge + 2);
      }
    };
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      const x = event.clientX - box.left, y = event.clientY - box.top;
      for (const { layer, top, lines } of cells?.bands ?? []) {
        const line = Math.floor((y - top) / cells.size);
        const i = line * cells.columns + Math.floor(x / cells.size);
        if (line >= 0 && line < lines && i < layer.counts.units) return layer.first + i;
      }
      return null;
    };
    canvas.addEventListener("pointermove", (event) => show(at(event)));
    // Where a key leads: down, from a layer's last line, is the next layer's first.
    const next = (key) => {
      const { bands, columns } = cells;
      const now = bands.findIndex(({ layer }) => chosen < layer.first + layer.counts.units);
      const { layer, lines } = bands[now], i = chosen - layer.first;
      const column = i % columns, line = Math.floor(i / columns);
      const inside = (band, l) => band.layer.first + Math.min(l * columns + column, band.layer.counts.units - 1);
      const last = bands.at(-1).layer;
      switch (key) {
        case "ArrowRight": return Math.min(chosen + 1, last.first + last.counts.units - 1);
        case "ArrowLeft": return Math.max(chosen - 1, bands[0].layer.first);
        case "ArrowDown": return line + 1 < lines ? inside(bands[now], line + 1) : bands[now + 1] ? inside(bands[now + 1], 0) : chosen;
        case "ArrowUp": return line > 0 ? inside(bands[now], line - 1) : bands[now - 1] ? inside(bands[now - 1], bands[now - 1].lines - 1) : chosen;
        case "Home": return bands[0].layer.first;
        case "End": return last.first + last.counts.units - 1;
        default: return null;
      }
    };
    canvas.addEventListener("focus", () => {
      chosen ??= layers[0].first;
      show(chosen);
      paint();
    });
    canvas.addEventListener("blur", () => { show(null); paint(); });
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Enter") { location.hash = milan.linkOf(chosen); return; }
      const place = next(event.key);
      if (place === null) return;
      event.preventDefault();
      chosen = place;
      show(chosen);
      paint();
    });
    canvas.addEventListener("click", (event) => {
      const place = at(event);
      if (place !== null) location.hash = milan.linkOf(place);
    });
    return { element: make("div.whole-network", {}, canvas, tip), paint };
  };

  const NAMES = { [NONE]: "no kind of word", [UNDESCRIBED]: "not described" };
  const legendOf = (layers) => {
    const rest = layers.some(({ counts }) => counts.units > counts.described + counts.withheld + counts.dead);
    return make("ul.legend", { "aria-label": "Colors" }, ...[...ORDER, NONE, "withheld", "dead", ...(rest ? [UNDESCRIBED] : [])].map((name) =>
      make("li", {}, swatch(name), NAMES[name] ?? name)));
  };

  milan.layers = {
    open: async () => {
      const charts = document.getElementById("layers-charts");
      await milan.everything;
      if (!built) {
        built = true;
        const paints = [];
        store.facts.networks.forEach((network, number) => {
          const layers = store.facts.layers.filter((layer) => layer.network === number && layer.counts.units);
          if (!layers.length) return;
          const most = Math.max(...layers.map((layer) => layer.counts.units));
          const legend = legendOf(layers), picture = mosaic(layers, legend);
          paints.push(picture.paint);
          charts.append(
            make("h3", {}, store.facts.networks.length > 1 ? `${network.title}: every unit` : "Every unit"), picture.element, legend,
            make("h3", {}, "What they are about"),
            make("div.layer-cards", {}, ...layers.map((layer) => make("article.layer-card", {},
              make("h4", {}, make("a", { href: milan.listLink({ layer: layer.name, network: network.key }) }, layer.name)),
              make("p.hint", {}, milan.plural(layer.counts.units, "unit")), bar(layer, most), kinds(layer, network)))),
            make("p.hint", {}, "Of the described units, how many mention a kind of word. A description may mention several."));
        });
        const paint = () => { for (const each of paints) each(); };
        new ResizeObserver(paint).observe(charts);
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
        milan.repaint = paint;
      }
      milan.repaint();
    },
  };
})();

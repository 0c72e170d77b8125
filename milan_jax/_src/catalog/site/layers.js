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
  const colors = () => {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    return { kinds: store.facts.kinds.map((kind) => of(`--kind-${kind}`)), withheld: of("--withheld"), dead: of("--line"), quiet: of("--quiet") };
  };
  const ORDER = ["animal", "person", "plant", "place", "text", "material", "thing", "pattern", "color", "light"];
  const colorOf = (place, palette) => {
    if (milan.isDead(place)) return palette.dead;
    if (milan.isWithheld(place)) return palette.withheld;
    const bits = store.kinds[store.text[place]];
    const kind = ORDER.find((name) => bits & (1 << store.facts.kinds.indexOf(name)));
    return kind ? palette.kinds[store.facts.kinds.indexOf(kind)] : palette.withheld;
  };

  const mosaic = (layers) => {
    const canvas = make("canvas.mosaic", { role: "img", "aria-label": "Every unit as a cell, a band for each layer, colored by the kind of word of its description; the numbers are below" });
    const tip = make("p.tip", { "aria-live": "off" }, "Point at a cell to see its unit.");
    let cells = null;
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
      const palette = colors(), edge = size > 4 ? 1 : 0;
      pen.font = font;
      for (const { layer, top } of cells.bands) {
        pen.fillStyle = palette.quiet;
        if (named) pen.fillText(layer.name, 0, top - 5);
        for (let i = 0; i < layer.counts.units; i++) {
          pen.fillStyle = colorOf(layer.first + i, palette);
          pen.fillRect((i % columns) * size, top + Math.floor(i / columns) * size, size - edge, size - edge);
        }
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
    canvas.addEventListener("pointermove", (event) => {
      const place = at(event);
      tip.textContent = place === null ? "Point at a cell to see its unit." : `${milan.nameOf(place)}: ${milan.textOf(place)}`;
    });
    canvas.addEventListener("click", (event) => {
      const place = at(event);
      if (place !== null) location.hash = milan.linkOf(place);
    });
    return { element: make("div.whole-network", {}, canvas, tip), paint };
  };

  const legend = () => make("ul.legend", { "aria-label": "Colors" }, ...ORDER.map((kind) =>
    make("li", {}, make("span.swatch", { "data-kind": kind, "aria-hidden": "true" }), kind)),
    make("li", {}, make("span.swatch.withheld", { "aria-hidden": "true" }), "withheld"), make("li", {}, make("span.swatch.dead", { "aria-hidden": "true" }), "dead"));

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
          const picture = mosaic(layers);
          paints.push(picture.paint);
          charts.append(
            make("h3", {}, store.facts.networks.length > 1 ? `${network.title}: every unit` : "Every unit"), picture.element, legend(),
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

"use strict";
// How a unit's activations are distributed: histograms, the threshold, and samples.
(() => {
  const { make, draw, store } = milan;
  const WIDTH = 320, SIDE = 8, BAND = 62, CAPTION = 14;

  const words = (x, y, content, anchor = "start") => draw("text", { x, y, "text-anchor": anchor }, content);

  // A histogram as bars: where each is, and how many values it has.
  const barsOf = ([start, width, counts]) =>
    counts.map((count, i) => ({ low: start + i * width, high: start + (i + 1) * width, count })).filter(({ count }) => count);
  const total = (bars) => bars.reduce((sum, { count }) => sum + count, 0);
  const middle = (bars) => {
    let left = total(bars) / 2;
    return bars.find(({ count }) => (left -= count) <= 0);
  };
  // On how many images the maximum exceeds the threshold; "" if that is not known. From
  // the histogram: of the bin that the threshold is in, any number may exceed it.
  milan.exceeding = (place, { distribution, threshold }) => {
    if (!distribution || threshold === undefined || milan.isDead(place)) return "";
    const bars = barsOf(distribution.maxima), level = Math.fround(threshold); // rounded digits
    const least = total(bars.filter(({ low }) => low > level));
    const most = total(bars.filter(({ high }) => high > level));
    const count = least === most ? milan.number(least) : `${milan.number(least)} to ${milan.number(most)}`;
    return `above the threshold on ${count} of ${milan.plural(total(bars), "image")}`;
  };
  const share = (value) => (value > 0 && value < 0.01 ? `${(100 * value).toPrecision(1)}%` : milan.percent(value));

  // In words what a histogram shows.
  const summary = (what, bars) =>
    `${what}: ${milan.number(total(bars))}, from ${milan.brief(bars[0].low)} to ${milan.brief(bars.at(-1).high)}, half of them below ${milan.brief(middle(bars).high)}`;

  milan.activations = (place, details) => {
    if (!details.activations || milan.isDead(place)) return null;
    const { threshold, distribution } = details, shown = details.activations;
    const bands = distribution
      ? [["Activations", distribution.values], ["Maximum on each image", distribution.maxima]]
        .map(([name, bins]) => [name, barsOf(bins)]).filter(([, bars]) => bars.length) : [];
    const all = bands.flatMap(([, bars]) => [bars[0].low, bars.at(-1).high]);
    const low = Math.min(...(all.length ? [] : [0]), threshold ?? Infinity, ...shown, ...all);
    const high = Math.max(...(all.length ? [] : [0]), threshold ?? -Infinity, ...shown, ...all);
    const span = high - low || 1, height = bands.length * (BAND + CAPTION) + 36, base = height - 20;
    const x = (value) => ((value - low) / span) * (WIDTH - 2 * SIDE) + SIDE;
    const line = (name, at, from, to) => draw("line", { class: name, x1: x(at), x2: x(at), y1: from, y2: to });
    const parts = bands.flatMap(([name, bars], i) => {
      const bottom = (i + 1) * (BAND + CAPTION), most = Math.log1p(Math.max(...bars.map(({ count }) => count)));
      return [
        ...bars.map((bar) => {
          const tall = (Math.log1p(bar.count) / most) * (BAND - 4);
          return draw("rect", { class: "bin", x: x(bar.low), width: Math.max(0.8, x(bar.high) - x(bar.low) - 0.4), y: bottom - tall, height: tall });
        }),
        draw("line", { class: "axis", x1: SIDE, x2: WIDTH - SIDE, y1: bottom, y2: bottom }),
        words(SIDE, bottom - BAND - 2, name),
      ];
    });
    const label = [
      ...bands.map(([name, bars]) => summary(name, bars)),
      `The images shown are at ${milan.brief(Math.min(...shown))} to ${milan.brief(Math.max(...shown))}`,
      ...(threshold === undefined ? [] : [`The threshold is ${milan.brief(threshold)}`]),
    ].join(". ");
    const picture = draw("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": `${label}.`, class: "range" },
      ...parts, ...shown.map((value) => line("mark", value, base - 2, base - 14)),
      draw("line", { class: "axis", x1: SIDE, x2: WIDTH - SIDE, y1: base, y2: base }),
      words(SIDE, height - 5, milan.brief(low)), words(WIDTH - SIDE, height - 5, milan.brief(high), "end"));
    if (threshold !== undefined) {
      picture.append(line("threshold", threshold, 4, base));
      picture.append(words(Math.min(Math.max(x(threshold), 74), WIDTH - 74), height - 5, `threshold ${milan.brief(threshold)}`, "middle"));
    }
    return make("section", {}, make("h3", {}, "Activations"), picture, make("p.hint", {}, bands.length
      ? "Bars, on a log scale: the activations at positions of all images, and their maximum on each image. Marks: the images shown above. Dashed: the threshold."
      : "Marks: the images shown. The histogram over all images was not stored."));
  };

  // One image of each part of the range of the maxima, highest first.
  milan.samples = (place, details) => {
    const samples = details.distribution?.samples;
    if (!samples?.activations.length || milan.isDead(place)) return null;
    const count = samples.activations.length;
    const { sample_tile: tile, gap } = store.facts;
    const images = samples.shares.reduce((sum, each) => sum + each, 0);
    const width = count * (tile + gap) - gap;
    const sheet = milan.cssUrl(milan.pictureOf(place, ".range.webp")), cover = milan.cssUrl(milan.pictureOf(place, ".range.cover.webp"));
    const answer = milan.isOff(place) ? "lowered by" : "activation";
    const items = samples.activations.map((value, i) => {
      const part = `${share(samples.shares[i] / images)} of images`;
      const below = samples.below[i];
      const known = [`Sample ${i + 1}`, `${answer} ${milan.brief(value)}`, `from an interval with ${part}`];
      if (below) known.push("below the threshold");
      if (samples.names) known.push(samples.names[i]);
      return make("li", {}, make("button.tile", {
        type: "button", "aria-pressed": "false", onclick: milan.press, "aria-label": known.join(", "), title: samples.names?.[i] ?? "", "--sheet": sheet, "--cover": cover,
        "--x": `${width > tile ? (i * (tile + gap) * 100) / (width - tile) : 0}%`, "--y": "0%", "--wide": `${(width * 100) / tile}%`, "--high": "100%",
      }, make("span.whole"), make("span.over")),
      make("span.level", { "aria-hidden": "true" }, milan.brief(value), below ? " (below)" : ""),
      make("span.level", { "aria-hidden": "true" }, part));
    });
    return make("section.wide", {}, make("h3", {}, "Samples from over the whole range"),
      make("ul.samples", { role: "list", "aria-label": "Samples, highest first" }, ...items),
      make("p.hint", {}, "The range of the maximum on an image is cut into equal intervals. Of each with an image, one image, with the region above the threshold; the whole image where nothing is above."));
  };
})();

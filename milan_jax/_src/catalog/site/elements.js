"use strict";
// Makes elements. All text goes in as text: no string is ever read as HTML.
(() => {
  milan.make = (tag, attributes = {}, ...children) => {
    const [name, ...classes] = tag.split(".");
    const element = document.createElement(name);
    if (classes.length) element.className = classes.join(" ");
    milan.set(element, attributes);
    element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  };
  milan.set = (element, attributes) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name.startsWith("--")) element.style.setProperty(name, value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
    return element;
  };
  const SVG = "http://www.w3.org/2000/svg";
  milan.draw = (tag, attributes = {}, ...children) => {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  const { make, store } = milan;
  milan.percent = (value) => `${Math.round(value * 100)}%`;
  // A fitted probability is never certain: as `confidence_text` of notebook.py has it.
  milan.probability = (value) =>
    value >= 0.995 ? ">99%" : value < 0.005 ? "<1%" : milan.percent(value);
  milan.number = (value) => value.toLocaleString("en-US");
  milan.decimal = (value) =>
    Number.isFinite(value) ? value.toFixed(2).replace("-", "−") : "n/a";
  // Three digits; what is very small or large as a power of ten.
  milan.brief = (value) => {
    const rounded = Number(value.toPrecision(3)), size = Math.abs(rounded);
    const text = size && (size < 1e-3 || size >= 1e6) ? rounded.toExponential() : String(rounded);
    return text.replace("+", "").replaceAll("-", "−");
  };
  milan.plural = (count, word) => `${milan.number(count)} ${word}${count === 1 ? "" : "s"}`;

  // A unit's sheet of regions, with the cover over it. The unit is named beside it, so it
  // is not named here once more to those who hear the page.
  milan.strip = (place) => {
    const sheet = make("img", { src: milan.pictureOf(place, ".webp"), decoding: "async", alt: "" });
    const cover = make("img.cover", {
      src: milan.pictureOf(place, ".cover.webp"), alt: "", decoding: "async",
    });
    return make("div.strip", {}, sheet, cover);
  };
  milan.sign = (place) =>
    milan.isOff(place) && !milan.isDead(place) ? make("span.sign", {}, "off: ") : null;
  milan.sort = (place) =>
    milan.isDead(place) ? "dead" : milan.isWithheld(place) ? "withheld" : milan.isDescribed(place) ? "said" : "undescribed";
  milan.said = (place, tag) =>
    make(`${tag}.${milan.sort(place)}`, {}, milan.sign(place), milan.textOf(place));

  milan.confidence = (place) => {
    const value = store.confidence[place];
    if (Number.isNaN(value)) return null;
    const label = milan.isWithheld(place)
      ? `withheld guess, ${milan.probability(value)}` : `confidence ${milan.probability(value)}`;
    return make(`span.sure${value < 0.5 ? ".low" : ""}`, {},
      make("span.bar", { "aria-hidden": "true", "--share": value.toFixed(3) }), label);
  };
  milan.firing = (place) => {
    const facts = [];
    const fires = store.fires[place], images = store.images[place];
    if (fires >= 0 && fires !== images) {
      facts.push(`fires on ${milan.number(fires)} of ${milan.number(images)} images`);
    }
    if (store.photographs[place] >= 0) {
      facts.push(`seen on ${milan.plural(store.photographs[place], "photograph")}`);
    }
    return facts.join(", ");
  };
  // A short link to a unit: its picture, name and description.
  milan.mention = (place, note) => make("a.mention", { href: milan.linkOf(place) },
    milan.strip(place),
    make("span.where", {}, make("span.name", {}, milan.nameOf(place)), note ? make("span.note", {}, note) : null),
    milan.said(place, "span"));

  // A pressed tile keeps showing the whole image.
  milan.press = ({ currentTarget: tile }) => {
    tile.setAttribute("aria-pressed", String(tile.getAttribute("aria-pressed") !== "true"));
  };

  milan.choice = (label, name, options, value, change) => {
    const select = make("select", { name, onchange: () => change(select.value) },
      ...options.map(([id, text]) => make("option", { value: id }, text)));
    select.value = value;
    return make("label.choice", {}, make("span", {}, label), select);
  };
})();

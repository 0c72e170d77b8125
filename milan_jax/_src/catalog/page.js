"use strict";
// Shows the cards that match the words and the layer. Without it, all are shown.
const tools = document.querySelector(".tools");
const words = tools.querySelector("input");
const layer = tools.querySelector("select");
const count = tools.querySelector("output");
const sections = [...document.querySelectorAll("section")].map((section) => ({
  section,
  cards: [...section.querySelectorAll(".card")].map((card) => ({
    card,
    text: (card.querySelector("h3").textContent + " "
      + card.querySelector("p").textContent).toLowerCase(),
  })),
}));

function show() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  let all = 0;
  for (const { section, cards } of sections) {
    const right = !layer.value || layer.value === section.id;
    let any = false;
    for (const { card, text } of cards) {
      const fits = right && wanted.every((word) => text.includes(word));
      card.hidden = !fits;
      any ||= fits;
      shown += fits;
    }
    all += cards.length;
    section.hidden = !any;
  }
  count.textContent = shown === all ? `${all} units` : `${shown} of ${all} units`;
}

tools.hidden = false;
words.addEventListener("input", show);
layer.addEventListener("change", show);
show();


"use strict";
const cards = [...document.querySelectorAll(".card")];
const verdicts = new Map(Object.entries(JSON.parse(document.getElementById("given").textContent)));
const field = (name) => document.getElementById(name);
let unsaved = false;

function shows(card) {
  const state = field("state").value, verdict = verdicts.get(card.dataset.id)?.verdict ?? "";
  const words = field("words").value.toLowerCase().split(/\s+/).filter(Boolean);
  return (!field("origin").value || card.dataset.origin === field("origin").value)
    && (!field("template").value || card.dataset.templates.split(" ").includes(field("template").value))
    && (!field("answered")?.value || card.dataset.answers.split(" ").includes(field("answered").value))
    && (!state || (state === "kept" && !card.dataset.reason) || (state === "doubtful" && card.dataset.doubts)
      || (state === "marked" && verdict) || state === "because " + card.dataset.reason)
    && words.every((word) => card.dataset.search.includes(word));
}

function filter() {
  let shown = 0;
  for (const card of cards) {
    card.hidden = !shows(card);
    shown += !card.hidden;
  }
  field("shown").textContent = `${shown} of ${cards.length} shown`;
}

function paint(card) {
  const given = verdicts.get(card.dataset.id);
  for (const button of card.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(given?.verdict === button.value));
  }
  card.classList.toggle("rejected", given?.verdict === "reject");
  card.classList.toggle("saved", given?.verdict === "keep");
  const comment = card.querySelector("input");
  comment.hidden = !given;
  comment.value = given?.comment ?? "";
}

function count() {
  const values = [...verdicts.values()].map((given) => given.verdict);
  const number = (verdict) => values.filter((value) => value === verdict).length;
  field("marked").textContent = `${number("reject")} rejected, ${number("keep")} kept`;
  field("download").disabled = verdicts.size === 0;
}

const cell = (value) => /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;

function download() {
  const lines = [["triplet_id", "verdict", "comment"]];
  for (const [id, given] of [...verdicts].sort()) lines.push([id, given.verdict, given.comment]);
  const text = lines.map((line) => line.map(cell).join(",")).join("\n") + "\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "verdicts.csv";
  link.click();
  URL.revokeObjectURL(link.href);
  unsaved = false;
}

for (const card of cards) {
  card.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const given = verdicts.get(card.dataset.id);
    if (given?.verdict === button.value) verdicts.delete(card.dataset.id);
    else verdicts.set(card.dataset.id, { verdict: button.value, comment: given?.comment ?? "" });
    unsaved = true;
    paint(card);
    count();
  });
  card.querySelector("input").addEventListener("input", (event) => {
    verdicts.get(card.dataset.id).comment = event.target.value;
    unsaved = true;
  });
  paint(card);
}
for (const name of ["origin", "template", "state", "answered", "words"]) field(name)?.addEventListener("input", filter);
field("download").addEventListener("click", download);
window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
filter();
count();

"use strict";
// Right, wrong, unsure on every hit of a query, and "none of these" on all of them; each is sent at once.
// Loaded before page.js, whose functions (at, make, ask) it calls.

const VERDICTS = [["right", "✓"], ["wrong", "✗"], ["unsure", "?"]]; // keys 1, 2, 3
const WHOLE_QUERY = "", POOLED = "pooled", QUEUE_LENGTH = 50;
let takesJudgements = false;
let verdicts = new Map(); // image id → verdict, of the query on the page and the judge by name
let sending = Promise.resolve(); // one after the other, so that the last verdict on a hit is the last one to be stored
let unsent = 0;
let judged = null;        // the answer that is judged: its index, references and text
let queueEnd = null;      // number of the query after which the queue has been worked through; null: no queue

const judgeName = () => at("judge").value.trim();

function isJudgeable(answer) {
  const pictures = reference ? [reference, ...further] : [];
  return takesJudgements && Boolean(answer.index && answer.text && pictures.length) && !pictures.some((image) => image.file)
    && ["composed", "sum"].includes(answer.query);
}

function verdictButton(name, sign, label) {
  const button = make("button", "verdict " + name, sign);
  Object.assign(button, { type: "button", title: label, ariaLabel: label, ariaPressed: "false" });
  button.dataset.verdict = name;
  return button;
}

// What is asked of the server and shown: hits of one query, whose answer names the index and the model.
// Adds the buttons to the hits of one column. Verdicts are of the query, so that all columns show the same.
function offerJudging(section, list, answer) {
  if (answer.model !== POOLED && !isJudgeable(answer)) return;
  [...list.children].forEach((item, rank) => {
    const hit = answer.hits[rank], group = make("span", "verdicts");
    group.role = "group";
    group.ariaLabel = "Judge hit " + (rank + 1);
    VERDICTS.forEach(([name, sign], number) => {
      const button = verdictButton(name, sign, name + " (key " + (number + 1) + ")");
      button.addEventListener("click", () => judge(answer, name, hit));
      group.append(button);
    });
    item.dataset.id = hit.image_id;
    item.judge = (number) => judge(answer, VERDICTS[number][0], hit);
    item.append(group);
  });
  const none = verdictButton("none", "None of these", "None of these is right");
  none.addEventListener("click", () => judge(answer, "none"));
  section.querySelector(".asked").append(" ", none);
  if (judged?.index !== answer.index) readVerdicts(answer);
  showVerdicts(section);
  showVerdicts(list); // which is not on the page yet
}

function ofQuery({ index, image_ids, text }) {
  const query = new URLSearchParams({ index, text, judge: judgeName() });
  for (const imageId of image_ids) query.append("image_id", imageId);
  return "api/judgements?" + query;
}

async function readVerdicts(answer) {
  judged = answer;
  try {
    const given = await (await ask(ofQuery(answer))).json();
    if (judged !== answer) return;
    verdicts = new Map([...Object.entries(given.verdicts), ...verdicts]); // what was judged meanwhile is newer
    showVerdicts();
    at("serves").textContent = given.purpose ? "Judgements on this query serve " + { train: "training", validation: "fitting", evaluation: "evaluation" }[given.purpose] + "."
      : "The reference images are of different splits: this query cannot be judged.";
  } catch (error) {
    at("serves").textContent = "What was judged before cannot be shown: " + error.message;
  }
}

function showVerdicts(within = document) {
  for (const button of within.querySelectorAll(".verdict")) {
    const imageId = button.closest("li")?.dataset.id ?? WHOLE_QUERY;
    button.ariaPressed = String(verdicts.get(imageId) === button.dataset.verdict);
  }
}

function send(judgement) {
  const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(judgement) };
  unsent += 1;
  const sent = sending.then(() => ask("api/judgements", options)).finally(() => { unsent -= 1; });
  sending = sent.catch(() => {}); // the next one is sent all the same
  return sent;
}

// The same verdict again takes it back.
async function judge(answer, name, hit = { image_id: WHOLE_QUERY }) {
  const before = verdicts.get(hit.image_id), verdict = before === name ? "withdrawn" : name;
  const showing = (now) => {
    if (now === undefined) verdicts.delete(hit.image_id);
    else verdicts.set(hit.image_id, now);
    showVerdicts();
  };
  showing(verdict === "withdrawn" ? undefined : name);
  try {
    await send({
      judge: judgeName(), model: answer.model, index: answer.index, image_ids: answer.image_ids, text: answer.text,
      image_id: hit.image_id, rank: hit.rank ?? null, verdict, shown: hit.image_id === WHOLE_QUERY ? answer.hits.map((each) => each.image_id) : [],
    });
    at("error").hidden = true;
  } catch (error) {
    showing(before);
    at("error").textContent = "Not kept: " + error.message;
    at("error").hidden = false;
  }
  if (!unsent && answer.model === POOLED && judged === answer && isDone(answer)) nextOfQueue();
}

const isDone = ({ hits }) => verdicts.has(WHOLE_QUERY) || hits.every((hit) => verdicts.has(hit.image_id));

// The next query of the queue: first hits of all models in random order, without saying whose.
async function nextOfQueue() {
  const number = ++latest;
  at("status").textContent = "Searching with all models…";
  at("serves").textContent = "";
  try {
    const next = await (await ask("api/judging/next?" + new URLSearchParams({ judge: judgeName() }))).json();
    if (number !== latest) return;
    queueEnd ??= Math.min(next.total, next.number + QUEUE_LENGTH);
    const wide = next.judged + " judged: how often the first hit is right is known to ± " + Math.round(100 * next.half_width) + " points.";
    if (!next.reference || next.number >= queueEnd) return endQueue(next.total ? "Done, thank you: " + wide : "There are no held-out queries to judge.");
    showOfQueue(next);
    at("status").textContent = "Query " + (next.number + 1) + " of " + queueEnd + ". " + wide;
  } catch (error) {
    if (number === latest) fail(error);
  }
}

function showOfQueue(next) {
  forgetVerdicts();
  [reference, further, asked] = [next.reference, [], next.text];
  at("text").value = next.text;
  showReference();
  const [section] = layOut([{ name: "composed", query: "composed" }]);
  section.querySelector("h2").textContent = "Which of these are right?";
  const answer = { index: next.index, model: POOLED, query: "composed", text: next.text, image_ids: [next.reference.image_id], hits: next.hits, vectors: "" };
  const list = make("ol", "grid");
  list.append(...next.hits.map((hit) => tile(hit)));
  fill(section, list);
  offerJudging(section, list, answer);
  list.querySelector(".tile").focus({ preventScroll: true });
  scrollTo({ top: 0 });
}

function endQueue(says) {
  queueEnd = null;
  at("columns").hidden = true;
  at("status").textContent = says;
}

// Before another query is asked.
function forgetVerdicts() {
  judged = null;
  verdicts = new Map();
  at("serves").textContent = "";
}

function startJudging() {
  at("columns").addEventListener("keydown", (event) => {
    const item = event.target.closest("li[data-id]"), number = ["1", "2", "3"].indexOf(event.key);
    if (!item || number < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    item.judge(number);
    (item.nextElementSibling ?? item).querySelector(".tile").focus();
  });
  at("queue").addEventListener("click", () => {
    queueEnd = null;
    if (matchMedia("(max-width: 760px)").matches) at("judging").open = at("compare").open = false; // the hits come into sight
    nextOfQueue();
  });
  at("judge").value = localStorage.getItem("judge") ?? "";
  at("judge").addEventListener("change", () => {
    localStorage.setItem("judge", judgeName());
    verdicts = new Map();
    if (judged) readVerdicts(judged);
  });
}

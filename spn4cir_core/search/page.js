"use strict";
// Every string of the data reaches the page as text (textContent, alt, value), never as markup.

const TOP = 24, START = 36, PICTURES_KEPT = 600;
const TITLES = { composed: "Picture + text", image: "Picture only", text: "Text only", sum: "Picture + text, added" };
const at = (id) => document.getElementById(id);
let reference = null; // {image_id, caption}, {file, caption}, or null
let further = [];     // more reference images, of the same form
let asked = "";       // the text of the last search
let latest = 0;       // answers to older searches are thrown away
let reranks = false;  // whether the server has a reranker, whose answer comes later
const pictures = new Map();
const models = {}; // name → title, of the models beside the indexed one; a column without a model is the indexed one's answer
const offered = ["image", "text", "sum"]; // what can be shown beside; models follow once the server has listed them

function make(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) {
    element.textContent = text;
    element.dir = "auto"; // captions may be written from right to left
  }
  return element;
}

// ---- talking to the server

function unlock() {
  return new Promise((resolve) => {
    at("unlock").onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem("token", at("token").value.trim());
      at("token").value = "";
      at("locked").close();
      resolve();
    };
    at("locked").oncancel = (event) => event.preventDefault();
    at("locked").showModal();
  });
}

let unlocking = null;
async function ask(address, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = { ...options.headers, ...(token ? { Authorization: "Bearer " + token } : {}) };
  let response;
  try {
    response = await fetch(address, { ...options, headers });
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  if (response.status === 401) {
    if (token === sessionStorage.getItem("token")) {
      unlocking ??= unlock().finally(() => { unlocking = null; });
      await unlocking;
    }
    return ask(address, options);
  }
  if (!response.ok) {
    const says = await response.json().catch(() => ({}));
    throw new Error(says.error || "The server answered with status " + response.status);
  }
  return response;
}

// The address of a thumbnail as a blob: an <img> could not send the token.
function thumbnail(imageId) {
  if (!pictures.has(imageId)) {
    const made = ask("thumbnail/" + encodeURIComponent(imageId)).then((response) => response.blob()).then(URL.createObjectURL);
    made.catch(() => pictures.delete(imageId));
    pictures.set(imageId, made);
    if (pictures.size > PICTURES_KEPT) {
      const [oldest, url] = pictures.entries().next().value;
      pictures.delete(oldest);
      url.then(URL.revokeObjectURL, () => {});
    }
  }
  return pictures.get(imageId);
}

// ---- what is seen

function show(image, picture) {
  picture.alt = image.caption || image.image_id;
  const url = image.file ? Promise.resolve(URL.createObjectURL(image.file)) : thumbnail(image.image_id);
  url.then((address) => { picture.src = address; }, () => { picture.alt += " (picture not found)"; });
  return picture;
}

function tile(image, best = 1) {
  const button = make("button", "tile");
  button.type = "button";
  button.title = image.image_id;
  button.append(show(image, make("img")));
  const says = make("span", "says");
  if (image.rank !== undefined) {
    const measure = make("span", "measure");
    measure.append(make("span", "", String(image.rank + 1)), make("span", "", image.score.toFixed(2)));
    const bar = make("span", "bar"), filled = make("i");
    const parts = Object.entries(image.channels ?? {}).filter(([, part]) => part > 0);
    const whole = parts.reduce((sum, [, part]) => sum + part, 0);
    filled.style.width = Math.max(0, Math.min(1, parts.length ? image.score / best : image.score)) * 100 + "%";
    bar.append(filled);
    says.append(measure, bar);
    if (parts.length) {
      const why = make("span", "why", "by " + parts[0][0]);
      why.title = parts.map(([title, part]) => title + ": " + Math.round((100 * part) / whole) + " %").join("\n");
      says.append(why);
    }
  }
  const caption = make("span", "caption", image.caption || image.image_id);
  caption.ariaHidden = "true"; // the picture's alt text says it
  caption.title = image.caption || image.image_id; // whole, where the tile ends after two lines
  says.append(caption);
  button.append(says);
  button.addEventListener("click", () => choose(image));
  const item = make("li");
  item.append(button);
  return item;
}

function showReference() {
  at("reference").classList.toggle("none", !reference);
  const picture = make("img");
  picture.addEventListener("error", () => picture.replaceWith("This picture cannot be shown"));
  at("frame").replaceChildren(reference ? show(reference, picture) : "No reference image yet");
  at("reference-caption").textContent = reference ? reference.caption || reference.image_id : "";
  at("reference-caption").title = at("reference-caption").textContent;
  at("adding").hidden = !reference;
  at("region-buttons").hidden = !reference;
  endRegion();
  at("further").hidden = !further.length;
  at("further").replaceChildren(...further.map(furtherTile));
}

// A further reference image; a click takes it out again.
function furtherTile(image) {
  const button = make("button"), item = make("li");
  button.type = "button";
  button.title = "Take out: " + (image.caption || image.image_id);
  button.append(show(image, make("img")));
  button.addEventListener("click", () => {
    further = further.filter((other) => other !== image);
    showReference();
    remember();
    search();
  });
  item.append(button);
  return item;
}

// A column is one question: its class names it, its heading says it, its body waits for the answer.
function column({ name, query, model }) {
  const section = make("section", "column " + name);
  const heading = make("h2", "", model ? models[model] : TITLES[query]);
  heading.id = "column-" + name;
  section.setAttribute("aria-labelledby", heading.id);
  section.setAttribute("aria-busy", "true");
  const says = query === "image" ? "the reference image alone" : "“" + asked + "”";
  section.append(heading, make("p", "asked", says), waiting());
  return section;
}

function waiting() {
  const list = make("div", "grid waiting");
  list.ariaHidden = "true";
  for (let number = 0; number < 6; number += 1) list.append(make("div", "blank"));
  return list;
}

function fill(section, body) {
  section.removeAttribute("aria-busy");
  section.querySelector(".grid, .empty, .error")?.replaceWith(body);
}

function grid(answer, section) {
  const { hits, vectors } = answer;
  if (!hits.length) return make("p", "empty", "No other picture can be found.");
  if (vectors) section.querySelector(".asked").append(make("br"), vectors);
  const list = make("ol", "grid");
  list.append(...hits.map((hit) => tile(hit, Math.max(hits[0].score, 1e-6))));
  offerJudging(section, list, answer);
  return list;
}

// Where a hit of another column stands in the first one.
function compare(sections) {
  const [first, ...others] = sections;
  const ranks = new Map([...first.querySelectorAll(".tile")].map((each, rank) => [each.title, rank + 1]));
  for (const each of others.flatMap((section) => [...section.querySelectorAll(".tile")])) {
    each.querySelector(".there")?.remove();
    const rank = ranks.get(each.title);
    const there = make("span", "there", rank ? "↔ " + rank : "new");
    there.ariaLabel = rank ? "number " + rank + " in the first column" : "not in the first column";
    there.role = "img";
    each.querySelector(".measure").children[0].after(there);
  }
}

function layOut(questions) {
  const sections = questions.map(column);
  at("columns").replaceChildren(...sections);
  at("columns").style.setProperty("--columns", sections.length);
  at("columns").className = "columns" + (sections.length > 1 ? " several" : "") + (sections.length === 2 ? " two" : sections.length > 3 ? " many" : "");
  at("columns").hidden = false;
  at("corpus").hidden = true;
  return sections;
}

function told(first) {
  const how = first.query === "image" ? "like the reference image; now say what should be different"
    : (first.query === "text" ? "for the text “" : "for the reference image and “") + first.text + "”";
  return [first.hits.length ? first.hits.length + " pictures " + how + "." : "", first.note].filter(Boolean).join(" ");
}

function fail(error) {
  at("error").textContent = error.message;
  at("error").hidden = false;
  at("columns").hidden = true; // hits of another query would pass for this one's
  at("status").textContent = "";
}

function mark(imageId) {
  for (const each of document.querySelectorAll(".several .tile")) each.classList.toggle("same", each.title === imageId);
}

// ---- what is done

// The questions of all columns; the first one's answer decides whether there are any.
function questions() {
  const query = !asked ? "image" : reference ? "composed" : "text";
  const main = { name: query, query };
  const others = query === "composed" ? ["image", "text", "sum"].map((name) => ({ name, query: name })) : [];
  const besides = Object.keys(models).map((name) => ({ name, query, model: name }));
  return [main, ...[...others, ...besides].filter(({ name }) => at("beside-" + name).checked)];
}

async function answer({ query, model, rerank }) {
  const form = new FormData();
  form.append("query", query);
  if (rerank) form.append("rerank", "true");
  if (model) form.append("model", model);
  form.append("top", TOP);
  form.append("text", asked);
  for (const condition of conditions()) form.append("where", condition);
  for (const image of reference ? [reference, ...further] : []) {
    if (image.file) form.append("image", image.file, "picture");
    else form.append("image_id", image.image_id);
  }
  return (await ask("api/search", { method: "POST", body: form })).json();
}

async function search() {
  at("error").hidden = true;
  if (!reference && !asked) return fail(new Error("Choose or upload a reference image, or say what you look for."));
  forgetVerdicts();
  const number = ++latest, asking = questions(), sections = layOut(asking);
  at("status").textContent = "Searching…";
  const answers = asking.map(async (question, place) => {
    try {
      const found = await answer(question);
      if (number === latest) fill(sections[place], grid(found, sections[place]));
      return found;
    } catch (error) {
      if (number === latest) fill(sections[place], make("p", "error", error.message));
      return place ? null : Promise.reject(error);
    }
  });
  try {
    const first = await answers[0];
    if (number !== latest) return;
    at("status").textContent = told(first);
    const later = reranks && asking[0].query === "composed" ? putInOrder(number, asking[0], sections[0]) : null;
    await Promise.all([...answers, later]);
    if (number === latest) compare(sections);
  } catch (error) {
    if (number === latest) fail(error);
  }
}

// The reranker's answer comes later and replaces the first one in its place, so that nothing on the page moves.
async function putInOrder(number, question, section) {
  const before = at("status").textContent;
  at("status").textContent = before + " A reranker is looking at them…";
  try {
    const better = await answer({ ...question, rerank: true });
    if (number !== latest) return;
    at("status").textContent = told(better) + (better.reranked ? " In the reranker's order." : "");
    const old = section.querySelector("ol.grid"), focused = document.activeElement?.title;
    if (!better.reranked || !old) return;
    section.querySelector(".asked .verdict.none")?.remove(); // the new grid brings its own
    const list = grid(better, section);
    list.style.minHeight = old.offsetHeight + "px";
    old.replaceWith(list);
    showVerdicts();
    if (focused) [...list.querySelectorAll(".tile")].find((each) => each.title === focused)?.focus({ preventScroll: true });
  } catch (error) {
    if (number === latest) at("status").textContent = before + " The reranker did not answer: " + error.message;
  }
}

// The address names the query, so that Back and a bookmark work. An uploaded picture has no name to keep.
function remember() {
  const query = new URLSearchParams();
  for (const image of [reference, ...further]) if (image?.image_id) query.append("image", image.image_id);
  if (asked) query.set("text", asked);
  for (const condition of conditions()) query.append("where", condition);
  if (beside()) query.set("beside", beside());
  addRecent(reference ? [reference, ...further] : [], asked);
  history.pushState({ reference, further, asked, where: conditions() }, "", query.size ? "?" + query : location.pathname);
}

const beside = () => offered.filter((name) => at("beside-" + name).checked).join(" ");

function askAgain() {
  if (!reference && !asked) return;
  remember();
  search();
}

// One box for each other model of the server; one that cannot be asked says why.
async function offerModels() {
  const { models: [, ...others], judging } = await (await ask("api/models")).json(); // the first one is the indexed one
  takesJudgements = judging;
  at("judging").hidden = !judging;
  for (const { name, title, missing } of others) {
    const label = make("label", missing ? "missing" : ""), box = make("input");
    Object.assign(box, { type: "checkbox", id: "beside-" + name, disabled: Boolean(missing) });
    box.addEventListener("change", askAgain);
    label.append(box, " " + title);
    if (missing) label.append(make("small", "", missing));
    at("models").append(label);
    models[name] = title;
    offered.push(name);
  }
  at("models").hidden = !others.length;
}

function choose(image) {
  const one = image.file ? image : { image_id: image.image_id, caption: image.caption };
  if (reference && at("add").checked) {
    further = [...further, one];
  } else {
    [reference, further] = [one, []];
    asked = at("text").value = "";
  }
  at("add").checked = false;
  showReference();
  remember();
  search();
  scrollTo({ top: 0 });
  // A keyboard that slides over the hits is in the way on a touch screen.
  (matchMedia("(pointer: fine)").matches ? at("text") : at("reference")).focus({ preventScroll: true });
}

function upload(file) {
  if (file) choose({ file, caption: "your picture: " + file.name });
}

function submit() {
  asked = at("text").value.trim();
  remember();
  search();
}

async function start(seed) {
  at("columns").hidden = true;
  at("corpus").hidden = false;
  at("status").textContent = "";
  if (!at("start").children.length) at("start").replaceChildren(...waiting().children);
  try {
    const found = await (await ask("api/images?count=" + START + "&seed=" + seed)).json();
    reranks = found.reranks;
    at("pictures").textContent = found.name + " · " + found.total.toLocaleString("en") + " pictures";
    at("start").replaceChildren(...found.images.map((image) => tile(image)));
    at("start").removeAttribute("aria-busy");
  } catch (error) {
    at("start").replaceChildren();
    fail(error);
  }
}

const shuffle = () => start(Math.floor(Math.random() * 2 ** 31));

function restore(state) {
  reference = state?.reference ?? null;
  further = state?.further ?? [];
  at("add").checked = false;
  asked = at("text").value = state?.asked ?? "";
  setConditions(state?.where ?? []);
  at("error").hidden = true;
  showReference();
  if (reference || asked) search();
  else start(0);
}

at("ask").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); submit(); }
});
at("upload").addEventListener("change", (event) => { upload(event.target.files[0]); event.target.value = ""; });
at("choose").addEventListener("click", () => { shuffle(); at("corpus-heading").scrollIntoView({ block: "center" }); });
at("shuffle").addEventListener("click", shuffle);
for (const name of ["image", "text", "sum"]) at("beside-" + name).addEventListener("change", askAgain);
for (const kind of ["mouseover", "focusin"]) at("columns").addEventListener(kind, (event) => mark(event.target.closest(".tile")?.title));
at("columns").addEventListener("mouseleave", () => mark());
addEventListener("popstate", (event) => restore(event.state));
for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    at("page").classList.toggle("over", kind === "dragover");
    if (kind === "drop") upload(event.dataTransfer.files[0]);
  });
}

// Light or dark as the system has it, until the reader says otherwise.
const setTheme = (theme) => { if (theme) document.documentElement.dataset.theme = theme; };
setTheme(localStorage.getItem("theme"));
at("theme").addEventListener("click", () => {
  const isDark = getComputedStyle(document.documentElement).getPropertyValue("color-scheme") === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  localStorage.setItem("theme", isDark ? "light" : "dark");
  setTheme(localStorage.getItem("theme"));
});
startJudging();
startRecent();
startRegion();
const opened = new URLSearchParams(location.search);
const [named, ...more] = opened.getAll("image").map((name) => ({ image_id: name, caption: name }));
// The start page is fetched in any case: it says what the pictures are called and how many there are.
Promise.all([start(0), offerModels().catch(fail), offerFilters().catch(fail)]).then(() => {
  for (const name of (opened.get("beside") ?? "").split(" ")) {
    if (offered.includes(name) && !at("beside-" + name).disabled) at("beside-" + name).checked = true;
  }
  at("compare").open = Boolean(beside()) || matchMedia("(min-width: 761px)").matches;
  if (named || opened.get("text")) {
    restore({ reference: named ?? null, further: more, asked: opened.get("text") ?? "", where: opened.getAll("where") });
  }
});

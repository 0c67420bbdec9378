"use strict";
// Every string of the data reaches the page as text (textContent, alt, value), never as markup.

const TOP = 24, START = 36, PICTURES_KEPT = 600;
const TITLES = { composed: "Picture + text", image: "Picture only", text: "Text only" };
const at = (id) => document.getElementById(id);
let reference = null; // {image_id, caption}, {file, caption}, or null
let asked = "";       // the text of the last search
let latest = 0;       // answers to older searches are thrown away
const pictures = new Map();

function make(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
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
  const headers = token ? { Authorization: "Bearer " + token } : {};
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

function tile(image) {
  const button = make("button", "tile");
  button.type = "button";
  button.title = image.image_id;
  button.append(show(image, make("img")));
  const says = make("span", "says");
  if (image.rank !== undefined) {
    const measure = make("span", "measure");
    measure.append(make("span", "", String(image.rank + 1)), make("span", "", image.score.toFixed(2)));
    const bar = make("span", "bar"), filled = make("i");
    filled.style.width = Math.max(0, Math.min(1, image.score)) * 100 + "%";
    bar.append(filled);
    says.append(measure, bar);
  }
  const caption = make("span", "caption", image.caption || image.image_id);
  caption.ariaHidden = "true"; // the picture's alt text says it
  says.append(caption);
  button.append(says);
  button.addEventListener("click", () => choose(image));
  const item = make("li");
  item.append(button);
  return item;
}

function showReference() {
  at("reference").classList.toggle("none", !reference);
  at("frame").replaceChildren(reference ? show(reference, make("img")) : "No reference image yet");
  at("reference-caption").textContent = reference ? reference.caption || reference.image_id : "";
}

function column({ query, text, hits }) {
  const section = make("section", "column " + query);
  section.setAttribute("aria-label", TITLES[query]);
  section.append(make("h2", "", TITLES[query]));
  section.append(make("p", "asked", query === "image" ? "the reference image alone" : "“" + text + "”"));
  const list = make("ol", "grid");
  list.append(...hits.map(tile));
  section.append(list);
  return section;
}

function showAnswers(answers) {
  at("columns").replaceChildren(...answers.map(column));
  at("columns").style.setProperty("--columns", answers.length);
  at("columns").className = "columns" + (answers.length > 1 ? " several" : "") + (answers.length === 2 ? " two" : "");
  at("columns").hidden = false;
  at("corpus").hidden = true;
  const [first] = answers;
  const how = first.query === "image" ? "like the reference image; now say what should be different"
    : (first.query === "text" ? "for the text “" : "for the reference image and “") + first.text + "”";
  at("status").textContent = first.hits.length + " pictures " + how + ".";
}

function fail(error) {
  at("error").textContent = error.message;
  at("error").hidden = false;
  at("columns").hidden = true; // hits of another query would pass for this one's
  at("status").textContent = "";
}

// ---- what is done

function queries() {
  if (!asked) return ["image"];
  if (!reference) return ["text"];
  return ["composed", ...["image", "text"].filter((name) => at("beside-" + name).checked)];
}

async function search() {
  at("error").hidden = true;
  if (!reference && !asked) return fail(new Error("Choose or upload a reference image, or say what you look for."));
  const number = ++latest;
  at("page").classList.add("busy");
  at("status").textContent = "Searching…";
  try {
    const answers = await Promise.all(queries().map(async (query) => {
      const form = new FormData();
      form.append("query", query);
      form.append("top", TOP);
      form.append("text", asked);
      if (reference?.file) form.append("image", reference.file, "picture");
      else if (reference) form.append("image_id", reference.image_id);
      return (await ask("api/search", { method: "POST", body: form })).json();
    }));
    if (number === latest) showAnswers(answers);
  } catch (error) {
    if (number === latest) fail(error);
  } finally {
    if (number === latest) at("page").classList.remove("busy");
  }
}

// The address names the query, so that Back and a bookmark work. An uploaded picture has no name to keep.
function remember() {
  const query = new URLSearchParams();
  if (reference?.image_id) query.set("image", reference.image_id);
  if (asked) query.set("text", asked);
  if (beside()) query.set("beside", beside());
  history.pushState({ reference, asked }, "", query.size ? "?" + query : location.pathname);
}

const beside = () => ["image", "text"].filter((name) => at("beside-" + name).checked).join(" ");

function choose(image) {
  reference = image.file ? image : { image_id: image.image_id, caption: image.caption };
  asked = at("text").value = "";
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
  try {
    const found = await (await ask("api/images?count=" + START + "&seed=" + seed)).json();
    at("pictures").textContent = found.name + " · " + found.total.toLocaleString("en") + " pictures";
    at("start").replaceChildren(...found.images.map(tile));
  } catch (error) {
    fail(error);
  }
}

const shuffle = () => start(Math.floor(Math.random() * 2 ** 31));

function restore(state) {
  reference = state?.reference ?? null;
  asked = at("text").value = state?.asked ?? "";
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
for (const name of ["image", "text"]) {
  at("beside-" + name).addEventListener("change", () => { if (reference && asked) { remember(); search(); } });
}
addEventListener("popstate", (event) => restore(event.state));
for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    at("page").classList.toggle("over", kind === "dragover");
    if (kind === "drop") upload(event.dataTransfer.files[0]);
  });
}

const opened = new URLSearchParams(location.search);
for (const name of (opened.get("beside") ?? "").split(" ")) if (at("beside-" + name)) at("beside-" + name).checked = true;
const named = opened.get("image");
// The start page is fetched in any case: it says what the pictures are called and how many there are.
start(0).then(() => {
  if (named || opened.get("text")) {
    restore({ reference: named ? { image_id: named, caption: named } : null, asked: opened.get("text") ?? "" });
  }
});

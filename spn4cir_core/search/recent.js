"use strict";
// Recent queries, kept by the browser alone; each is a link that can be shared. Loaded before page.js.

const RECENT_KEPT = 20, RECENT = "recent queries";

const recentQueries = () => {
  try {
    return JSON.parse(localStorage.getItem(RECENT)) ?? [];
  } catch {
    return []; // written by another version
  }
};

// Uploaded pictures have no name that a link could hold: queries with one are not kept.
function addRecent(images, text) {
  if (!images.length && !text || images.some((image) => image.file)) return;
  const query = new URLSearchParams(images.map((image) => ["image", image.image_id]));
  if (text) query.set("text", text);
  const title = [images.map((image) => image.caption || image.image_id).join(" + "), text && "“" + text + "”"].filter(Boolean).join(", ");
  const others = recentQueries().filter((each) => each.address !== "?" + query);
  localStorage.setItem(RECENT, JSON.stringify([{ address: "?" + query, title }, ...others].slice(0, RECENT_KEPT)));
  showRecent();
}

function showRecent() {
  const recent = recentQueries();
  at("recent").hidden = !recent.length;
  at("recent-list").replaceChildren(...recent.map(({ address, title }) => {
    const link = make("a", "", title), item = make("li");
    link.href = String(address).startsWith("?") ? address : "?";
    item.append(link);
    return item;
  }));
}

function startRecent() {
  at("forget").addEventListener("click", () => { localStorage.removeItem(RECENT); showRecent(); });
  showRecent();
}

"use strict";
// A region of the reference image becomes the reference image: drawn with mouse or finger, or moved by the arrow keys.
// Loaded before page.js.

const LEAST_SHARE = 0.05, STEP = 0.05; // of the frame
let region = null; // {left, top, right, bottom} in shares of the frame; null: no region is being chosen

function drawRegion() {
  at("region").hidden = !region;
  at("use-region").hidden = !region;
  at("crop").ariaPressed = String(Boolean(region));
  if (!region) return;
  const percent = (share) => 100 * share + "%";
  Object.assign(at("region").style, {
    left: percent(region.left), top: percent(region.top),
    width: percent(region.right - region.left), height: percent(region.bottom - region.top),
  });
}

// Where the picture lies in its frame, which it fills in one direction only, in pixels of the frame with its border.
function pictureBox(picture) {
  const { clientWidth, clientHeight, clientLeft, clientTop } = at("frame");
  const scale = Math.min(clientWidth / picture.naturalWidth, clientHeight / picture.naturalHeight);
  return {
    left: clientLeft + (clientWidth - picture.naturalWidth * scale) / 2,
    top: clientTop + (clientHeight - picture.naturalHeight * scale) / 2,
    scale,
  };
}

// The region's pixels as a picture file; null where it misses the picture.
async function cutRegion(picture) {
  const frame = at("frame").getBoundingClientRect(), box = pictureBox(picture);
  const inside = (value, most) => Math.max(0, Math.min(most, value));
  const left = inside((region.left * frame.width - box.left) / box.scale, picture.naturalWidth);
  const right = inside((region.right * frame.width - box.left) / box.scale, picture.naturalWidth);
  const top = inside((region.top * frame.height - box.top) / box.scale, picture.naturalHeight);
  const bottom = inside((region.bottom * frame.height - box.top) / box.scale, picture.naturalHeight);
  const width = Math.round(right - left), height = Math.round(bottom - top);
  if (width < 2 || height < 2) return null;
  const canvas = make("canvas");
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").drawImage(picture, left, top, width, height, 0, 0, width, height);
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
}

async function useRegion() {
  const picture = at("frame").querySelector("img"), file = picture?.naturalWidth ? await cutRegion(picture) : null;
  if (!file) return fail(new Error("The region holds nothing of the picture: draw it anew."));
  const text = asked;
  endRegion();
  choose({ file, caption: "a region of: " + (reference.caption || reference.image_id) });
  if (text) { // the text stays, since it is the same thing that should be different
    at("text").value = text;
    submit();
  }
}

function endRegion() {
  region = null;
  drawRegion();
}

function moveRegion(event) {
  const move = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
  if (!region || !move) return;
  event.preventDefault();
  const [x, y] = move, within = (value) => Math.max(0, Math.min(1, value));
  if (event.shiftKey) { // the lower right corner
    region.right = Math.max(region.left + LEAST_SHARE, within(region.right + x));
    region.bottom = Math.max(region.top + LEAST_SHARE, within(region.bottom + y));
  } else if (within(region.left + x) === region.left + x && within(region.right + x) === region.right + x
    && within(region.top + y) === region.top + y && within(region.bottom + y) === region.bottom + y) {
    region = { left: region.left + x, right: region.right + x, top: region.top + y, bottom: region.bottom + y };
  }
  drawRegion();
}

function startRegion() {
  let start = null;
  const shares = (event) => {
    const frame = at("frame").getBoundingClientRect();
    return [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height].map((share) => Math.max(0, Math.min(1, share)));
  };
  at("crop").addEventListener("click", () => {
    region = region ? null : { left: 0.25, top: 0.25, right: 0.75, bottom: 0.75 };
    drawRegion();
    if (region) at("region").focus();
  });
  at("use-region").addEventListener("click", useRegion);
  at("region").addEventListener("keydown", moveRegion);
  at("stage").addEventListener("pointerdown", (event) => {
    if (!region) return;
    start = shares(event);
    at("stage").setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  at("stage").addEventListener("pointermove", (event) => {
    if (!start) return;
    const [x, y] = shares(event);
    region = {
      left: Math.min(start[0], x), top: Math.min(start[1], y),
      right: Math.max(start[0], x, Math.min(start[0], x) + LEAST_SHARE), bottom: Math.max(start[1], y, Math.min(start[1], y) + LEAST_SHARE),
    };
    drawRegion();
  });
  for (const kind of ["pointerup", "pointercancel"]) at("stage").addEventListener(kind, () => { start = null; });
}

// The timeline page: the picture is drawn already; this zooms it, and links its marks to the source.

const picture = $("#timeline");
const left = Number(picture.dataset.left), end = Math.max(1, Number(picture.dataset.end));
const KEYS = [["load", "load"], ["store", "store"], ["issue", "copy issued"], ["shared", "ldmatrix"], ["mma", "tensor core"], ["shuffle", "shuffle"], ["compute", "other"], ["wait", "waits"], ["phase", "barrier phase"]];
const events = [...picture.querySelectorAll(".ev")];
const ticksOf = (e) => Number(e.dataset.e) - Number(e.dataset.s);
const name = (e) => e.querySelector("title").textContent;
for (const e of events) {  // our own tip takes the place of the browser's
  e.dataset.title = name(e);
  e.querySelector("title").remove();
}

// ---- zoom

let scale = 1;
const fitted = () => Math.max(300, $("#chart").clientWidth - left - 64) / end;
/** Draws time at `pixels` a tick; `at`, a time, stays where it is on the screen. */
function zoom(pixels, at) {
  const chart = $("#chart"), before = at * scale;
  scale = Math.max(fitted(), Math.min(60, pixels));
  const x = (t) => left + t * scale;
  for (const e of events) {
    const box = e.firstChild;
    box.setAttribute("x", x(Number(e.dataset.s)));
    box.setAttribute("width", Math.max(0.8, ticksOf(e) * scale - (scale > 3 ? 0.6 : 0)));
  }
  for (const e of picture.querySelectorAll("[data-t]")) {
    if (e.tagName === "text") e.setAttribute("x", x(Number(e.dataset.t)));
    else for (const side of ["x1", "x2"]) e.setAttribute(side, x(Number(e.dataset.t)));
  }
  for (const back of picture.querySelectorAll(".back")) back.setAttribute("width", end * scale);
  picture.setAttribute("width", x(end) + 24);
  chart.scrollLeft += at * scale - before;
  axis(x);
}
/** Round times, some 90 pixels apart. */
function axis(x) {
  const step = [1, 2, 5].flatMap((n) => [...Array(10).keys()].map((k) => n * 10 ** k)).sort((a, b) => a - b).find((n) => n * scale >= 70);
  const marks = [], height = Number(picture.getAttribute("height"));
  for (let t = 0; t <= end; t += step) {
    marks.push(svg("line", { class: "grid", x1: x(t), x2: x(t), y1: 22, y2: height - 6 }), svg("text", { class: "m", x: x(t), y: 16, "text-anchor": "middle" }, t));
  }
  picture.querySelector(".axis").replaceChildren(...marks);
}
// The names of the lanes stay in sight.
$("#chart").addEventListener("scroll", () => {
  const shift = `translate(${$("#chart").scrollLeft} 0)`;
  for (const lane of picture.querySelectorAll(".name")) lane.setAttribute("transform", shift);
});
const centre = () => ($("#chart").scrollLeft + $("#chart").clientWidth / 2 - left) / scale;
$("#chart").addEventListener("wheel", (e) => {
  if (!e.ctrlKey && !e.metaKey) return;
  e.preventDefault();
  zoom(scale * (e.deltaY < 0 ? 1.25 : 0.8), (e.clientX - picture.getBoundingClientRect().left - left) / scale);
}, { passive: false });

// ---- hover and selection

picture.addEventListener("mousemove", (e) => {
  const mark = e.target.closest(".ev");
  if (!mark) { hideTip(); return; }
  const [what, ...rest] = mark.dataset.title.split("; ");
  showTip(e, el("div", { class: "row" }, el("b", {}, what)), `${mark.dataset.lane} \u00b7 ${rest.join("; ")}`, mark.dataset.at ? placeName(mark.dataset.at) : "no source line");
});
picture.addEventListener("mouseleave", hideTip);
listeners.push(() => { picture.classList.toggle("dim", Boolean(state.at)); showStatus(); });

function showStatus() {
  const keys = el("span", {}, ...[["+ \u2212", "zoom"], ["0", "all"], ["esc", "clear"]].map(([k, what]) => [el("kbd", {}, k), ` ${what}\u2002`]));
  if (!state.at) {
    $("#status").replaceChildren(el("span", {}, "Click an event or a line of the source to see where the time of that line goes."), el("span", { class: "grow" }), keys);
    return;
  }
  const mine = events.filter((e) => e.dataset.at === state.at);
  const sum = (list) => list.reduce((n, e) => n + ticksOf(e), 0);
  const warps = mine.filter((e) => e.closest(".lane").classList.contains("warp"));
  const waits = warps.filter((e) => e.classList.contains("wait"));
  $("#status").replaceChildren(el("b", {}, placeName(state.at)), el("span", {}, `${mine.length} events \u00b7 warps busy ${number(sum(warps) - sum(waits))} ticks, waiting ${number(sum(waits))} of ${number(end * data.lanes.filter((l) => l.kind === "warp").length)}`), el("span", { class: "grow" }), keys);
}

document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const actions = { "+": () => zoom(scale * 1.5, centre()), "=": () => zoom(scale * 1.5, centre()), "-": () => zoom(scale / 1.5, centre()), 0: () => zoom(0, 0), Escape: () => { if (state.at) select(""); } };
  if (actions[e.key]) { e.preventDefault(); actions[e.key](); }
});

const used = new Set(events.flatMap((e) => [...e.classList]));
$("#head").replaceChildren(el("span", { class: "brand" }, "tiledsl timeline"), el("h1", {}, data.kernel), el("span", { class: "fact" }, data.target),
  el("span", { class: "fact" }, "block ", el("b", {}, `(${data.block.join(", ")})`), " \u00b7 threads ", el("b", {}, data.threads), " \u00b7 ", el("b", {}, number(data.end)), " ticks \u00b7 a copy takes ", el("b", {}, data.latency),
    data.mode ? [" \u00b7 copies ", el("b", {}, data.mode)] : ""));
$("#legend").replaceChildren(...KEYS.filter(([id]) => used.has(id)).map(([id, text]) => el("span", { class: `key ${id}` }, el("i", {}), text)),
  used.has("copy") ? el("span", { title: "a dark line in a copy: from there on somebody waits for it" }, "in flight: coloured by version") : "", el("span", { class: "grow" }),
  el("span", { class: "zoom" }, el("button", { title: "zoom out", onclick: () => zoom(scale / 1.5, centre()) }, "\u2212"), el("button", { title: "zoom in", onclick: () => zoom(scale * 1.5, centre()) }, "+")));
$("#side").replaceChildren(...sourcePanel().flat());
zoom(0, 0);
addEventListener("resize", () => zoom(scale, centre()));
showStatus();
const wantedPlace = new URLSearchParams(location.hash.slice(1)).get("at");
if (wantedPlace) select(wantedPlace);

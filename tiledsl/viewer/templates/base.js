"use strict";
// What both pages share: making elements, and places: every element with data-at belongs to a line of the user's source.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (selector, root = document) => root.querySelector(selector);

function put(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "html") element.innerHTML = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of [children].flat(3)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}
const el = (tag, attributes, ...children) => put(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  put(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const number = (n) => n.toLocaleString("en-US").replace(/,/g, "\u2009");
const PALETTE = ["#6f9ceb", "#63bfa0", "#e9b44c", "#e07a5f", "#9b83d3", "#6fb7d6", "#d98cb3", "#94ad57"];
const colour = (n) => PALETTE[((n % PALETTE.length) + PALETTE.length) % PALETTE.length];

// ---- places

const lineNumber = (at) => at.slice(at.indexOf(":") + 1);
function placeName(at) {
  if (!at) return "";
  const file = data.sources[Number(at.slice(0, at.indexOf(":")))];
  return `${file ? file.name.split("/").pop() : "?"}:${lineNumber(at)}`;
}

const state = { at: "", hot: "" };
const listeners = [];

function marked(cls, at, on) {
  if (at) for (const e of document.querySelectorAll(`[data-at="${at}"]`)) e.classList.toggle(cls, on);
}
function hover(at) {
  if (at === state.hot) return;
  marked("hot", state.hot, false);
  state.hot = at;
  marked("hot", at, true);
}
/** Selects a place everywhere; the same again, or "", clears it. */
function select(at, from) {
  marked("sel", state.at, false);
  state.at = at === state.at ? "" : at;
  marked("sel", state.at, true);
  if (state.at) reveal(state.at, from);
  for (const f of listeners) f();
}
/** Scrolls the first line of a place into view in each code panel but the one that was clicked. */
function reveal(at, from) {
  for (const panel of document.querySelectorAll(".code")) {
    if (panel.contains(from) || !panel.offsetParent) continue;
    const line = panel.querySelector(`[data-at="${at}"]`);
    if (line) scrollTo_(panel, line);
  }
}
function scrollTo_(panel, line) {
  const top = line.getBoundingClientRect().top - panel.getBoundingClientRect().top;
  if (top < 0 || top > panel.clientHeight - 40) panel.scrollTop += top - panel.clientHeight / 3;
}
document.addEventListener("mouseover", (e) => {
  const linked = e.target.closest("[data-at]");
  hover(linked ? linked.dataset.at : "");
});
document.addEventListener("click", (e) => {
  const linked = e.target.closest("[data-at]");
  if (linked && !e.target.closest("a, button") && !String(getSelection())) select(linked.dataset.at, linked);
});

/** A line of code; `n` is its number as shown. */
function codeLine(html, at, n, cls) {
  const place = at ? { "data-at": at } : {};
  const marks = at && at === state.at ? " sel" : "";
  return el("div", { class: `ln${cls ? " " + cls : ""}${marks}`, ...place }, el("span", { class: "no" }, n), hanging(html));
}
/** Code whose indentation is kept by the style sheet, so that a wrapped line stays right of it. */
function hanging(html) {
  const indent = html.search(/[^ ]|$/);
  return el("code", { html: html.slice(indent) || " ", style: indent ? `--in:${indent}` : undefined });
}
function sourcePanel() {
  return data.sources.map((file) => [
    el("div", { class: "pane-head" }, el("b", {}, "Source"), el("span", { class: "name" }, file.name)),
    el("div", { class: "code source wrap" }, el("div", { class: "rows" },
      file.lines.map(([text, at], n) => codeLine(data.texts[text], at, file.first + n)))),
  ]);
}

// ---- tips

const tip = el("div", { id: "tip", hidden: true });
document.body.append(tip);
function showTip(event, ...rows) {
  tip.replaceChildren(...rows.filter(Boolean).map((r) => (r instanceof Node ? r : el("div", { class: "row" }, r))));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const x = event.clientX + 14 + box.width > innerWidth ? event.clientX - box.width - 10 : event.clientX + 14;
  const y = event.clientY + 16 + box.height > innerHeight ? event.clientY - box.height - 10 : event.clientY + 16;
  tip.style.left = `${Math.max(4, x)}px`;
  tip.style.top = `${Math.max(4, y)}px`;
}
const hideTip = () => { tip.hidden = true; };
/** Shows `rows()` while the pointer is on `element`. */
function tipped(element, rows) {
  element.addEventListener("mousemove", (e) => showTip(e, ...rows()));
  element.addEventListener("mouseleave", hideTip);
  return element;
}

// The shell of the trace page: passes, tabs, IR text and differences, search, keys.

const page = { stage: data.stages.length - 1, tab: "ir", form: "text", query: "", match: 0 };
const last = data.stages.length - 1;

const TABS = [
  { id: "ir", name: "IR", count: () => data.stages.length, show: showIR },
  { id: "layouts", name: "Layouts", count: () => data.layouts.length, show: showLayouts, pass: "infer-layouts" },
  { id: "pipeline", name: "Pipeline", count: () => data.charts.length, show: showPipelines, pass: "software-pipeline" },
  { id: "shared", name: "Shared memory", count: () => data.maps.length, show: showMaps, pass: "plan-shared-memory" },
  { id: "barriers", name: "Barriers", count: () => data.barriers.length, show: showBarriers, pass: "insert-barriers" },
  { id: "cuda", name: "CUDA", count: () => data.cuda.length, show: showCuda },
  { id: "report", name: "Report", count: () => data.costs.entries.length, show: showCosts },
];
const FORMS = [["text", "Text"], ["diff", "Diff"], ["side", "Side by side"]];

// ---- plain text of lines, for search

const plain = data.texts.map((html) => {
  const holder = document.createElement("template");
  holder.innerHTML = html;
  return holder.content.textContent.toLowerCase();
});
const hits = (lines) => (page.query ? lines.filter(([text]) => plain[text].includes(page.query)).length : 0);

// ---- passes

const ms = (seconds) => (seconds ? `${(seconds * 1e3).toFixed(1)} ms` : "");
function showPasses() {
  const slowest = Math.max(...data.stages.map((s) => s.seconds), 1e-9);
  const total = data.stages.reduce((sum, s) => sum + s.seconds, 0) + data.emitSeconds;
  const rows = data.stages.map((s, n) => {
    const same = n > 0 && !s.rows.length;
    const found = hits(s.lines);
    const plan = TABS.find((t) => t.pass === s.name && t.count());
    return el("div", {
      class: `pass${n === page.stage ? " on" : ""}${same ? " same" : ""}`, role: "option", tabindex: n === page.stage ? 0 : -1,
      "aria-selected": n === page.stage ? "true" : "false", "data-pass": s.name, onclick: () => go({ stage: n, tab: "ir" }),
    },
      el("div", { class: "top" }, el("span", { class: "name" }, s.name),
        found ? el("span", { class: "hits" }, found) : el("span", { class: "time", style: `background-size:${(s.seconds / slowest) * 100}% 100%` }, ms(s.seconds))),
      el("div", { class: "sub" }, el("span", { title: `${s.statements} statements, ${s.characters} characters` },
        `${s.statements} statements \u00b7 ${(s.characters / 1000).toFixed(1)}k`),
        plan ? el("button", { class: "plan", title: plan.name, onclick: (e) => { e.stopPropagation(); go({ stage: n, tab: plan.id }); } }, "plan") : "",
        el("span", { class: "grow" }),
        same ? el("span", {}, "unchanged") : n ? el("span", {}, el("span", { class: "plus" }, `+${s.added}`), " ", el("span", { class: "minus" }, `\u2212${s.removed}`)) : "",
      ));
  });
  $("#passes").replaceChildren(...rows, el("div", { class: "total" }, `${ms(total)} to CUDA text, emission ${ms(data.emitSeconds)}`));
  $("#passes .on").scrollIntoView({ block: "nearest" });
}

// ---- tabs

function showTabs() {
  const tabs = TABS.map((t) => el("button", {
    class: `tab${t.id === page.tab ? " on" : ""}`, role: "tab", "data-tab": t.id, "aria-selected": t.id === page.tab ? "true" : "false",
    onclick: () => go({ tab: t.id }),
  }, t.name, ["ir", "cuda", "report"].includes(t.id) ? "" : el("span", { class: "n" }, t.count())));
  const forms = FORMS.map(([id, name]) => el("button", { class: id === page.form ? "on" : "", "data-form": id, onclick: () => go({ form: id }) }, name));
  $("#tabs").replaceChildren(...tabs, el("span", { class: "grow" }), page.tab === "ir" ? el("div", { class: "segments" }, forms) : "");
}

// ---- IR

function codePanel(rows, cls) {
  return el("div", { class: `code ${cls || ""}` }, el("div", { class: "rows" }, rows));
}
function showIR() {
  const stage = data.stages[page.stage];
  if (page.form === "text" || page.stage === 0) return codePanel(stage.lines.map(([t, at], n) => codeLine(data.texts[t], at, n + 1)));
  if (!stage.rows.length) {
    return el("div", {}, el("div", { class: "sheet muted" }, `${stage.name} changed nothing.`),
      codePanel(stage.lines.map(([t, at], n) => codeLine(data.texts[t], at, n + 1))));
  }
  return page.form === "diff" ? unified(stage) : sideBySide(stage);
}
function diffLine(stage, row, isNew, sign) {
  const [old, now, oldText, newText] = row;
  const n = isNew ? now : old;
  const [text, at] = (isNew ? data.stages[page.stage] : data.stages[page.stage - 1]).lines[n];
  const shown = (isNew ? newText : oldText) ?? text;
  const line = codeLine(data.texts[shown], at, n + 1, sign === "+" ? "add" : sign === "\u2212" ? "del" : "");
  line.insertBefore(el("span", { class: "sign" }, sign), line.lastChild);
  return line;
}
const isSame = (row) => row.length === 2 && row[0] >= 0 && row[1] >= 0;
/** Groups of rows: changed ones, and runs of equal ones, which are folded but for three lines beside a change. */
function folded(rows, draw) {
  const out = [];
  for (let i = 0; i < rows.length; ) {
    let j = i;
    while (j < rows.length && isSame(rows[j]) === isSame(rows[i])) j++;
    const run = rows.slice(i, j);
    const head = i === 0 ? 0 : 3, tail = j === rows.length ? 0 : 3;
    if (isSame(rows[i]) && run.length > head + tail + 4) {
      const hidden = run.slice(head, run.length - tail);
      const fold = el("button", { class: "fold", onclick: () => fold.replaceWith(...draw(hidden)) }, `\u22ef ${hidden.length} unchanged lines`);
      out.push(...draw(run.slice(0, head)), fold, ...draw(run.slice(run.length - tail)));
    } else out.push(...draw(run));
    i = j;
  }
  return out;
}
function unified(stage) {
  const draw = (run) => {
    if (run.length && isSame(run[0])) return run.map((r) => diffLine(stage, r, true, " "));
    return [...run.filter((r) => r[0] >= 0).map((r) => diffLine(stage, r, false, "\u2212")), ...run.filter((r) => r[1] >= 0).map((r) => diffLine(stage, r, true, "+"))];
  };
  return codePanel(folded(stage.rows, draw), "unified");
}
function sideBySide(stage) {
  const half = (row, isNew) => {
    if ((isNew ? row[1] : row[0]) < 0) return el("div", { class: "ln empty" });
    return diffLine(stage, row, isNew, isSame(row) ? " " : isNew ? "+" : "\u2212");
  };
  const draw = (run) => run.map((r) => el("div", { class: "pair" }, half(r, false), half(r, true)));
  return codePanel(folded(stage.rows, draw), "wrap side");
}
function showCuda() {
  return codePanel(data.cuda.map(([t, at], n) => codeLine(data.texts[t], at, n + 1)));
}

// ---- header and status

function showHead() {
  const facts = data.launches.map((l) => [
    el("span", { class: "fact" }, data.launches.length > 1 ? `${l.name}: ` : "", "grid ", el("b", {}, l.grid), " \u00b7 threads ", el("b", {}, l.threads),
      l.shared_bytes ? [" \u00b7 shared ", el("b", {}, number(l.shared_bytes)), " B"] : ""),
  ]);
  const search = el("input", { id: "search", type: "search", placeholder: "Search  /", "aria-label": "Search", oninput: (e) => find(e.target.value),
    onkeydown: (e) => {
      if (e.key === "Enter") { step(e.shiftKey ? -1 : 1); e.preventDefault(); }
      if (e.key === "Escape") { e.target.value = ""; find(""); e.target.blur(); }
      e.stopPropagation();
    } });
  $("#head").replaceChildren(el("span", { class: "brand" }, "tiledsl trace"), el("h1", {}, data.kernel), el("span", { class: "fact" }, data.target),
    ...facts.flat(), el("span", { class: "grow" }), el("span", { id: "count" }), search);
}
/** How many lines each part of the page has for the selected place, as buttons that go there. */
function showStatus() {
  const at = state.at;
  const keys = el("span", {}, ...[["\u2191\u2193", "pass"], ["t d s", "text, diff, side by side"], ["1\u20137", "tab"], ["/", "search"], ["esc", "clear"]].map(([k, what]) => [el("kbd", {}, k), ` ${what}\u2002`]));
  if (!at) {
    $("#status").replaceChildren(el("span", {}, "Click a line to follow it through every stage."), el("span", { class: "grow" }), keys);
    return;
  }
  const file = data.sources[Number(at.split(":")[0])];
  const text = file && file.lines[Number(lineNumber(at)) - file.first];
  const count = (lines) => lines.filter((l) => l[1] === at).length;
  const parts = [
    ["ir", "IR", count(data.stages[page.stage].lines)],
    ["layouts", "layouts", data.layouts.filter((l) => l.place === at).length],
    ["pipeline", "pipeline", data.charts.flatMap((c) => c.rows).filter((r) => r.place === at).length],
    ["shared", "shared memory", data.maps.flatMap((m) => m.tenants).filter((t) => t.place === at).length],
    ["barriers", "barriers", data.barriers.filter((b) => placesOfBarrier(b).includes(at)).length],
    ["cuda", "CUDA", count(data.cuda)],
    ["report", "accesses", data.costs.entries.flatMap((e) => e.accesses).filter((a) => a.place === at).length],
  ].filter(([, , n]) => n);
  $("#status").replaceChildren(el("b", {}, placeName(at)), el("code", { html: text ? data.texts[text[0]].trim() : "" }),
    ...parts.map(([id, name, n]) => el("button", { class: "chip", "data-goto": id, onclick: () => { go({ tab: id }); reveal(at); } }, `${name} ${n}`)),
    el("span", { class: "grow" }), keys);
}

// ---- search

function find(text) {
  page.query = text.trim().toLowerCase();
  page.match = 0;
  showPasses();
  markMatches(true);
}
function matches() { return page.query ? [...document.querySelectorAll("#view .ln")].filter((l) => l.lastChild.textContent.toLowerCase().includes(page.query)) : []; }
function markMatches(scroll) {
  for (const e of document.querySelectorAll(".found")) e.classList.remove("found", "now");
  const found = matches();
  for (const e of found) e.classList.add("found");
  page.match = found.length ? ((page.match % found.length) + found.length) % found.length : 0;
  if (found.length) {
    found[page.match].classList.add("now");
    if (scroll) scrollTo_(found[page.match].closest(".code"), found[page.match]);
  }
  $("#count").textContent = page.query ? (found.length ? `${page.match + 1} of ${found.length}` : "none") : "";
}
function step(by) { page.match += by; markMatches(true); }

// ---- everything

/** Little marks beside the scroll bar where the selected place is. */
function showRuler() {
  for (const r of document.querySelectorAll(".ruler")) r.remove();
  const panel = $("#view > .code") || $("#view .code");
  if (!panel || !state.at || panel.firstChild.offsetHeight <= panel.clientHeight) return;
  const box = panel.getBoundingClientRect();
  const ruler = el("div", { class: "ruler", style: `left:${box.right - 20}px;top:${box.top}px;height:${box.height}px` });
  for (const line of panel.querySelectorAll(`[data-at="${state.at}"]`)) {
    ruler.append(el("i", { style: `top:${((line.getBoundingClientRect().top - box.top + panel.scrollTop) / panel.scrollHeight) * 100}%` }));
  }
  $("#view").append(ruler);
}
function go(change, keep) {
  const top = $("#view .code") ? $("#view .code").scrollTop : 0;
  const sameKind = change.tab === undefined || change.tab === page.tab;
  Object.assign(page, change);
  if (!TABS.some((t) => t.id === page.tab)) page.tab = "ir";
  if (!FORMS.some(([id]) => id === page.form)) page.form = "text";
  page.stage = Math.min(last, Math.max(0, page.stage));
  hideTip();
  showPasses();
  showTabs();
  $("#view").replaceChildren(TABS.find((t) => t.id === page.tab).show());
  const panel = $("#view .code");
  if (panel && sameKind) panel.scrollTop = top;
  if (panel && !sameKind && state.at) reveal(state.at);
  markMatches(false);
  showStatus();
  showRuler();
  const hash = new URLSearchParams({ pass: data.stages[page.stage].name, tab: page.tab, form: page.form, ...(state.at ? { at: state.at } : {}) });
  if (!keep) history.replaceState(null, "", `#${hash}`);
}
listeners.push(() => { showStatus(); showRuler(); });
addEventListener("resize", () => showRuler());
document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, select")) return;
  const forms = { t: "text", d: "diff", s: "side" };
  const actions = {
    ArrowDown: () => go({ stage: page.stage + 1, tab: "ir" }), ArrowUp: () => go({ stage: page.stage - 1, tab: "ir" }),
    "/": () => $("#search").focus(), Escape: () => { if (state.at) select(""); }, n: () => step(1), N: () => step(-1),
  };
  const action = actions[e.key] || (forms[e.key] && (() => go({ form: forms[e.key], tab: "ir" }))) || (TABS[e.key - 1] && (() => go({ tab: TABS[e.key - 1].id })));
  if (action) { e.preventDefault(); action(); }
});

const wanted = new URLSearchParams(location.hash.slice(1));
showHead();
$("#side").replaceChildren(...sourcePanel().flat());
const named = data.stages.findIndex((s) => s.name === wanted.get("pass"));
go({ stage: named < 0 ? 0 : named, tab: wanted.get("tab") || "ir", form: wanted.get("form") || "text" }, true);
if (wanted.get("at")) select(wanted.get("at"));

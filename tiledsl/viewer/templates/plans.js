// The tabs of plans: pipelines, shared memory, barriers, and the report.

const sheet = (...children) => el("div", { class: "sheet" }, ...children);
const where = (at) => (at ? el("span", { class: `where${at === state.at ? " sel" : ""}`, "data-at": at }, placeName(at)) : "");
const linked = (at) => (at ? { "data-at": at } : {});
const selected = (at) => (at && at === state.at ? " sel" : "");
const none = (text) => sheet(el("p", {}, text));
const hatch = svg("svg", { width: 0, height: 0, style: "position:absolute" }, svg("defs", {}, svg("pattern", { id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
  svg("line", { x1: 0, y1: 0, x2: 0, y2: 5, stroke: "currentColor", "stroke-width": 2, opacity: 0.45 }))));
document.body.append(hatch);

// ---- pipelines

function showPipelines() {
  if (!data.charts.length) return none("No pipelined loop.");
  return sheet(el("p", {}, "One column for each step of the pipelined loop, its statements in the order of issue. The number and the colour of a bar are the iteration it works on; a line below a copy is its data in flight, up to the wait that covers it. A mark before a bar is such a wait. Hover for details."),
    data.charts.map((c) => el("section", {}, chartHead(c), chartPicture(c), chartTable(c))));
}
function chartHead(c) {
  const cut = c.cut ? `; the first ${c.trips} are shown` : "";
  const versions = c.versions.map(([b, n]) => `${b} \u00d7 ${n}`).join(", ") || "one of each";
  return el("div", { class: "title" }, el("h2", {}, data.launches.length > 1 ? `${c.launch}: ` : "", "pipelined loop"), where(c.place),
    el("span", { class: "muted" }, `${c.extent} iterations${cut} \u00b7 ${c.depth + 1} stages \u00b7 versions: ${versions}`));
}
const dash = (n) => (n < 0 ? "\u2013" : n);
function chartTable(c) {
  const head = ["statement", "", "stage", "order", "group", "waits until in flight"].map((t, n) => el("th", { class: n > 1 ? "num" : "" }, t));
  const rows = c.rows.map((r, n) => el("tr", { ...linked(r.place), class: selected(r.place).trim() }, el("td", {}, el("code", { html: data.texts[c.codes[n]] })), el("td", {}, where(r.place)),
    ...[r.stage, r.order, r.group, r.wait].map((v) => el("td", { class: "num" }, dash(v)))));
  return el("table", { style: "margin-top:16px" }, el("tr", {}, head), rows);
}
function chartPicture(c) {
  const left = 190, per = c.rows.length, top = 34;
  const slot = Math.max(9, Math.min(34, ($("#view").clientWidth - left - 70) / (c.steps * per)));
  const flights = c.rows.map((_, n) => flightTracks(c.bars.filter((b) => b.row === n && b.arrives >= 0)));
  const heights = flights.map((t) => 30 + t.count * 6);
  const order = c.sequence;
  const tops = []; let y = top;
  for (const u of order) { tops[u] = y; y += heights[u]; }
  const lanesEnd = y + 14;
  const rows = c.versions.flatMap(([b, n]) => [...Array(n).keys()].map((v) => [b, v]));
  const x = (s) => left + s * slot;
  const parts = [];
  for (let t = 0; t < c.steps; t++) {
    const phase = t < c.depth ? "fill" : t >= c.trips ? "drain" : "";
    parts.push(svg("rect", { x: x(t * per), y: top, width: slot * per, height: lanesEnd - 14 - top, fill: phase ? "var(--idle)" : "transparent" }),
      svg("line", { class: "grid", x1: x(t * per), x2: x(t * per), y1: top - 6, y2: lanesEnd + rows.length * 20 }),
      svg("text", { class: "m", x: x(t * per) + (slot * per) / 2, y: top - 10, "text-anchor": "middle" }, t));
  }
  parts.push(svg("text", { class: "m", x: left - 10, y: top - 10, "text-anchor": "end" }, "step"));
  for (const u of order) {
    const r = c.rows[u];
    parts.push(svg("g", { ...linked(r.place), class: selected(r.place).trim() }, svg("text", { class: "mono", x: 0, y: tops[u] + 19 }, clip(r.label, 20)),
      svg("text", { class: "m", x: left - 10, y: tops[u] + 19, "text-anchor": "end" }, `stage ${r.stage}`)), svg("line", { class: "grid", x1: 0, x2: x(c.steps * per), y1: tops[u], y2: tops[u] }));
  }
  for (const b of c.bars) parts.push(...chartBar(c, b, x, slot, tops[b.row], flights[b.row]));
  for (const [s, u, pending] of c.waits) {
    const mark = svg("rect", { x: x(s) - 1.5, y: tops[u] + 3, width: 3, height: 24, fill: "var(--y)", class: "wait" });
    parts.push(tipped(mark, () => [el("b", {}, "wait"), `at most ${pending} commit group${pending === 1 ? "" : "s"} of copies may stay in flight, before ${c.rows[u].label}`]));
  }
  parts.push(...tenantRows(c, rows, lanesEnd, x, slot));
  const height = lanesEnd + rows.length * 20 + 8;
  return el("div", { style: "overflow-x:auto" }, svg("svg", { class: "gantt", width: x(c.steps * per) + 20, height }, parts));
}
const clip = (text, n) => (text.length > n ? text.slice(0, n - 1) + "\u2026" : text);
/** Rows for copies in flight such that none overlap: bar -> row. */
function flightTracks(bars) {
  const ends = [], of = new Map();
  for (const b of bars) {
    let row = ends.findIndex((end) => end <= b.slot);
    if (row < 0) row = ends.push(0) - 1;
    ends[row] = b.arrives;
    of.set(b, row);
  }
  return { count: ends.length, of };
}
function chartBar(c, b, x, slot, y, flights) {
  const r = c.rows[b.row];
  const uses = b.uses.map(([name, v, how]) => `${{ r: "reads", w: "writes", rw: "reads and writes" }[how]} ${name}@${v}`).join(", ");
  const rows = () => [el("div", { class: "row" }, el("b", {}, r.label), `, iteration ${b.iteration}`), uses, r.place ? placeName(r.place) : "",
    b.arrives >= 0 ? `copy in flight from slot ${b.slot} to the wait in slot ${b.arrives}` : ""];
  const bar = svg("g", { ...linked(r.place), class: `bar${selected(r.place)}`, "data-iteration": b.iteration, "data-row": b.row, "data-slot": b.slot },
    svg("rect", { x: x(b.slot) + 3, y: y + 6, width: slot - 4, height: 18, rx: 3, fill: colour(b.iteration) }),
    slot > 13 ? svg("text", { x: x(b.slot) + slot / 2 + 1, y: y + 19, "text-anchor": "middle", style: "fill:#14181c" }, b.iteration) : "");
  const out = [tipped(bar, rows)];
  if (b.arrives >= 0) {
    const at = y + 27 + flights.of.get(b) * 6;
    const line = svg("rect", { x: x(b.slot) + slot / 2, y: at, width: x(b.arrives) - x(b.slot) - slot / 2, height: 3, rx: 1.5, fill: colour(b.iteration), class: "flight" });
    out.push(tipped(line, rows));
  }
  return out;
}
function tenantRows(c, rows, top, x, slot) {
  const out = [];
  rows.forEach(([buffer, version], n) => {
    const y = top + n * 20;
    out.push(svg("text", { class: "mono", x: 0, y: y + 14 }, `${buffer}@${version}`), svg("line", { class: "grid", x1: 0, x2: x(c.steps * c.rows.length), y1: y, y2: y }));
    for (const t of c.tenants.filter((t) => t.buffer === buffer && t.version === version)) {
      const bar = svg("g", { class: "tenant" }, svg("rect", { x: x(t.start) + 1, y: y + 3, width: x(t.ready) - x(t.start), height: 14, fill: colour(t.iteration), opacity: 0.3 }),
        svg("rect", { x: x(t.start) + 1, y: y + 3, width: x(t.ready) - x(t.start), height: 14, fill: "url(#hatch)" }),
        svg("rect", { x: x(t.ready), y: y + 3, width: Math.max(0, x(t.end) - x(t.ready) - 1), height: 14, fill: colour(t.iteration) }),
        svg("text", { x: x(t.ready) + 5, y: y + 14, style: "fill:#14181c" }, t.end > t.ready ? t.iteration : ""));
      out.push(tipped(bar, () => [el("div", { class: "row" }, el("b", {}, `${buffer}@${version}`), ` holds iteration ${t.iteration}`),
        `written in slot ${t.start}, arrived in ${t.ready}, last used in ${t.end - 1}`]));
    }
  });
  return out;
}

// ---- shared memory

function showMaps() {
  if (!data.maps.length) return none("No shared memory.");
  return sheet(el("p", {}, "Bytes of the block's shared memory (down) while statements run (across). A buffer keeps its bytes from its first access to its last; dashed lines part its versions. Marks are reads and writes. Hover for the statement."),
    data.maps.map((m) => el("section", {}, mapHead(m), mapPicture(m), mapTable(m))));
}
function mapHead(m) {
  return el("div", { class: "title" }, el("h2", {}, m.launch), el("span", { class: "muted" }, `${number(m.total)} of ${number(m.limit)} bytes that a block may have (${((m.total / m.limit) * 100).toFixed(0)} %)`));
}
function mapPicture(m) {
  const left = 64, depth = Math.max(0, ...m.loops.map((l) => l.depth + 1)), top = 8 + depth * 16, height = 340;
  const width = Math.max(420, $("#view").clientWidth - left - 70);
  const end = m.moments.length + 1;
  const x = (t) => left + ((t - 1) / (end - 1)) * width;
  const y = (b) => top + (b / m.total) * height;
  const parts = [svg("rect", { class: "frame", x: left, y: top, width, height, style: "fill:var(--panel)" })];
  for (const l of m.loops) {
    const long = x(l.last + 1) - x(l.first);
    parts.push(svg("g", { ...linked(l.place), class: selected(l.place).trim() }, svg("rect", { x: x(l.first), y: 6 + l.depth * 16, width: long - 1, height: 13, rx: 2, fill: "var(--idle)", stroke: "var(--line)" }),
      long > 44 ? svg("text", { class: "m mono", x: x(l.first) + 4, y: 16 + l.depth * 16 }, clip(l.text, Math.floor(long / 6.8) - 1)) : "", svg("title", {}, `${l.text} (${placeName(l.place)})`)));
  }
  let lowest = -20;
  for (const b of [...new Set(m.tenants.flatMap((t) => [t.offset, t.offset + t.size]))].sort((a, z) => a - z)) {
    const free = y(b) - lowest > 12;
    if (free) lowest = y(b);
    parts.push(!free ? "" : svg("text", { class: "m", x: left - 8, y: y(b) + 4, "text-anchor": "end" }, number(b)), svg("line", { class: "grid", x1: left - 4, x2: left + width, y1: y(b), y2: y(b) }));
  }
  m.tenants.forEach((t, n) => parts.push(mapTenant(t, n, x, y)));
  const cursor = svg("line", { stroke: "var(--text)", "stroke-width": 1, opacity: 0.4, y1: 4, y2: top + height, visibility: "hidden" });
  const picture = svg("svg", { class: "map", width: left + width + 10, height: top + height + 6 }, parts, cursor);
  picture.addEventListener("mousemove", (e) => {
    const at = e.clientX - picture.getBoundingClientRect().left;
    const time = Math.floor(((at - left) / width) * (end - 1)) + 1;
    const moment = m.moments[time - 1];
    if (!moment) { cursor.setAttribute("visibility", "hidden"); hideTip(); return; }
    for (const side of ["x1", "x2"]) cursor.setAttribute(side, at);
    cursor.setAttribute("visibility", "visible");
    const bytes = ((e.clientY - picture.getBoundingClientRect().top - top) / height) * m.total;
    const here = m.tenants.find((t) => t.first <= time && time <= t.last && t.offset <= bytes && bytes < t.offset + t.size);
    showTip(e, el("code", { html: data.texts[m.codes[time - 1]] }), `statement ${time}, ${placeName(moment.place) || "no line"}`,
      here ? el("div", { class: "row" }, el("b", {}, here.buffer), ` ${here.dtype}${here.versions > 1 ? ` \u00d7 ${here.versions}, version ${Math.floor((bytes - here.offset) / (here.size / here.versions))}` : ""}`) : "");
  });
  picture.addEventListener("mouseleave", () => { cursor.setAttribute("visibility", "hidden"); hideTip(); });
  return picture;
}
function mapTenant(t, n, x, y) {
  const left = x(t.first), right = x(t.last + 1), top = y(t.offset), bottom = y(t.offset + t.size);
  const one = (bottom - top) / t.versions, tall = Math.min(8, (bottom - top) / 2 - 1);
  const parts = [svg("rect", { x: left, y: top, width: right - left, height: bottom - top, fill: colour(n), "fill-opacity": 0.42, stroke: colour(n) })];
  for (let v = 1; v < t.versions; v++) parts.push(svg("line", { x1: left, x2: right, y1: top + v * one, y2: top + v * one, stroke: colour(n), "stroke-dasharray": "4 3" }));
  for (let v = 0; v < t.versions && one > 13; v++) parts.push(svg("text", { class: v ? "m mono" : "mono", x: left + 7, y: top + v * one + Math.min(22, one / 2 + 4) }, t.versions > 1 ? `${t.buffer}@${v}` : t.buffer));
  for (const a of t.touches) {
    const kind = { read: "var(--good)", write: "var(--y)", atomic: "var(--k)" }[a.kind];
    parts.push(svg("rect", { x: x(a.time), y: a.kind === "read" ? bottom - tall - 1 : top + 1, width: Math.max(2.5, x(a.time + 1) - x(a.time) - 1), height: tall, fill: kind }));
  }
  return svg("g", { ...linked(t.place), class: `tenant${selected(t.place)}`, "data-buffer": t.buffer }, parts);
}
function mapTable(m) {
  const head = ["buffer", "", "type", "offset", "bytes", "versions", "aligned to", "statements"].map((t, n) => el("th", { class: n > 2 ? "num" : "" }, t));
  const rows = m.tenants.map((t) => el("tr", { ...linked(t.place), class: selected(t.place).trim() }, el("td", {}, el("code", {}, t.buffer)), el("td", {}, where(t.place)), el("td", {}, el("code", {}, t.dtype)),
    ...[number(t.offset), number(t.size), t.versions, t.alignment, `${t.first}\u2013${t.last}`].map((v) => el("td", { class: "num" }, v))));
  return el("div", {}, el("div", { class: "legend", style: "margin-top:10px" }, el("span", {}, el("i", { style: "background:var(--y)" }), "written"), el("span", {}, el("i", { style: "background:var(--good)" }), "read")), el("table", {}, el("tr", {}, head), rows));
}

// ---- barriers

const placesOfBarrier = (b) => [b.place, ...b.conflicts.flatMap((c) => [c.first.place, c.second.place])];
function showBarriers() {
  if (!data.barriers.length) return none("No barriers.");
  const stage = data.stages.findIndex((s) => s.name === "insert-barriers");
  return sheet(el("p", {}, "Each barrier with the conflicts that asked for it: different threads touch the same bytes, first one statement, then the other. Line numbers are those of the IR before insert-barriers. Copies are accesses where they are waited for."),
    data.barriers.map((b) => el("div", { class: "card barrier" },
      el("div", { class: "head" }, el("b", {}, "barrier"), where(b.place), el("span", { class: "muted" }, b.loops.length ? el("code", {}, b.loops.join(" \u203a ")) : "in straight code"),
        el("span", { class: "muted", style: "flex:1" }, b.planned ? "" : "written in the program"),
        el("button", { class: "where", onclick: () => { go({ stage, tab: "ir", form: "text" }); flash(b.line); } }, `insert-barriers, line ${b.line + 1}`)),
      b.conflicts.map((c) => el("div", { class: "hazard" }, el("div", { class: "kind" }, el("b", {}, c.buffer), el("span", { class: "muted" }, c.kind)), access(c.first), access(c.second))))));
}
const access = (a) => el("div", { class: `access${selected(a.place)}`, ...linked(a.place) }, el("span", { class: "no" }, a.line < 0 ? "" : a.line + 1), el("code", { html: data.texts[a.code] }));
function flash(n) {
  const line = document.querySelectorAll("#view .ln")[n];
  if (line) { scrollTo_(line.closest(".code"), line); line.classList.add("found", "now"); }
}

// ---- report

function showCosts() {
  const c = data.costs;
  return sheet(c.note ? el("p", {}, c.note) : "", c.entries.map((e) => el("section", {},
    c.entries.length > 1 ? el("h2", {}, e.name) : "",
    el("div", { class: "tiles" }, e.facts.map(([k, v, r]) => el("div", { class: "tile" }, el("div", { class: "k" }, k), el("div", { class: /^\d+$/.test(v) ? "v" : "v word" }, /^\d+$/.test(v) ? number(Number(v)) : v), el("div", { class: "r" }, r)))),
    boundBars(c.gpu, e.bounds), costTable(e), e.mixes.map(mixBar))), c.text ? [el("h2", {}, "As text"), el("pre", { class: "report" }, c.text)] : "");
}
function costTable(e) {
  if (!e.accesses.length) return "";
  const head = ["access", "buffer", "line", "requests", "needed", "ideal", "", ""].map((t, n) => el("th", { class: n > 2 && n < 6 ? "num" : "" }, t));
  const rows = e.accesses.map((a) => el("tr", { ...linked(a.place), class: selected(a.place).trim() }, el("td", {}, el("code", {}, a.what)), el("td", {}, el("code", {}, a.buffer)), el("td", {}, where(a.place)),
    ...[a.requests, a.needed, a.ideal].map((v) => el("td", { class: "num" }, (a.exact ? "" : "~") + number(v))), el("td", { class: "muted" }, a.unit),
    el("td", { class: a.needed > a.ideal ? "over" : "muted" }, a.needed > a.ideal ? `${(a.needed / a.ideal).toFixed(1)} \u00d7` : "ideal")));
  return el("section", {}, el("h2", {}, "Memory accesses"), el("table", {}, el("tr", {}, head), rows));
}
function boundBars(gpu, bounds) {
  if (!bounds.length) return "";
  const time = (t) => (t >= 1e-3 ? `${(t * 1e3).toPrecision(3)} ms` : `${(t * 1e6).toPrecision(3)} \u00b5s`);
  return el("section", {}, el("h2", {}, `Least time of each part of an ${gpu}`), el("div", { class: "bounds" }, bounds.map(([name, t], i) => [el("span", { class: "muted" }, name),
    el("span", { class: "track" }, el("i", { class: i ? "" : "limit", style: `width:${(t / bounds[0][1]) * 100}%` })), el("span", { class: "num" }, time(t))])));
}
function mixBar(m) {
  const total = m.parts.reduce((sum, [, n]) => sum + n, 0) || 1;
  return el("section", {}, el("h2", {}, `Machine code: ${m.name}, ${number(m.instructions)} instructions`),
    el("div", { class: "mix" }, m.parts.map(([name, n], i) => el("span", { style: `flex:${n / total};background:${colour(i)}`, title: `${name}: ${n}` }))),
    el("div", { class: "legend" }, m.parts.map(([name, n], i) => el("span", {}, el("i", { style: `background:${colour(i)}` }), `${name} ${n}`))),
    m.remark ? el("p", {}, m.remark) : "");
}

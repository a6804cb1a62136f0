// The layouts tab: the whole tile as a small picture, a window of it with labels, and what holds the element under the pointer.

const BANKS = 32;
const picture = { buffer: 0, by: "", row: 0, column: 0, pinned: false };
const words = (text) => new Uint32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const tables = new Map();
function tableOf(l) {
  if (!tables.has(l)) tables.set(l, { threads: words(l.threads), places: words(l.places) });
  return tables.get(l);
}
const SCHEMES = { fragment: [["thread", "thread"], ["warp", "warp"], ["register", "register"]], shared: [["bank", "bank"], ["chunk", "16-byte chunk"], ["row", "128-byte row"]] };

const threadAt = (l, i) => tableOf(l).threads[i * l.replicas];
const bytesAt = (l, i) => Math.floor((tableOf(l).places[i] * l.bits) / 8);
const bankAt = (l, i) => Math.floor(bytesAt(l, i) / 4) % BANKS;
/** The number that colours element i. */
function group(l, i, by) {
  switch (by) {
    case "thread": return threadAt(l, i) % 32;
    case "warp": return Math.floor(threadAt(l, i) / 32);
    case "register": return tableOf(l).places[i];
    case "bank": return bankAt(l, i);
    case "chunk": return Math.floor(bytesAt(l, i) / 16) % 8;
    default: return Math.floor(bytesAt(l, i) / 128);
  }
}
const PERIOD = { thread: 32, bank: 32, chunk: 8 };
function shade(l, i, by) {
  const n = group(l, i, by);
  if (by === "warp") return colour(n);
  const warp = by === "thread" ? Math.floor(threadAt(l, i) / 32) % 4 : 0;
  const period = PERIOD[by] || 16;
  return `hsl(${((n % period) * 360) / period} ${44 - warp * 6}% ${68 + warp * 5}%)`;
}
const label = (l, i) => (l.kind === "fragment" ? `${threadAt(l, i)}${l.replication > 1 ? "+" : ""}:${tableOf(l).places[i]}` : `${tableOf(l).places[i]}`);
/** Whether element j belongs together with element i: held by the same thread, or in the same bank. */
const together = (l, i, j) => (l.kind === "fragment" ? threadAt(l, i) === threadAt(l, j) : bankAt(l, i) === bankAt(l, j));

function showLayouts() {
  if (!data.layouts.length) return none("No buffer has a layout.");
  const list = data.layouts.map((l, n) => el("button", { class: `item${n === picture.buffer ? " on" : ""}${selected(l.place)}`, "data-buffer": l.buffer, ...linked(l.place),
    onclick: () => { Object.assign(picture, { buffer: n, by: "", row: 0, column: 0, pinned: false }); go({}); } },
    el("b", {}, l.buffer), el("div", { class: "muted" }, `${l.kind} ${l.dtype}[${l.shape.join(", ")}]`)));
  return el("div", { class: "layouts" }, el("div", { class: "list" }, list), layoutPicture(data.layouts[picture.buffer]));
}

function layoutPicture(l) {
  picture.by = picture.by || SCHEMES[l.kind][0][0];
  const by = el("select", { "aria-label": "colour by", onchange: (e) => { picture.by = e.target.value; go({}); } },
    SCHEMES[l.kind].map(([id, name]) => el("option", { value: id, selected: id === picture.by }, name)));
  const held = l.kind === "fragment"
    ? `${l.num_threads} threads with ${l.num_regs} registers each${l.replication > 1 ? `, ${l.replication} copies of each element` : ""}`
    : `${number((l.size * l.bits) / 8)} bytes${l.text.includes("swizzle") ? ", swizzled" : ""}`;
  const info = el("div", { class: "info" });
  const box = el("div", { class: "both" });
  const parts = { l, info, overview: null, lens: null };
  const redraw = () => { parts.lens = lens(parts, redraw); parts.overview.frame(); box.lastChild.replaceWith(parts.lens); };
  parts.overview = overview(parts, redraw);
  parts.lens = lens(parts, redraw);
  box.append(parts.overview.picture, parts.lens);
  describe(parts, -1);
  return el("div", { class: "picture" },
    el("div", { class: "title", style: "display:flex;gap:12px;align-items:baseline;flex-wrap:wrap" }, el("b", { style: "font:600 14px var(--mono)" }, l.buffer), where(l.place), el("span", { class: "muted" }, `${held} \u00b7 ${l.why === "user" ? "annotated" : l.why}`),
      el("span", { style: "flex:1" }), el("label", { class: "muted" }, "colour by ", by)),
    el("div", { class: "muted", style: "font:12px var(--mono);margin:6px 0 0" }, l.text), info, box);
}

const cellSize = (l) => Math.max(1, Math.min(22, 230 / l.columns, 540 / l.rows));
/** The whole tile: neighbours of one colour are one rectangle. */
function overview(parts, redraw) {
  const { l } = parts, size = cellSize(l), shown = Math.min(l.rows, Math.floor(3000 / size));
  const cells = [];
  for (let r = 0; r < shown; r++) {
    for (let c = 0; c < l.columns; ) {
      const fill = shade(l, r * l.columns + c, picture.by);
      let end = c + 1;
      while (end < l.columns && shade(l, r * l.columns + end, picture.by) === fill) end++;
      cells.push(`<rect x="${c * size}" y="${r * size}" width="${(end - c) * size}" height="${size}" fill="${fill}"/>`);
      c = end;
    }
  }
  const mates = svg("path", { fill: "#101418", "fill-opacity": 0.75, id: "mates" });
  const frame = svg("rect", { fill: "none", stroke: "#101418", "stroke-width": 1.5 });
  const picture_ = svg("svg", { id: "overview", width: l.columns * size + 2, height: shown * size + 2, viewBox: `-1 -1 ${l.columns * size + 2} ${shown * size + 2}`, "shape-rendering": "crispEdges" }, svg("g", { html: cells.join("") }), mates, frame);
  const at = (e) => {
    const b = picture_.getBoundingClientRect();
    const c = Math.floor((e.clientX - b.left - 1) / size), r = Math.floor((e.clientY - b.top - 1) / size);
    return r >= 0 && r < shown && c >= 0 && c < l.columns ? r * l.columns + c : -1;
  };
  const result = {
    picture: picture_,
    frame: () => {
      const w = window_(l);
      for (const [k, v] of Object.entries({ x: w.column * size, y: w.row * size, width: w.columns * size, height: w.rows * size })) frame.setAttribute(k, v);
    },
    mark: (i) => {
      let path = "";
      if (i >= 0) for (let j = 0; j < shown * l.columns; j++) if (together(l, i, j)) path += `M${(j % l.columns) * size} ${Math.floor(j / l.columns) * size}h${size}v${size}h${-size}z`;
      mates.setAttribute("d", path);
    },
  };
  picture_.addEventListener("mousemove", (e) => describe(parts, at(e), e));
  picture_.addEventListener("mouseleave", () => describe(parts, -1));
  picture_.addEventListener("click", (e) => {
    const i = at(e);
    if (i < 0) return;
    Object.assign(picture, { row: Math.floor(i / l.columns) - 8, column: (i % l.columns) - 4 });
    redraw();
  });
  result.frame();
  return result;
}

/** The part of the tile that the lens shows. */
function window_(l) {
  const room = $("#view").clientWidth - 170 - 36 - 20 - 40 - cellSize(l) * l.columns;
  const rows = Math.min(l.rows, 22), columns = Math.min(l.columns, Math.max(4, Math.min(16, Math.floor(room / 46))));
  const clamp = (n, most) => Math.max(0, Math.min(n, most));
  return { rows, columns, row: clamp(picture.row, l.rows - rows), column: clamp(picture.column, l.columns - columns) };
}
function lens(parts) {
  const { l } = parts, w = window_(l), width = 46, height = 23, left = 34, top = 18;
  const cells = [];
  for (let r = 0; r < w.rows; r++) {
    cells.push(svg("text", { class: "m", x: left - 6, y: top + r * height + 15, "text-anchor": "end" }, w.row + r));
    for (let c = 0; c < w.columns; c++) {
      const i = (w.row + r) * l.columns + w.column + c;
      const cell = svg("g", { class: "cell", "data-element": i }, svg("rect", { x: left + c * width + 1, y: top + r * height + 1, width: width - 2, height: height - 2, fill: shade(l, i, picture.by), "stroke-width": 2 }),
        svg("text", { class: "cell-text", x: left + c * width + width / 2, y: top + r * height + 15 }, label(l, i)));
      cell.addEventListener("mousemove", (e) => describe(parts, i, e));
      cells.push(cell);
    }
  }
  for (let c = 0; c < w.columns; c++) cells.push(svg("text", { class: "m", x: left + c * width + width / 2, y: top - 6, "text-anchor": "middle" }, w.column + c));
  const result = svg("svg", { id: "lens", width: left + w.columns * width + 2, height: top + w.rows * height + 2 }, cells);
  result.addEventListener("mouseleave", () => describe(parts, -1));
  return result;
}

/** Says what holds element i, and marks what belongs together with it. */
function describe(parts, i) {
  const { l, info } = parts;
  parts.overview.mark(i);
  for (const cell of parts.lens.querySelectorAll(".cell")) {
    const mine = i >= 0 && together(l, i, Number(cell.dataset.element));
    cell.classList.toggle("mate", mine);
    cell.firstChild.setAttribute("stroke", mine ? "#101418" : "none");
  }
  const unit = l.kind === "fragment" ? "thread:register" : "offset in elements";
  if (i < 0) {
    info.replaceChildren(el("span", { class: "muted" }, `Labels are ${unit}. Hover an element to see ${l.kind === "fragment" ? "everything that its thread holds" : "all elements in its bank"}; click in the small picture to move the window.`));
    return;
  }
  const coords = []; let rest = i;
  for (const n of [...l.shape].reverse()) { coords.unshift(rest % n); rest = Math.floor(rest / n); }
  info.replaceChildren(el("div", {}, el("code", {}, `${l.buffer}[${coords.join(", ")}]`), ...(l.kind === "fragment" ? fragmentWords(l, i) : sharedWords(l, i))));
}
function fragmentWords(l, i) {
  const t = tableOf(l), thread = threadAt(l, i);
  const all = [...t.threads.slice(i * l.replicas, (i + 1) * l.replicas)];
  const mine = [];
  for (let j = 0; j < l.rows * l.columns; j++) if (threadAt(l, j) === thread) mine.push(j);
  return [` is in register ${t.places[i]} of thread ${thread} (warp ${Math.floor(thread / 32)}, lane ${thread % 32})`,
    l.replication > 1 ? `; copies in threads ${all.join(", ")}${l.replication > all.length ? `, \u2026 (${l.replication})` : ""}` : "",
    el("div", { class: "muted" }, `That thread holds ${mine.length} of ${number(l.rows * l.columns)} elements.`)];
}
function sharedWords(l, i) {
  const b = bytesAt(l, i);
  return [` is element ${tableOf(l).places[i]} of its tile: byte ${number(b)}, bank ${bankAt(l, i)}`,
    el("div", { class: "muted" }, `128-byte row ${Math.floor(b / 128)}, 16-byte chunk ${Math.floor(b / 16) % 8} in it.`)];
}

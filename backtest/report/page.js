// Puts the page together: unpacks the data, draws, and answers to the mouse, the keys and the tables.

const CYCLES_PER_PAGE = 25;
const page = { charts: {}, show, showAll: () => show(page.start_ms, page.end_ms) };

async function open() {
  const data = JSON.parse(document.getElementById("data").textContent);
  page.meta = data.meta;
  [page.samples, page.decisions, page.cycles] = await Promise.all([data.samples, data.decisions, data.cycles].map(unpack));
  page.book = composition(page.decisions);
  page.start_ms = page.decisions.time_ms[0];
  page.end_ms = Math.max(page.decisions.time_ms.at(-1), page.start_ms + 1);
  build();
  const [from, to] = location.hash.slice(1).split("-").map(Number);
  if (to > from) show(from, to); else page.showAll();
  wire();
  // What the browser test reads: milliseconds from opening the file to the charts being on the screen.
  requestAnimationFrame(() => setTimeout(() => { document.body.dataset.ready = Math.round(performance.now()); }));
}

function build() {
  const width = document.querySelector("#price .chart").clientWidth;
  const kinds = { price: priceChart, equity: equityChart, drawdown: drawdownChart, book: bookChart };
  for (const [name, options] of Object.entries(kinds)) {
    page.charts[name]?.destroy();
    const element = document.querySelector(`#${name} .chart`);
    page.charts[name] = new uPlot(options(width), [[], ...options(width).series.slice(1).map(() => [])], element);
  }
  page.charts.price.over.addEventListener("mousemove", readOut);
  for (const chart of Object.values(page.charts)) chart.over.addEventListener("wheel", zoomed, { passive: false });
}

// Every change of what is seen comes through here: data of the view's own resolution, then the view.
function show(from, to) {
  const least = Math.max(1000, (page.end_ms - page.start_ms) / 1e6);
  const width = Math.min(Math.max(to - from, least), Math.max(least, page.end_ms - page.start_ms));
  from = Math.min(Math.max(page.start_ms, from), page.end_ms - width);
  from = Math.max(page.start_ms, from);
  to = from + width;
  page.from = from;
  page.to = to;
  const s = page.samples, points = Math.max(300, page.charts.price.bbox.width / devicePixelRatio);
  const seen = (...pairs) => envelope(s.time_ms, pairs, from, to, points);
  const held = [[s.hold_1x_low, s.hold_1x_high], [s.hold_low, s.hold_high]].slice(0, page.meta.leverage === 1 ? 1 : 2);
  draw("price", seen([s.price_low, s.price_high]));
  draw("equity", seen([s.equity_low, s.equity_high], ...held));
  draw("drawdown", seen([s.drawdown, s.drawdown]));
  draw("book", bookData(from, to, Math.round(points)));
  // The address names the view, so that a place can be kept or sent with the file.
  history.replaceState(null, "", `#${Math.round(from)}-${Math.round(to)}`);
  document.getElementById("view").textContent = `${utc(from).slice(0, 16)} to ${utc(to).slice(0, 16)} UTC`;
}

function draw(name, data) {
  const chart = page.charts[name];
  chart.batch(() => {
    chart.setData(data, false);
    chart.setScale("x", { min: page.from, max: page.to });
  });
}

function wire() {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(redraw, 100);
  });
  document.getElementById("spans").addEventListener("click", ({ target }) => {
    if (target.dataset.days) show(page.to - target.dataset.days * 86400000, page.to);
    else if (target.dataset.move) pan(Number(target.dataset.move));
    else if (target.tagName === "BUTTON") page.showAll();
  });
  addEventListener("keydown", ({ key, target, ctrlKey, metaKey, altKey }) => {
    if (ctrlKey || metaKey || altKey || target.tagName === "BUTTON") return;
    if (key === "ArrowLeft") pan(-0.5);
    if (key === "ArrowRight") pan(0.5);
    if (key === "+" || key === "=") zoom(0.5, (page.from + page.to) / 2);
    if (key === "-") zoom(2, (page.from + page.to) / 2);
    if (key === "0") page.showAll();
  });
  cycleTable();
}

function redraw() {
  build();
  show(page.from, page.to);
}

function pan(share) {
  const by = (page.to - page.from) * share;
  show(page.from + by, page.to + by);
}

function zoom(factor, around) {
  show(around - (around - page.from) * factor, around + (page.to - around) * factor);
}

function zoomed(event) {
  // Without Ctrl the wheel scrolls the page, as everywhere; sideways it moves the view.
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    const chart = page.charts.price;
    zoom(1.25 ** Math.sign(event.deltaY), chart.posToVal(event.clientX - chart.over.getBoundingClientRect().left, "x"));
  } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    event.preventDefault();
    pan(event.deltaX / 1000);
  }
}

// What the trade was at the cursor: the last decision that is not after it.
function readOut() {
  const chart = page.charts.price, d = page.decisions;
  const k = lastAt(d.time_ms, chart.posToVal(chart.cursor.left, "x"));
  if (k < 0) return;
  const order = d.order_qty[k];
  const text = [
    utc(d.time_ms[k]), `price ${priced(d.price[k])}`, `${PHASES[d.phase[k]]} unit ${d.unit[k]} (peak ${d.peak[k]}, valley ${d.valley[k]})`,
    `cycle ${d.cycle[k]}`,
    order ? `${order > 0 ? "buy" : "sell"} ${coins(Math.abs(order))} ${page.meta.coin}` : "no order",
    `long ${coins(d.long_qty[k])}, short ${coins(d.short_qty[k])}, cash ${usd(d.cash_usd[k])}`, `equity ${usd(d.equity_usd[k])}`,
  ];
  document.getElementById("decision").textContent = text.join(" · ");
}

// The table of cycles: by hundreds or thousands, so a page at a time; a click on a row shows it in the charts.
const COLUMNS = [
  ["cycle", "number", (c, k) => c.number[k]],
  ["from", "start_ms", (c, k) => utc(c.start_ms[k]).slice(0, 16)],
  ["to", "end_ms", (c, k) => utc(c.end_ms[k]).slice(0, 16) + (c.finished[k] ? "" : " (open)")],
  ["price from", "start_price", (c, k) => priced(c.start_price[k])],
  ["price to", "end_price", (c, k) => priced(c.end_price[k])],
  ["orders", "orders", (c, k) => c.orders[k].toLocaleString("en")],
  ["fees", "fees_usd", (c, k) => usd(c.fees_usd[k])],
  ["funding paid", "funding_usd", (c, k) => usd(c.funding_usd[k])],
  ["profit or loss", "pnl_usd", (c, k) => usd(c.pnl_usd[k])],
];

function cycleTable() {
  const table = document.getElementById("cycles"), cycles = page.cycles, count = cycles.number.length;
  const order = Array.from({ length: count }, (_, k) => k);
  let at = 0, sorted = "number", down = false;
  const head = table.createTHead().insertRow(), body = table.createTBody();
  for (const [label, key] of COLUMNS) {
    const cell = document.createElement("th"), button = document.createElement("button");
    button.textContent = label;
    button.addEventListener("click", () => {
      down = sorted === key ? !down : key === "pnl_usd";
      sorted = key;
      order.sort((a, b) => (cycles[key][a] - cycles[key][b]) * (down ? -1 : 1));
      fill(0);
    });
    cell.append(button);
    head.append(cell);
  }
  function fill(from) {
    at = Math.max(0, Math.min(from, Math.floor((count - 1) / CYCLES_PER_PAGE) * CYCLES_PER_PAGE));
    body.replaceChildren(...order.slice(at, at + CYCLES_PER_PAGE).map(row));
    const last = Math.min(count, at + CYCLES_PER_PAGE);
    document.getElementById("cycles-seen").textContent = count ? `${at + 1} to ${last} of ${count.toLocaleString("en")}` : "none";
    [...head.cells].forEach((cell, k) => {
      cell.ariaSort = COLUMNS[k][1] === sorted ? (down ? "descending" : "ascending") : "none";
    });
  }
  function row(k) {
    const line = document.createElement("tr");
    for (const [, key, text] of COLUMNS) {
      const cell = line.insertCell();
      cell.textContent = text(cycles, k);
      if (key === "pnl_usd") cell.className = cycles.pnl_usd[k] < 0 ? "down" : "up";
    }
    line.tabIndex = 0;
    const see = () => {
      const margin = (cycles.end_ms[k] - cycles.start_ms[k]) * 0.08;
      show(cycles.start_ms[k] - margin, cycles.end_ms[k] + margin);
      document.getElementById("charts").scrollIntoView({ behavior: "smooth" });
    };
    line.addEventListener("click", see);
    line.addEventListener("keydown", ({ key }) => key === "Enter" && see());
    return line;
  }
  document.getElementById("cycles-before").addEventListener("click", () => fill(at - CYCLES_PER_PAGE));
  document.getElementById("cycles-after").addEventListener("click", () => fill(at + CYCLES_PER_PAGE));
  fill(0);
}

open().catch((error) => {
  document.getElementById("trouble").textContent = `The charts can't be drawn: ${error.message}. A current browser is needed.`;
  document.getElementById("trouble").hidden = false;
});

// The charts: four, on one axis of time, drawn by uPlot. `show(from, to)` is the one way to change what is seen.

const HEIGHTS = { price: 380, equity: 220, drawdown: 140, book: 180 };
const NEAR_PX = 7;     // unit lines closer than this are not drawn
const MARKER_PX = 3;   // orders further apart than this, on average, get triangles, the larger the further

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const mixed = (name, share) => `color-mix(in srgb, ${colour(name)} ${share * 100}%, ${colour("card")})`;
const faded = (name, share) => `color-mix(in srgb, ${colour(name)} ${share * 100}%, transparent)`;
const usd = (number, digits = 2) => (number === null || number === undefined ? "–" :
  number.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
// A price of a coin worth cents has more decimals than cents.
const priced = (number) => usd(number, number > 0 ? Math.min(8, Math.max(2, 5 - Math.floor(Math.log10(number)))) : 2);
const percent = (share, digits = 1) => (share === null || share === undefined ? "–" : `${(share * 100).toFixed(digits)}%`);
const coins = (number) => Number(number.toPrecision(6)).toLocaleString("en", { maximumFractionDigits: 8 });
const utc = (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ");
const axisDollars = (u, values) => values.map((value) => value.toLocaleString("en", { maximumFractionDigits: 6 }));

// Ticks of the time axis: years, then days, then hours and minutes, as far as they tell the ticks apart.
function axisTimes(u, times, axis, space, step) {
  let before = "";
  return times.map((ms) => {
    const [day, time] = utc(ms).split(" "), [year, month, date] = day.split("-");
    const name = `${Number(date)} ${MONTHS[month - 1]}`;
    const context = step >= 86400000 ? year : name;
    const text = step >= 28 * 86400000 ? MONTHS[month - 1] : step >= 86400000 ? name : time.slice(0, step < 60000 ? 8 : 5);
    const line = context === before ? text : `${text}\n${context}`;
    before = context;
    return line;
  });
}

function range(label, pair, stroke, fill, extra = {}) {
  // One line where low and high are the same, a filled band where many samples share a pixel.
  const show = (u, value, series, index) => {
    if (index === null) return "–";
    const low = u.data[series][index], high = u.data[series + 1][index];
    const text = extra.text ?? usd;
    return low === high || high === null ? text(low) : `${text(low)} – ${text(high)}`;
  };
  return {
    series: [
      { label, stroke, width: 1.25, value: show, points: { show: false }, ...extra.line },
      { label: "", class: "hidden", stroke, width: 1.25, points: { show: false }, ...extra.line },
    ],
    band: { series: [pair * 2 + 2, pair * 2 + 1], fill },
  };
}

function frame(name, width, { series, bands = [], axis = {}, scale = {}, hooks = {} }) {
  const line = { stroke: colour("text-2"), grid: { stroke: colour("grid"), width: 1 }, ticks: { show: false } };
  return {
    width,
    height: HEIGHTS[name],
    // The last time on the axis is as wide as any, and half of it lies right of the charts.
    padding: [null, 24, null, null],
    ms: 1,
    tzDate: (ms) => new Date(ms + new Date(ms).getTimezoneOffset() * 60000),
    scales: { x: { time: true }, y: scale },
    series: [{ label: "UTC", value: (u, ms) => (ms === null ? "–" : utc(ms)) }, ...series],
    bands,
    axes: [{ ...line, values: axisTimes }, { ...line, size: 78, values: axisDollars, ...axis }],
    cursor: {
      sync: { key: "time", setSeries: false },
      drag: { x: true, y: false, setScale: false },
      points: { show: false },
      bind: { dblclick: () => () => page.showAll() },
    },
    hooks: { ...hooks, setSelect: [selected], setSeries: [toggled] },
  };
}

function selected(u) {
  if (u.select.width < 3) return;
  const from = u.posToVal(u.select.left, "x"), to = u.posToVal(u.select.left + u.select.width, "x");
  u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  page.show(from, to);
}

// A name in the legend stands for a low and a high: a click on it hides both.
function toggled(u, index, { show }) {
  const high = u.series[index + 1];
  if (show !== undefined && high?.class === "hidden" && high.show !== show) u.setSeries(index + 1, { show });
}

function priceChart(width) {
  const price = range("price", 0, colour("text"), faded("text", 0.35), { text: priced });
  return frame("price", width, {
    series: price.series,
    bands: [price.band],
    hooks: { drawClear: [drawPhases, drawUnitLines], draw: [drawResets, drawOrders, drawLiquidation] },
  });
}

function equityChart(width) {
  const own = range("this trade", 0, colour("accent"), faded("accent", 0.35), { line: { width: 1.75 } });
  const spot = range("held at 1x", 1, colour("muted"), faded("muted", 0.3));
  const held = range(`held at ${page.meta.leverage}x`, 2, colour("hold"), faded("hold", 0.25), { line: { dash: [4, 3] } });
  // At a leverage of 1 both ways of holding are the same line.
  const lines = page.meta.leverage === 1 ? [own, spot] : [own, spot, held];
  return frame("equity", width, { series: lines.flatMap((l) => l.series), bands: lines.map((l) => l.band) });
}

function drawdownChart(width) {
  const text = (share) => percent(share);
  const fall = range("drawdown", 0, colour("down"), faded("down", 0.3), { text });
  fall.series[0].fill = faded("down", 0.25);
  return frame("drawdown", width, {
    series: fall.series,
    bands: [fall.band],
    scale: { range: (u, low) => [Math.min(low ?? 0, -0.01) * 1.05, 0] },
    axis: { values: (u, values) => values.map((value) => percent(value, 0)) },
  });
}

function bookChart(width) {
  const steps = uPlot.paths.stepped({ align: 1 });
  const area = (label, name, value) => ({
    label, stroke: mixed(name, 0.6), fill: mixed(name, 0.6), width: 0.5, paths: steps, points: { show: false },
    value: (u, _, series, index) => (index === null ? "–" : percent(value(index))),
  });
  const parts = () => page.parts;
  return frame("book", width, {
    // Stacked: the highest first, each next one painted over it; cash below zero is a loss being carried.
    series: [
      area("cash", "cash", (k) => parts().cash[k]),
      area("short", "short", (k) => parts().short[k]),
      area("long", "long", (k) => parts().long[k]),
      { ...area("", "cash", () => null), class: "hidden" },
    ],
    scale: { range: (u, low, high) => [Math.min(0, low ?? 0), Math.max(1, high ?? 1)] },
    axis: { values: (u, values) => values.map((value) => percent(value, 0)) },
  });
}

function bookData(from, to, columns) {
  const { book, end_ms } = page;
  const width = (to - from) / columns, times = [];
  const parts = { long: [], short: [], cash: [] };
  for (let column = 0; column < columns; column++) {
    times.push(from + column * width);
    for (const part of Object.keys(parts)) {
      parts[part].push(mean(book.times, book[part], times[column], times[column] + width, end_ms));
    }
  }
  page.parts = parts;
  const stacked = (value) => times.map((_, k) => (parts.long[k] === null ? null : value(k)));
  const held = stacked((k) => parts.long[k] + parts.short[k]);
  return [times, stacked((k) => held[k] + Math.max(0, parts.cash[k])), held, parts.long, stacked((k) => Math.min(0, parts.cash[k]))];
}

// What lies over and under the price.

function plot(u) {
  const { left, top, width, height } = u.bbox;
  u.ctx.beginPath();
  u.ctx.rect(left, top, width, height);
  u.ctx.clip();
  return { left, top, width, height, scale: devicePixelRatio };
}

function painting(draw) {
  return (u) => {
    u.ctx.save();
    draw(u, u.ctx, plot(u));
    u.ctx.restore();
  };
}

const drawPhases = painting((u, ctx, { left, top, width, height, scale }) => {
  const { min, max } = u.scales.x;
  for (const [phase, from, to] of phaseBands(page.book, min, max, page.end_ms, Math.round(width / scale))) {
    const x = u.valToPos(from, "x", true);
    ctx.fillStyle = faded(PHASES[phase].toLowerCase(), 0.2);
    ctx.fillRect(x, top, u.valToPos(Math.min(to, page.end_ms), "x", true) - x, height);
  }
});

const drawUnitLines = painting((u, ctx, { left, top, width, height, scale }) => {
  const { min, max } = u.scales.y, { anchor_price, unit_size } = page.meta;
  if (min === null || (unit_size / (max - min)) * height < NEAR_PX * scale) return;
  ctx.strokeStyle = faded("text-2", 0.6);
  ctx.lineWidth = scale;
  ctx.setLineDash([2 * scale, 4 * scale]);
  for (let line = Math.ceil((min - anchor_price) / unit_size); anchor_price + line * unit_size <= max; line++) {
    const y = u.valToPos(anchor_price + line * unit_size, "y", true);
    ctx.beginPath();
    ctx.moveTo(left, y);
    ctx.lineTo(left + width, y);
    ctx.stroke();
  }
});

const drawResets = painting((u, ctx, { left, top, width, height, scale }) => {
  const { min, max } = u.scales.x, starts = page.cycles.start_ms;
  const first = lastAt(starts, min) + 1, last = lastAt(starts, max);
  if (last - first > 40) return;
  ctx.strokeStyle = ctx.fillStyle = colour("text-2");
  ctx.setLineDash([1 * scale, 3 * scale]);
  ctx.font = `${11 * scale}px system-ui, sans-serif`;
  ctx.textAlign = "left";
  let free = 0;
  for (let k = Math.max(1, first); k <= last; k++) {
    const x = u.valToPos(starts[k], "x", true);
    ctx.beginPath();
    ctx.moveTo(x, top);
    ctx.lineTo(x, top + height);
    ctx.stroke();
    // The cycle that begins there, where there is room for its name.
    const name = `RESET · ${page.cycles.number[k]}`, ends = x + 6 * scale + ctx.measureText(name).width;
    if (x < free || ends > left + width) continue;
    ctx.fillText(name, x + 3 * scale, top + 11 * scale);
    free = ends;
  }
});

const drawOrders = painting((u, ctx, { left, width, scale }) => {
  const { time_ms, price, order_qty } = page.decisions;
  const { min, max } = u.scales.x;
  const first = Math.max(0, lastAt(time_ms, min)), last = lastAt(time_ms, max);
  const orders = [];
  for (let k = first; k <= last; k++) if (order_qty[k] && time_ms[k] >= min) orders.push(k);
  const apart = width / scale / Math.max(1, orders.length), near = apart > MARKER_PX;
  ctx.strokeStyle = colour("card");
  ctx.lineWidth = scale;
  // Too many for triangles: in each column of the screen the highest sale and the lowest buy get a dot.
  for (const k of near ? orders : extremes(u, orders)) {
    const x = u.valToPos(time_ms[k], "x", true), y = u.valToPos(price[k], "y", true);
    const side = order_qty[k] > 0 ? 1 : -1;
    ctx.fillStyle = near ? colour(side > 0 ? "up" : "down") : faded(side > 0 ? "up" : "down", 0.75);
    ctx.beginPath();
    if (near) {
      const size = Math.min(6, 2.5 + apart / 6) * scale;
      ctx.moveTo(x, y + side * 2 * scale);
      ctx.lineTo(x - size, y + side * (2 * scale + 1.7 * size));
      ctx.lineTo(x + size, y + side * (2 * scale + 1.7 * size));
      ctx.closePath();
    } else {
      ctx.arc(x, y, 1.6 * scale, 0, 7);
    }
    ctx.fill();
    if (near) ctx.stroke();
  }
});

function extremes(u, orders) {
  const { time_ms, price, order_qty } = page.decisions;
  const buys = new Map(), sales = new Map();
  for (const k of orders) {
    const column = Math.round(u.valToPos(time_ms[k], "x"));
    const [best, better] = order_qty[k] > 0 ? [buys, (a, b) => a < b] : [sales, (a, b) => a > b];
    if (!best.has(column) || better(price[k], price[best.get(column)])) best.set(column, k);
  }
  return [...buys.values(), ...sales.values()];
}

const drawLiquidation = painting((u, ctx, { left, width, scale }) => {
  const { liquidated_ms, liquidated_price } = page.meta;
  if (liquidated_ms === null) return;
  const x = u.valToPos(liquidated_ms, "x", true), y = u.valToPos(liquidated_price, "y", true), size = 7 * scale;
  ctx.strokeStyle = ctx.fillStyle = colour("down");
  ctx.lineWidth = 3 * scale;
  ctx.beginPath();
  ctx.moveTo(x - size, y - size);
  ctx.lineTo(x + size, y + size);
  ctx.moveTo(x - size, y + size);
  ctx.lineTo(x + size, y - size);
  ctx.stroke();
  ctx.font = `bold ${12 * scale}px system-ui, sans-serif`;
  const atRight = x > left + width / 2;
  ctx.textAlign = atRight ? "right" : "left";
  ctx.fillText("LIQUIDATED", x + (atRight ? -2 : 2) * size, y + 4 * scale);
});

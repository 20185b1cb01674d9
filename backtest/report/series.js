// What the charts show, reckoned from the page's data. No drawing here, and nothing that needs a browser's window.

const PHASES = ["ADVANCE", "RETRACEMENT", "DECLINE", "RECOVERY"];
const KINDS = { f8: Float64Array, f4: Float32Array, i4: Int32Array, u1: Uint8Array };

// A group of columns of the page's data: {name: [kind, gzipped little-endian numbers in base64]} to typed arrays.
async function unpack(columns) {
  const arrays = {};
  for (const [name, [kind, text]] of Object.entries(columns)) {
    const packed = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    arrays[name] = new KINDS[kind](await new Response(stream).arrayBuffer());
  }
  return arrays;
}

// The index of the last time that is not after `at`; -1 if all are.
function lastAt(times, at) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= at) low = middle + 1; else high = middle;
  }
  return low - 1;
}

// Samples of the view in at most `points` groups: [times, low, high, low, high, ...] for each pair of columns.
// A group keeps the lowest low and the highest high of its samples, so no extreme is lost at any zoom.
function envelope(times, pairs, from, to, points) {
  const first = Math.max(0, lastAt(times, from));
  const last = Math.min(times.length - 1, lastAt(times, to) + 1);
  const step = Math.max(1, Math.ceil((last - first + 1) / points));
  const out = [[], ...pairs.flatMap(() => [[], []])];
  for (let start = first; start <= last; start += step) {
    const end = Math.min(last + 1, start + step);
    out[0].push(times[start]);
    pairs.forEach(([lows, highs], which) => {
      let low = Infinity, high = -Infinity;
      for (let k = start; k < end; k++) {
        if (lows[k] < low) low = lows[k];
        if (highs[k] > high) high = highs[k];
      }
      const known = low <= high;
      out[1 + 2 * which].push(known ? low : null);
      out[2 + 2 * which].push(known ? high : null);
    });
  }
  return out;
}

// The time integral of a step function: integral[k] is that of the values before times[k].
function integrated(times, valueAt) {
  const integral = new Float64Array(times.length);
  for (let k = 1; k < times.length; k++) integral[k] = integral[k - 1] + valueAt(k - 1) * (times[k] - times[k - 1]);
  return integral;
}

// Shares of the book and time in each phase as integrals, so that any stretch of time has its mean at once.
function composition(decisions) {
  const { time_ms: times, price, long_qty, short_qty, short_entry, cash_usd, phase } = decisions;
  const value = (k) => long_qty[k] * price[k] + short_qty[k] * (2 * short_entry[k] - price[k]) + cash_usd[k];
  const share = (part) => (k) => part(k) / (Math.abs(value(k)) || 1);
  return {
    long: integrated(times, share((k) => long_qty[k] * price[k])),
    short: integrated(times, share((k) => short_qty[k] * (2 * short_entry[k] - price[k]))),
    cash: integrated(times, share((k) => cash_usd[k])),
    phases: PHASES.map((_, which) => integrated(times, (k) => Number(phase[k] === which))),
    times,
  };
}

// The mean between two times of what `integral` sums up; null before the first decision and after `end`.
function mean(times, integral, from, to, end) {
  from = Math.max(from, times[0]);
  to = Math.min(to, end);
  if (to <= from) return null;
  return (integralAt(times, integral, to, end) - integralAt(times, integral, from, end)) / (to - from);
}

function integralAt(times, integral, at, end) {
  const k = Math.max(0, lastAt(times, at));
  if (k + 1 < times.length) {
    const width = times[k + 1] - times[k];
    return integral[k] + (width ? ((integral[k + 1] - integral[k]) * (at - times[k])) / width : 0);
  }
  // The page closes its decisions with one at the end of the data, so nothing lies beyond the last.
  return integral[k];
}

// Stretches of one phase, [phase, from, to]; where phases change within a column of the screen, the longest counts.
function phaseBands(book, from, to, end, columns) {
  const bands = [];
  const width = (to - from) / columns;
  for (let column = 0; column < columns; column++) {
    const start = from + column * width;
    const shares = book.phases.map((integral) => mean(book.times, integral, start, start + width, end));
    if (shares[0] === null) continue;
    const phase = shares.indexOf(Math.max(...shares));
    const open = bands.at(-1);
    if (open && open[0] === phase && open[2] >= start - width / 2) open[2] = start + width;
    else bands.push([phase, start, start + width]);
  }
  return bands;
}

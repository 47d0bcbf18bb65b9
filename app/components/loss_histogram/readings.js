// The numbers over the plot: those that Python gave for where the thresholds stand, and while a hand
// moves one, those of its course.

// The course of a handle while the other stands where Python knows it.
function courseOf({ data, value, exchange }, names) {
  const course = data.numbers?.courses.find(({ moved }) => same(moved, names));
  const stay = Object.keys(value).filter((name) => !names.includes(name));
  return stay.every((name) => isEdge(exchange.given[name], value[name])) ? course : undefined;
}

function same(a, b) {
  return a.length === b.length && a.every((name, i) => name === b[i]);
}

// The one of ascending numbers that is nearest on a logarithmic axis.
function nearest(at, value) {
  const above = at.findIndex((stop) => stop >= value);
  if (above <= 0) return above ? at.at(-1) : at[0];
  return value * value < at[above - 1] * at[above] ? at[above - 1] : at[above];
}

// A number for each label at the thresholds as they stand now; null where Python has to be waited
// for.
function readNumbers(chart) {
  const { data, value, exchange, handles } = chart;
  if (!data.numbers) return null;
  if (sameThresholds(value, exchange.given)) return data.numbers.now;
  for (const { names } of handles) {
    const course = courseOf(chart, names);
    const i = course ? course.at.findIndex((stop) => isEdge(stop, value[names[0]])) : -1;
    if (i >= 0) return course.numbers.map((column) => column[i]);
  }
  return null;
}

// What they are compared with: as long as Python has not answered, where the gesture began.
function readBefore({ data, value, exchange, base }) {
  return sameThresholds(value, exchange.given) ? data.numbers.before : base;
}

// A cell for each label, made anew only where the labels are others.
function listNumbers(chart) {
  const labels = chart.data.numbers?.labels ?? [];
  const before = chart.cells.map((cell) => cell.label);
  if (same(labels, before)) return;
  chart.cells = labels.map((label) => {
    const root = element("div", "reading");
    const value = element("div", "value");
    const delta = element("div", "delta");
    root.append(element("div", "name", label), value, delta);
    return { root, label, value, delta };
  });
  chart.readings.replaceChildren(...chart.cells.map(({ root }) => root));
}

function shownNumber(x, digits) {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return x.toLocaleString("en", options).replace("-", "−");
}

// Write them; what they say, for who does not see them.
function writeNumbers(chart) {
  if (!chart.cells.length) return [];
  const { digits, units } = chart.data.numbers;
  const now = readNumbers(chart),
    before = now && readBefore(chart);
  chart.readings.setAttribute("aria-busy", String(now === null));
  return chart.cells.map(({ label, value, delta }, i) => {
    const x = now?.[i],
      old = before?.[i];
    const known = x !== null && x !== undefined;
    write(value, known ? shownNumber(x, digits[i]) + units[i] : now ? "not logged" : "…");
    const moved = known && old !== null && old !== undefined && x !== old;
    write(delta, moved ? (x > old ? "+" : "") + shownNumber(x - old, digits[i]) : "");
    return `${label} ${value.textContent}`;
  });
}

// Pixels and their legend. Pixels are written directly: each takes the mean of the cells that it
// covers, each cell takes at least one pixel.

const UNLOGGED = 1,
  EMPTY = 2;

// Whether a pixel covers several cells.
function paint(chart) {
  const { data, canvas } = chart;
  const scale = window.devicePixelRatio || 1;
  const wide = (canvas.width = Math.round(chart.room * scale));
  const high = (canvas.height = Math.round(chart.tall * scale));
  const colours = data.palette.map((pair) => rgba(pair[isDark(chart.theme) ? 1 : 0]));
  const image = picture(gathered(chart, wide, high, scale), colours, data, scale);
  canvas.getContext("2d").putImageData(image, 0, 0);
  const [alongRows, alongSteps] = data.flat ? [wide, high] : [high, wide];
  return data.names.length > alongRows || data.steps.length > alongSteps;
}

function gathered(chart, wide, high, scale) {
  const { data, values } = chart,
    S = data.steps.length;
  const [alongRows, alongSteps] = data.flat ? [wide, high] : [high, wide];
  const rows = data.names.map((_, i) =>
    pixels(chart.row(i) * scale, chart.row(i + 1) * scale, alongRows),
  );
  const steps = data.steps.map((_, i) =>
    pixels(chart.step(i) * scale, chart.step(i + 1) * scale, alongSteps),
  );
  const sums = new Float32Array(wide * high),
    counts = new Uint16Array(wide * high);
  const gaps = new Uint8Array(wide * high);
  for (let r = 0; r < rows.length; r++) {
    for (let s = 0; s < S; s++) {
      const value = values[r * S + s],
        gap = !data.logged[s] ? UNLOGGED : value !== value ? EMPTY : 0;
      const [x0, x1] = data.flat ? rows[r] : steps[s],
        [y0, y1] = data.flat ? steps[s] : rows[r];
      for (let y = y0; y < y1; y++) {
        for (let i = y * wide + x0; i < y * wide + x1; i++) {
          if (gap) gaps[i] = gap;
          else {
            sums[i] += value;
            counts[i]++;
          }
        }
      }
    }
  }
  return { sums, counts, gaps, wide, high };
}

// The pixels from one place up to another, at least one.
function pixels(a, b, most) {
  const [low, high] = [a, b].map((x) => clamp(Math.round(x), 0, most)).sort((x, y) => x - y);
  const from = Math.min(low, most - 1);
  return [from, Math.max(from + 1, high)];
}

function picture({ sums, counts, gaps, wide, high }, colours, { edges, neutral }, scale) {
  const image = new ImageData(wide, high),
    grey = rgba(neutral),
    period = Math.round(8 * scale);
  const hatched = (x, y) => (x + y) % period < 1.5 * scale;
  const dotted = (x, y) => x % period < 2 * scale && y % period < 2 * scale;
  for (let y = 0, i = 0; y < high; y++) {
    for (let x = 0; x < wide; x++, i++) {
      if (counts[i]) image.data.set(colours[bin(sums[i] / counts[i], edges)], 4 * i);
      else if (gaps[i] === UNLOGGED ? hatched(x, y) : gaps[i] === EMPTY && dotted(x, y))
        image.data.set(grey, 4 * i);
    }
  }
  return image;
}

function rgba(colour) {
  return colour.startsWith("#")
    ? [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)).concat(255)
    : [0, 0, 0, 0];
}

// The bins as one strip, each above its edge and the quantile of that; then what has no colour.
function legend(chart) {
  const { data, values } = chart;
  const bins = data.legend.map(([edge, share], b) => {
    const node = element("span", "bin"),
      swatch = element("span", "swatch");
    const [light, dark] = data.palette[b];
    swatch.style.background = `light-dark(${light}, ${dark})`;
    node.append(swatch, element("span", "", edge), element("span", "share", share));
    return node;
  });
  const key = (kind, text) => {
    const node = element("span", "key");
    node.append(element("span", `swatch ${kind}`), element("span", "", text));
    return node;
  };
  const strip = element("div", "strip");
  strip.append(...bins);
  const keys = element("div", "keys");
  if (data.logged.includes(false)) keys.append(key("missing", data.notLogged));
  if (values.some((v, i) => v !== v && data.logged[i % data.steps.length]))
    keys.append(key("gone", data.gone));
  chart.legend.replaceChildren(element("p", "anchors", data.anchors), strip, keys);
}

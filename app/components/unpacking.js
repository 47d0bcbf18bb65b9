// The body of what Python packed: JSON, and at their places in it the arrays, which come byte by
// byte of their values (packing.py).

const FROM_TINY = 1,
  FROM_FOUR = 3_782,
  FROM_TWO = 13_773,
  FROM_WHOLE = 23_674; // codes of what a card shows
const LEAST_DECADE = -45,
  NO_VALUE = -32_768,
  BELOW = 1 - 1e-6; // so much of a bound still counts as below it

async function unpacked(body) {
  const raw = await inflated(body);
  const size = new DataView(raw.buffer, raw.byteOffset).getUint32(0, true);
  const { arrays, ...said } = JSON.parse(new TextDecoder().decode(raw.subarray(4, 4 + size)));
  let at = 4 + size;
  for (const [place, kind, n] of arrays) {
    const { width, read } = KINDS[kind];
    const planes = Array.from({ length: width }, (_, k) =>
      raw.subarray(at + k * n, at + (k + 1) * n),
    );
    const inner = place.slice(0, -1).reduce((outer, key) => (outer[key] ??= {}), said);
    inner[place.at(-1)] = read(planes, n);
    at += width * n;
  }
  return said;
}

// Away from the page's own thread.
async function inflated(bytes) {
  const raw = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(raw).arrayBuffer());
}

const KINDS = {
  u1: { width: 1, read: ([bytes]) => bytes.slice() },
  u2: { width: 2, read: halves },
  i4: { width: 4, read: wholes },
  f3: { width: 3, read: floats },
  shown: { width: 2, read: shownNumbers },
};

function halves([low, high], n) {
  const found = new Uint16Array(n);
  for (let i = 0; i < n; i++) found[i] = low[i] | (high[i] << 8);
  return found;
}

function wholes([a, b, c, d], n) {
  const found = new Int32Array(n);
  for (let i = 0; i < n; i++) found[i] = a[i] | (b[i] << 8) | (c[i] << 16) | (d[i] << 24);
  return found;
}

// Floats of which the upper three bytes were sent.
function floats([b, c, d], n) {
  const found = new Uint32Array(n);
  for (let i = 0; i < n; i++) found[i] = (b[i] << 8) | (c[i] << 16) | (d[i] << 24);
  return new Float32Array(found.buffer);
}

function shownNumbers([low, high], n) {
  const found = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const code = ((low[i] | (high[i] << 8)) << 16) >> 16;
    found[i] = code === NO_VALUE ? NaN : code < 0 ? -numberOf(-code) : numberOf(code);
  }
  return found;
}

// A number that a card writes as the one it was made of: one that rounds up to the next bound is
// still written as those below it.
const written = []; // code -> number

function numberOf(code) {
  return (written[code] ??= shownAs(code));
}

function shownAs(code) {
  if (code < FROM_TINY) return 0;
  if (code < FROM_FOUR) {
    const at = code - FROM_TINY,
      digits = `${10 + (at % 90)}e${LEAST_DECADE - 1 + Math.floor(at / 90)}`;
    return code === FROM_FOUR - 1 ? 0.001 * BELOW : Number(digits);
  }
  if (code < FROM_TWO) return code === FROM_TWO - 1 ? BELOW : (code - FROM_FOUR + 10) / 1e4;
  if (code < FROM_WHOLE) return code === FROM_WHOLE - 1 ? 100 * BELOW : (code - FROM_TWO + 100) / 100;
  return code - FROM_WHOLE + 100;
}

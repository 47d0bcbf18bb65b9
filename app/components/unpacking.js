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

// Away from the page's own thread where the browser can.
async function inflated(bytes) {
  let native;
  try {
    native = new DecompressionStream("deflate-raw");
  } catch {
    return inflate(bytes);
  }
  const stream = new Blob([bytes]).stream().pipeThrough(native);
  return new Uint8Array(await new Response(stream).arrayBuffer());
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

// Deflate (RFC 1951), for a browser that has no DecompressionStream of it.

const LENGTHS = ladder(29, 4, 3, 258),
  DISTANCES = ladder(30, 2, 1);
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

// [least, bits that are added to it] of each symbol: bits grow by one every `each` symbols.
function ladder(n, each, from, last) {
  const found = [];
  for (let i = 0, least = from; i < n; i++) {
    const bits = Math.max(0, Math.floor(i / each) - 1);
    found.push([least, bits]);
    least += 1 << bits;
  }
  if (last) found[n - 1] = [last, 0];
  return found;
}

function inflate(bytes) {
  let out = new Uint8Array(4 * bytes.length + 1024),
    size = 0,
    at = 0,
    held = 0,
    holds = 0;
  const bits = (n) => {
    for (; holds < n; holds += 8) held |= bytes[at++] << holds;
    const found = held & ((1 << n) - 1);
    held >>>= n;
    holds -= n;
    return found;
  };
  const room = (n) => {
    if (size + n <= out.length) return;
    const larger = new Uint8Array(2 * (size + n));
    larger.set(out);
    out = larger;
  };
  const symbol = ({ counts, symbols }) => {
    for (let code = 0, first = 0, index = 0, n = 1; ; n++) {
      code |= bits(1);
      const here = counts[n];
      if (code - here < first) return symbols[index + code - first];
      index += here;
      first = (first + here) << 1;
      code <<= 1;
    }
  };
  const stored = () => {
    held = holds = 0;
    const n = bytes[at] | (bytes[at + 1] << 8);
    room(n);
    out.set(bytes.subarray(at + 4, at + 4 + n), size);
    at += 4 + n;
    size += n;
  };
  const coded = ([literals, distances]) => {
    for (let s = symbol(literals); s !== 256; s = symbol(literals)) {
      room(258);
      if (s < 256) {
        out[size++] = s;
        continue;
      }
      const n = LENGTHS[s - 257][0] + bits(LENGTHS[s - 257][1]),
        [least, more] = DISTANCES[symbol(distances)],
        back = least + bits(more);
      for (let i = 0; i < n; i++, size++) out[size] = out[size - back];
    }
  };
  for (let last = 0; !last; ) {
    last = bits(1);
    const kind = bits(2);
    if (kind === 0) stored();
    else coded(kind === 1 ? FIXED : ownCodes(bits, symbol));
  }
  return out.subarray(0, size);
}

function codes(lengths) {
  const counts = new Uint16Array(16),
    starts = new Uint16Array(16),
    symbols = new Uint16Array(lengths.length);
  for (const n of lengths) counts[n]++;
  counts[0] = 0;
  for (let n = 1; n < 15; n++) starts[n + 1] = starts[n] + counts[n];
  lengths.forEach((n, s) => {
    if (n) symbols[starts[n]++] = s;
  });
  return { counts, symbols };
}

const FIXED = [
  codes(Array.from({ length: 288 }, (_, s) => (s < 144 ? 8 : s < 256 ? 9 : s < 280 ? 7 : 8))),
  codes(new Array(30).fill(5)),
];

function ownCodes(bits, symbol) {
  const literals = bits(5) + 257,
    distances = bits(5) + 1,
    of = new Array(19).fill(0);
  for (let i = bits(4) + 4, k = 0; k < i; k++) of[ORDER[k]] = bits(3);
  const lengthCodes = codes(of),
    lengths = [];
  while (lengths.length < literals + distances) {
    const s = symbol(lengthCodes);
    if (s < 16) lengths.push(s);
    else {
      const n = s === 16 ? 3 + bits(2) : s === 17 ? 3 + bits(3) : 11 + bits(7);
      lengths.push(...new Array(n).fill(s === 16 ? lengths.at(-1) : 0));
    }
  }
  return [codes(lengths.slice(0, literals)), codes(lengths.slice(literals))];
}

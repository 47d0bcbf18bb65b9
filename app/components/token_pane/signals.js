// The numbers behind the colours: what a token's value is at the step shown, what is above the
// threshold, what is chosen.

const KEPT = 2,
  IN_SET = 3; // marks, as Python's detections give them
const UNITS = {
  kl: "nats",
  sampled_loss: "nats",
  student_entropy: "nats",
  teacher_entropy: "nats",
  reverse_kl: "nats",
  forward_kl: "nats",
  jensen_shannon: "nats",
};
const CARD_SIGNALS = [
  "kl",
  "sampled_loss",
  "student_entropy",
  "teacher_entropy",
  "grad_norm",
  "weight",
  "persistence",
  "reverse_kl",
  "forward_kl",
  "jensen_shannon",
  "student_p",
  "teacher_p",
];
const ESTIMATED = ["reverse_kl", "forward_kl", "jensen_shannon"];

// Parts of a text as they were packed, made ready to be read by position.
const DECODE = { text: decodeText, values: decodeValues, paint: (raw) => raw };

function decodeText(raw) {
  return {
    ...raw,
    tokens: Array.from(raw.at, (k) => raw.words[k]),
    ids: Int32Array.from(raw.at, (k) => raw.ids[k]),
    teacher: raw.teacher && { ...decodeAlternatives(raw.teacher), ids: raw.ids, words: raw.words },
  };
}

function decodeAlternatives(side) {
  const starts = [0];
  for (const n of side.counts) starts.push(starts.at(-1) + n);
  return { ...side, starts };
}

function decodeValues(raw) {
  return { ...raw, student: raw.student && decodeAlternatives(raw.student) };
}

// The threshold of kl: τ of the rule; where the rule has none, or one of another loss, the mark that
// most of the run lies below.
function tauOf(pane) {
  return isTau(pane, "kl") ? pane.view.verdict.tau : pane.view.mark;
}

function isTau({ view }, name) {
  const { tau, column } = view.verdict;
  return tau !== null && name === (column ?? "kl");
}

function spoken({ view }, name) {
  return view.spoken[name] ?? name;
}

function tauName(pane) {
  return isTau(pane, "kl") ? "τ" : "the mark";
}

const BELOW_MARK = "90 % of the run's tokens lie below";

function klAt(pane, step) {
  const { series, tokens } = pane.text;
  const s = series ? series.steps.indexOf(step) : -1;
  return s < 0
    ? (pane.values.signals.kl ?? null)
    : series.kl.subarray(s * tokens.length, (s + 1) * tokens.length);
}

function persistence(pane) {
  const { series, tokens } = pane.text,
    tau = tauOf(pane);
  if (!series || tau === null) return null;
  const known = pane.persistence;
  if (known?.series === series && known.tau === tau) return known.values;
  const hard = new Uint32Array(tokens.length),
    least = rounded(tau);
  series.kl.forEach((kl, at) => {
    if (kl >= least) hard[at % tokens.length]++;
  });
  // one division: k of S is exactly an edge k/S
  const values = Float64Array.from(hard, (k) => k / series.steps.length);
  pane.persistence = { series, tau, values };
  return values;
}

function valuesOf(pane, name) {
  if (name === "kl") return klAt(pane, pane.state.step);
  if (name === "persistence") return persistence(pane);
  const { scale } = pane.view;
  if (name === "rock class" || (scale.kind === "class" && name === scale.name))
    return pane.classes && Float32Array.from(pane.classes, (c) => (c === 255 ? NaN : c));
  const { values, painted } = pane,
    exact = painted.signal === name ? painted.values : null;
  return exact ?? values.signals[name] ?? null;
}

// What a value on this scale is compared with: shares are worked out here, all else came rounded.
function comparable(scale, x) {
  return scale.kind === "share" ? x : rounded(x);
}

function whyMissing(pane, name) {
  if (valuesOf(pane, name)) return "";
  if (name === "rock class") return pane.view.verdict.why || "The rule knows no classes here.";
  if (name === "persistence" && tauOf(pane) === null) return "There is no threshold to count by.";
  return pane.values.missing[name] ?? `${name} is not logged for this text.`;
}

function defaultCut(pane) {
  const { name, kind, edges, quantiles } = pane.view.scale;
  if (kind === "class") return null;
  if (kind === "share" || kind === "flag") return 0.5;
  if (name !== "kl" && isTau(pane, name)) return pane.view.verdict.tau;
  if (name === "kl" || ESTIMATED.includes(name)) return tauOf(pane);
  return edges[quantiles.lastIndexOf(0.9)] ?? edges.at(-1) ?? null;
}

function cutOf(pane) {
  const [name, value] = [
    pane.state.cut.slice(0, pane.state.cut.lastIndexOf(":")),
    Number(pane.state.cut.split(":").at(-1)),
  ];
  return pane.state.cut && name === pane.view.scale.name && Number.isFinite(value)
    ? value
    : defaultCut(pane);
}

// What the threshold is: "moved" by hand, "tau" of the rule, the "usual" mark of the run, or "" of a
// scale that needs no explaining.
function sortOfCut(pane) {
  const { name, kind } = pane.view.scale,
    usual = defaultCut(pane);
  if (pane.now.cut !== usual) return "moved";
  if (kind === "share" || kind === "flag" || usual === null) return "";
  const of = ESTIMATED.includes(name) ? "kl" : name;
  return isTau(pane, of) ? "tau" : "usual";
}

// What the paint needs, worked out once a change: pane.now.
function measure(pane) {
  const { scale } = pane.view;
  const n = pane.text.tokens.length;
  const values = valuesOf(pane, scale.name),
    kl = klAt(pane, pane.state.step),
    cut = cutOf(pane),
    least = cut === null ? Infinity : comparable(scale, cut);
  const above = new Uint8Array(n);
  let tokens = 0,
    loss = 0,
    total = 0;
  for (let i = 0; i < n; i++) {
    if (kl && kl[i] === kl[i]) total += kl[i];
    if (!values || !(values[i] >= least)) continue;
    above[i] = 1;
    tokens++;
    if (kl && kl[i] === kl[i]) loss += kl[i];
  }
  const now = { values, kl, cut, above, tokens, loss, total, buckets: buckets(pane, values) };
  pane.now = now;
  now.chosen = chosen(pane);
  now.hidden = pane.state.rest === "hide" ? now.chosen : null; // what does not pass is not seen
}

function buckets(pane, values) {
  // -1: no value. Kept while values and scale stay, so that a dragged threshold costs no binning.
  const { scale } = pane.view,
    before = pane.now;
  const key = `${scale.name} ${pane.state.step} ${pane.values.stamp} ${pane.text.stamp} ${scale.edges.join()} ${tauOf(pane)} ${pane.painted.stamp}`;
  if (before?.buckets?.key === key) return before.buckets;
  const last = pane.view.palette.length - 1;
  const found = new Int8Array(pane.text.tokens.length).fill(-1),
    edges = scale.edges.map((edge) => comparable(scale, edge));
  if (values && (scale.edges.length || scale.kind === "class")) {
    for (let i = 0; i < found.length; i++) {
      if (values[i] === values[i])
        found[i] = scale.kind === "class" ? values[i] : Math.min(bin(values[i], edges), last);
    }
  }
  found.key = key;
  return found;
}

// Filters. A toggle that cannot be had is null; otherwise it tells for each token whether it holds.
function toggles(pane) {
  const top1 = pane.values.signals.top1_disagreement;
  const { above, values, cut } = pane.now;
  return {
    above: values && cut !== null ? (i) => above[i] === 1 : null,
    top1: top1 ? (i) => top1[i] === 1 : null,
    kept: pane.marks ? (i) => pane.marks[i] >= KEPT : null,
  };
}

function chosen(pane) {
  const { light, classes, only, span, types } = pane.state;
  const { categories, verdict } = pane.view;
  const wanted = new Set(light.map((name) => categories.indexOf(name)));
  const inClass = new Set(pane.classes ? classes.map((name) => verdict.names.indexOf(name)) : []);
  const all = toggles(pane);
  const tests = only.map((name) => all[name]).filter(Boolean);
  if (span.length) tests.push((i) => i >= span[0] && i <= span[1]);
  if (types.length) tests.push(ofTypes(pane));
  if (!wanted.size && !inClass.size && !tests.length) return null;
  return Uint8Array.from(pane.text.tokens, (_, i) => {
    if (wanted.size && !wanted.has(pane.text.categories[i])) return 0;
    if (inClass.size && !inClass.has(pane.classes[i])) return 0;
    return tests.every((holds) => holds(i)) ? 1 : 0;
  });
}

function ofTypes(pane) {
  const wanted = new Set(pane.state.types);
  return (i) => wanted.has(pane.text.ids[i]);
}

function isRock(pane, i) {
  return pane.marks ? pane.marks[i] === IN_SET : pane.now.above[i] === 1;
}

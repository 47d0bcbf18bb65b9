// The legend is the histogram of the whole run on the scale of the colours, with the threshold in
// it. Bins are of equal width on screen; a value lies where its bin is.

function buildLegend(pane) {
  const root = element("div", "legend");
  const head = element("div", "head");
  const name = element("b", "name");
  const about = element("span", "about");
  const more = element("details", "more"),
    rest = element("span", "rest");
  more.append(element("summary", "", "How to read it"), rest);
  head.append(name, about, more);
  const plot = element("div", "plot");
  const bars = element("div", "bars");
  const handle = element("div", "handle");
  handle.tabIndex = 0;
  handle.setAttribute("role", "slider");
  const ticks = element("div", "ticks");
  plot.append(bars, handle, ticks);
  const lines = element("ul", "lines"),
    count = element("p", "count"),
    hand = element("p", "hand");
  lines.setAttribute("aria-label", "What the lines below tokens mean");
  root.append(head, plot, lines, count, hand);
  pane.legend = {
    root,
    name,
    about,
    more,
    rest,
    plot,
    bars,
    handle,
    ticks,
    lines,
    count,
    hand,
    offered: "",
    drawn: "",
    listed: "",
  };
  listenToHandle(pane);
  return root;
}

function place(value, bins) {
  // 0..1 along the axis
  const b = bin(value, bins),
    m = bins.length + 1;
  if (b === 0) return 0.5 / m;
  if (b === bins.length) return value === bins.at(-1) ? b / m : (b + 0.5) / m;
  return (b + (value - bins[b - 1]) / (bins[b] - bins[b - 1])) / m;
}

function valueAt(share, bins) {
  const at = Math.max(0, Math.min(share, 1)) * (bins.length + 1),
    b = Math.floor(at);
  if (b === 0) return bins[0];
  if (b >= bins.length) return bins.at(-1);
  return Number((bins[b - 1] + (at - b) * (bins[b] - bins[b - 1])).toPrecision(3));
}

function listenToHandle(pane) {
  const { plot, handle } = pane.legend;
  const to = (event) => {
    const box = plot.getBoundingClientRect();
    moveCut(pane, valueAt((event.clientX - box.left) / box.width, pane.view.scale.bins));
  };
  handle.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    handle.focus({ preventScroll: true });
    handle.setPointerCapture(event.pointerId);
  });
  handle.addEventListener("pointermove", (event) => {
    if (handle.hasPointerCapture(event.pointerId)) to(event);
  });
  plot.addEventListener("click", (event) => {
    if (event.target !== handle) to(event);
  });
  handle.addEventListener("keydown", (event) => {
    const step = {
      ArrowLeft: -1,
      ArrowDown: -1,
      ArrowRight: 1,
      ArrowUp: 1,
      PageUp: 5,
      PageDown: -5,
    }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const { bins } = pane.view.scale,
      cut = pane.now.cut;
    const b = bin(cut, bins);
    const next = step > 0 ? b + step - 1 : (bins[b - 1] < cut ? b : b - 1) + step;
    moveCut(pane, bins[Math.max(0, Math.min(next, bins.length - 1))]);
  });
}

function moveCut(pane, value) {
  change(pane, { cut: `${pane.view.scale.name}:${value}` });
  (pane.state.only.includes("above") ? paint : paintCut)(pane);
}

function drawLegend(pane) {
  const { legend, view, now } = pane;
  const { scale } = view;
  const key = JSON.stringify([scale, view.caption, scale.counts.length ? "" : now.buckets.key]);
  if (legend.drawn !== key) {
    legend.drawn = key;
    drawScale(pane);
  }
  const hide = now.cut === null || !now.values || !scale.bins.length;
  legend.handle.hidden = hide;
  if (!hide) {
    legend.handle.style.left = `${100 * place(now.cut, scale.bins)}%`;
    const tau = sortOfCut(pane) === "tau";
    legend.handle.dataset.name = tau ? "τ" : "";
    legend.handle.setAttribute(
      "aria-label",
      `${tau ? "τ of the rule as the threshold" : "Threshold"} of ${spoken(pane, scale.name)}`,
    );
    legend.handle.setAttribute("aria-valuemin", scale.bins[0]);
    legend.handle.setAttribute("aria-valuemax", scale.bins.at(-1));
    legend.handle.setAttribute("aria-valuenow", now.cut);
    legend.handle.setAttribute("aria-valuetext", countLine(pane));
  }
  write(legend.count, countLine(pane));
  drawHand(pane);
  drawLines(pane);
}

// What a threshold that was moved by hand does, and what may be done with it.
function drawHand(pane) {
  const { legend, now, view } = pane,
    { scale, verdict, rule } = view;
  const moved = now.values && now.cut !== null && sortOfCut(pane) === "moved";
  const key = JSON.stringify([moved, scale.name, verdict.tau, rule]);
  if (legend.offered === key) return;
  legend.offered = key;
  const acts = [];
  const tau = verdict.tau !== null && isTau(pane, scale.name);
  const was = tau ? ` τ of the rule is ${number(verdict.tau)} ${scale.unit}.` : "";
  if (moved) acts.push(element("span", "", `Moved by hand, it only marks the text.${was}`));
  if (moved && tau && pane.ask)
    acts.push(
      button("use", "Use as the rule's τ", "Judge tokens by the rule with this threshold", () =>
        pane.ask({ what: "tau", tau: pane.now.cut }),
      ),
    );
  if (moved)
    acts.push(
      button("back", tau ? "Back to τ" : "Back", "Put the threshold back", () => {
        change(pane, { cut: "" });
        (pane.state.only.includes("above") ? paint : paintCut)(pane);
      }),
    );
  if (!moved && rule && pane.ask)
    acts.push(
      element("span", "", rule),
      button("undo", "Undo", "The rule as it was before", () => pane.ask({ what: "undo" })),
    );
  legend.hand.replaceChildren(...acts);
}

function drawLines(pane) {
  const { legend } = pane,
    lines = linesInUse(pane),
    key = JSON.stringify(lines);
  if (legend.listed === key) return;
  legend.listed = key;
  legend.lines.replaceChildren(...lines.map((line) => explainLine(line, document)));
}

function countLine(pane) {
  const { now, view, text } = pane,
    n = text.tokens.length;
  const why = whyMissing(pane, view.scale.name);
  if (why) return `Nothing is coloured. ${why}`;
  if (now.cut === null) return "";
  const loss = now.kl ? `, ${percent(now.loss, now.total)} of the KL of this text` : "";
  const sort = sortOfCut(pane);
  const name = sort === "tau" ? "τ = " : "≥ ";
  const aside = sort === "usual" ? `, which ${BELOW_MARK}` : "";
  return `${name}${number(now.cut)} ${unitOf(view.scale)}${aside}: ${whole(now.tokens)} of ${whole(n)} tokens (${percent(now.tokens, n)})${loss}`.replace(
    "  ",
    " ",
  );
}

function unitOf(scale) {
  return scale.kind === "share" ? "" : scale.unit;
}

function drawScale(pane) {
  const { legend, view, now } = pane;
  const { scale } = view;
  const named = spoken(pane, scale.name);
  write(legend.name, scale.unit ? `${named}, ${scale.unit}` : named);
  const run = `One scale for ${scale.over ?? "the whole run"}: colours change at quantiles ${scale.kind === "diverging" ? "of |value| " : ""}over ${whole(scale.tokens)} logged tokens.`;
  const other =
    scale.of && scale.of !== scale.name
      ? ` Shown on the scale of ${spoken(pane, scale.of)}; the bars are those of it.`
      : "";
  const fixed = scale.kind === "class" ? "" : "A fixed scale; the bars are this text.";
  const height = scale.kind === "class" ? "" : " Height: square root of the count.";
  const empty =
    scale.of && !scale.tokens
      ? "This run has no logged values of this signal, so nothing is coloured."
      : "";
  const how = `${view.about ?? ""} ${empty || (scale.of ? run + other : fixed) + height}`.trim();
  const folded = !view.quiet && !empty; // a reason why nothing is coloured is not folded away
  write(legend.about, folded ? view.caption : `${view.caption} ${how}`);
  write(legend.rest, folded ? how : "");
  legend.more.hidden = !folded;
  legend.plot.classList.toggle("flat", scale.kind === "class");
  legend.plot.hidden = Boolean(empty);
  if (scale.kind === "class") return drawClasses(pane);
  const counts = scale.counts.length
    ? scale.counts
    : countBins(
        now.values,
        scale.bins.map((edge) => comparable(scale, edge)),
      );
  const most = Math.max(1, ...counts.slice(1));
  legend.bars.className = "bars";
  legend.bars.replaceChildren(
    ...counts.map((n, b) => {
      const bar = element(
        "i",
        `bar f${Math.min(bin(middle(b, scale.bins), scale.edges), view.palette.length - 1)}`,
      );
      bar.style.height = `${n ? Math.max(4, 100 * Math.min(1, Math.sqrt(n / most))) : 0}%`;
      return bar;
    }),
  );
  legend.bars.setAttribute("role", "img");
  legend.bars.setAttribute(
    "aria-label",
    `Histogram of ${spoken(pane, scale.name)}; colour changes at ${scale.edges.map(number).join(", ")} ${scale.unit}`,
  );
  drawTicks(pane);
}

function middle(b, bins) {
  if (b === 0) return -Infinity;
  return b === bins.length ? bins.at(-1) : (bins[b - 1] + bins[b]) / 2;
}

function countBins(values, bins) {
  const counts = new Array(bins.length + 1).fill(0);
  values?.forEach((x) => {
    if (x === x) counts[bin(x, bins)]++;
  });
  return counts;
}

function drawClasses(pane) {
  const { legend, view } = pane;
  legend.bars.className = "bars names";
  legend.bars.removeAttribute("role");
  legend.bars.replaceChildren(
    ...view.verdict.names.map((name, b) => element("span", `class f${b}`, name)),
  );
  legend.ticks.replaceChildren();
}

function drawTicks(pane) {
  const { scale } = pane.view;
  const nice =
    scale.kind === "diverging"
      ? [-10, -1, -0.1, 0, 0.1, 1, 10]
      : [0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 1, 10];
  const wanted = nice.filter(
    (x) =>
      x > scale.bins[0] &&
      x <= scale.bins.at(-1) &&
      (scale.kind === "share" || ![0.25, 0.5, 0.75].includes(x)),
  );
  pane.legend.ticks.replaceChildren(
    ...wanted.map((x) => {
      const tick = element("span", "tick", String(x).replace("-", "−"));
      tick.style.left = `${100 * place(x, scale.bins)}%`;
      return tick;
    }),
  );
}

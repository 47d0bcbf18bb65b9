// This view as a file: HTML that asks for nothing and runs nothing, SVG around it, PNG painted from that. The serializer
// escapes every token.

const MOST_PIXELS = 16_384; // a canvas of more in one direction stays empty in some browsers

const PAGE = `
  :root { color-scheme: light dark; } body { font: 16px/1.75 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  .response, .prompt { white-space: pre-wrap; overflow-wrap: anywhere; } .prompt { opacity: .7; }
  .t { unicode-bidi: isolate; } .newline::before { content: "⏎"; opacity: .55; font-style: normal; } .head { font-size: .9rem; }
  .key span { padding: 0 .5rem; display: inline-block; }`;

function standalone(pane) {
  const { text, view, state, now } = pane, { scale } = view;
  const page = document.implementation.createHTMLDocument(`${view.caption}`);
  const policy = page.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  policy.content = "default-src 'none'; style-src 'unsafe-inline'";
  const coding = page.createElement("meta");
  coding.setAttribute("charset", "utf-8");
  const style = page.createElement("style");
  const rules = Object.entries(looks(scale)).map(([layer, look]) => `.${layer} { ${look} }`);
  style.textContent = `${PAGE}\n${rules.join("\n")}`;
  page.head.prepend(coding, policy);
  page.head.append(style);
  const add = (parent, tag, className, words) => {
    const node = page.createElement(tag);
    node.className = className;
    node.textContent = words;
    parent.append(node);
    return node;
  };
  add(page.body, "p", "head", `${pane.legend.about.textContent} Step shown: ${state.step}. ${countLine(pane)}`);
  const key = add(page.body, "p", "head key", `${scale.name} ${scale.unit}: `);
  const parts = scale.kind === "class" ? view.judged.names : ["below", ...scale.edges.map((e) => `≥ ${number(e)}`)];
  parts.forEach((label, b) => add(key, "span", `f${b}`, label));
  if (text.prompt) add(page.body, "div", "prompt", text.prompt);
  const response = add(page.body, "div", "response", "");
  pane.spans.forEach((span, i) => {
    const copy = page.importNode(span, true);
    for (const name of [...copy.getAttributeNames()]) copy.removeAttribute(name);
    copy.className = ["t", ...pane.layers.classes(i).filter((layer) => layer !== "found")].join(" ");
    const value = now.values?.[i];
    copy.title = `${visible(text.tokens[i])} · id ${text.ids[i]} · position ${i} · ${scale.name} ${scale.kind === "class" ? className(pane, i) : number(value)}`;
    response.append(copy);
  });
  return page;
}

function asHtml(pane) {
  return `<!doctype html>\n${standalone(pane).documentElement.outerHTML}`;
}

function asSvg(pane) {
  const page = standalone(pane);
  const box = pane.response.getBoundingClientRect();
  const width = Math.max(400, Math.ceil(box.width)) + 48, height = Math.ceil(box.height) + 360;
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  for (const [name, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) svg.setAttribute(name, value);
  const foreign = document.createElementNS(ns, "foreignObject");
  foreign.setAttribute("width", width);
  foreign.setAttribute("height", height);
  const body = page.createElement("div");
  body.setAttribute("style", `color-scheme: ${pane.dark() ? "dark" : "light"}; background: ${pane.dark() ? "#0e1117" : "#ffffff"}; color: ${pane.dark() ? "#fafafa" : "#1a1a1a"}; font: 16px/1.75 system-ui, sans-serif; padding: 24px; min-height: 100%; box-sizing: border-box`);
  body.append(page.head.querySelector("style"), ...page.body.childNodes);
  foreign.append(body);
  svg.append(foreign);
  // what XML cannot hold is in no token: shown tokens have escapes for control characters; titles go through visible()
  return new XMLSerializer().serializeToString(svg);
}

async function asPng(pane) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(asSvg(pane))}`; // from a blob, the canvas could not be read again
  await image.decode();
  const tallest = Math.max(image.width, image.height), scale = [2, 1].find((by) => by * tallest <= MOST_PIXELS);
  if (!scale) throw new RangeError(`This text is ${whole(tallest)} pixels tall, a PNG may have ${whole(MOST_PIXELS)}: save it as SVG or HTML.`);
  const canvas = element("canvas");
  Object.assign(canvas, { width: scale * image.width, height: scale * image.height });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done, fail) => canvas.toBlob((blob) => (blob ? done(blob) : fail(new RangeError("The browser made no PNG of it: save it as SVG or HTML."))), "image/png"));
}

const FORMATS = {
  html: (pane) => new Blob([asHtml(pane)], { type: "text/html;charset=utf-8" }),
  svg: (pane) => new Blob([asSvg(pane)], { type: "image/svg+xml;charset=utf-8" }),
  png: asPng,
};

async function save(pane, kind) {
  try {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await FORMATS[kind](pane));
    link.download = `${pane.view.file}-step${pane.state.step}.${kind}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  } catch (error) {
    say(pane, error instanceof RangeError ? error.message : `The browser could not paint this view (${error.name}): save it as SVG or HTML.`);
  }
}

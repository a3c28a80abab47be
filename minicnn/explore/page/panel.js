// What is known of the selected box. Each part makes an element, or null where the data have nothing for it.

const MOST_NEIGHBOURS = 6;
const PARTS = [numbersPart, neighboursPart, fieldPart, mapsPart, filtersPart, valuesPart, gradientPart, codePart];

function showPanel(network, box, go) {
  const kind = box.module ? box.kind : box.label || box.kind;
  byId("panel").replaceChildren(
    element("h2", {}, box.node ? nameOf(box) : box.path),
    element("p", { class: "soft" }, kind === box.path ? "" : kind),
    ...PARTS.map((part) => part(network, box, go)).filter(Boolean));
}

function part(title, ...children) {
  return element("section", {}, element("h3", {}, title), ...children);
}

function numbersPart(network, box) {
  const { totals } = network.data;
  const shares = { parameters: totals.parameters, multiply_adds: totals.multiply_adds, bytes: totals.activation_bytes };
  const rows = [["output", shapeText(box.shape), ""]];
  for (const name of SUMMED) {
    const value = box.values[name];
    if (value === null || value === undefined) continue;
    const share = shares[name] > 0 && value > 0 ? percent(value / shares[name]) : "";
    rows.push([QUANTITIES[name].title, name === "bytes" ? shortBytes(value) : longCount(value), share]);
  }
  if (box.module) rows.push(["recorded steps", String(box.size), ""]);
  return element("table", { class: "numbers" }, rows.map(([title, value, share]) => element("tr", {},
    element("th", { scope: "row" }, title), element("td", { class: "number" }, value),
    element("td", { class: "number soft" }, share))));
}

// The nodes that a node reads, and those that read it, to go there.
function neighboursPart(network, box, go) {
  if (!box.node) return null;
  const line = (title, ids) => {
    const links = ids.slice(0, MOST_NEIGHBOURS).map((id) => network.boxes.get(`n${id}`)).filter(Boolean).map((other) =>
      [" ", element("button", { type: "button", class: "link", onclick: () => go(other) }, other.node.id === INPUT ? "input" : nameOf(other))]);
    return ids.length ? element("p", {}, title, links.flat(), ids.length > MOST_NEIGHBOURS ? ` and ${ids.length - MOST_NEIGHBOURS} more` : "") : null;
  };
  return element("div", { class: "soft" }, line("Reads", box.node.inputs), line("Read by", network.consumers.get(box.node.id) || []));
}

// The path of a layer; an operation written in a forward also needs its kind.
function nameOf(box) {
  return box.title === box.kind ? [box.node.module, box.kind].filter(Boolean).join(" ") : box.path;
}

// ---- what a unit sees ------------------------------------------------------------------------------------------------

// The node whose output a box gives.
function endNode(network, box) {
  return box.node || network.nodes.get(box.last);
}

// The square that the middle unit can see, on the input; dashed, what its neighbour to the right sees.
function fieldPart(network, box) {
  const node = endNode(network, box);
  if (!node || !node.field) return null;
  const [, height, width] = network.data.input.shape;
  const [tall, wide] = node.field;
  const step = node.stride || [1, 1];
  const square = (shift, style) => drawing("rect", { class: style, x: (width - wide) / 2 + shift, y: (height - tall) / 2,
    width: wide, height: tall, "vector-effect": "non-scaling-stroke" });
  const picture = drawing("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `The receptive field, ${wide} by ${tall} pixels, on the input` },
    drawing("image", { href: network.data.input.src, width, height }), square(step[1], "neighbour"), square(0, "middle"));
  const larger = tall > height || wide > width;
  const said = `The middle unit can see ${tall} × ${wide} pixels of the input` +
    (larger ? ", more than the whole image; " : "; ") +
    `the next unit looks ${step[1]} ${step[1] === 1 ? "pixel" : "pixels"} further (dashed).`;
  return part("Receptive field", element("div", { class: "pair" }, element("figure", {}, picture, element("figcaption", {}, said)),
    looksFigure(network, node)));
}

// Where the middle unit really looks: the size of its gradient at each pixel.
function looksFigure(network, node) {
  if (!node.looks) return null;
  const canvas = overlayCanvas(network.data.input, "Where the middle unit looks");
  paintOverlay(canvas, network.data.input.src, node.looks.src, 0.75);
  return element("figure", {}, canvas, element("figcaption", {},
    `Where it really looks: most of its gradient comes from about ${shortNumber(node.looks.effective)} pixels a side.`));
}

// ---- values and code -------------------------------------------------------------------------------------------------

function valuesPart(network, box) {
  const node = endNode(network, box);
  if (!node || !node.values || node.values.length === 0) return null;
  const largest = Math.max(...node.values.map(([, value]) => Math.abs(value)));
  return part("Largest values", bars(node.values.map(([label, value]) => [String(label), Math.abs(value) / (largest || 1),
    shortNumber(value), value < 0])));
}

// Rows of [label, share from 0 to 1, text, negative].
function bars(rows) {
  return element("ol", { class: "bars" }, rows.map(([label, share, text, negative]) => element("li", {},
    element("span", { class: "label" }, label), element("span", { class: "track" },
      element("span", { class: negative ? "fill negative" : "fill", style: { width: `${100 * share}%` } })),
    element("span", { class: "number" }, text))));
}

// The forward in which the box runs, its line marked; for a module its own forward.
function codePart(network, box) {
  const line = box.node ? box.node.line : null;
  const module = box.module || (line ? surroundingForward(network, box, line) : null);
  if (!module || !module.source) {
    return line ? part("Code", element("p", { class: "soft" }, `${line.file}, line ${line.number}`),
      element("pre", { tabindex: "0", "aria-label": "Code" }, element("code", {}, line.text))) : null;
  }
  const lines = module.source.replace(/\n$/, "").split("\n").map((text, at) => {
    const number = module.source_line + at;
    const marked = line !== null && number === line.number;
    return element("span", { class: marked ? "line marked" : "line", "aria-current": marked ? "true" : null },
      element("span", { class: "at" }, String(number)), `${text}\n`);
  });
  const where = `${module.file}, line ${line ? line.number : module.source_line}`;
  const pre = element("pre", { tabindex: "0", "aria-label": `Code, ${where}` }, element("code", {}, lines));
  return part("Code", element("p", { class: "soft" }, where), pre);
}

// The nearest module around whose forward has the line.
function surroundingForward(network, box, line) {
  const outer = [network.modules.get(box.node.module), ...around(box).reverse().map((group) => group.module)];
  return outer.find((module) => module && module.source && module.file === line.file && line.number >= module.source_line &&
    line.number < module.source_line + module.source.split("\n").length);
}

// One box of the drawing as a button, and which box an arrow key leads to.

const STRIP_HEIGHT = 44;
const WIDE = 500; // an unfolded module wider than this has its name beside its middle line, to be in sight
// The colour of a box's edge, by what its kind does.
const FAMILIES = [
  [/conv/i, "convolution"],
  [/linear|matmul/i, "linear"],
  [/norm/i, "norm"],
  [/relu|silu|sigmoid|tanh|softmax|gelu/i, "activation"],
  [/pool|mean/i, "pool"],
  [/^(add|cat|mul|sub|concat)/i, "join"],
];

function familyOf(kind) {
  const found = FAMILIES.find(([pattern]) => pattern.test(kind));
  return found ? found[1] : "other";
}

function boxButton({ box, x, y, width, height, middle }, open, quantity, scale) {
  const style = { left: `${x}px`, top: `${y}px`, width: `${width}px` };
  const shared = { type: "button", "data-key": box.key, title: box.path || null, tabindex: "-1" };
  const sign = element("span", { class: "sign", "aria-hidden": "true" }, open ? "\u25be" : "\u25b8");
  if (open) {
    return element("button", { ...shared, class: "box open", "aria-expanded": "true", style },
      element("span", { class: "caption", style: { marginLeft: width > WIDE ? `${middle - x}px` : "0" } }, sign, element("b", {}, box.title), " ", element("span", { class: "soft" }, box.kind)));
  }
  const value = box.values[quantity];
  const has = value !== null && value !== undefined;
  const kind = box.module ? box.label : box.label || box.kind;
  const family = box.module ? "module" : familyOf(box.kind);
  return element("button",
    { ...shared, class: `box ${family}`, "aria-expanded": box.module ? "false" : null, style: { ...style, height: `${height}px` } },
    element("span", { class: "row" }, element("span", { class: "cut" }, box.module ? sign : null, element("b", {}, box.title)),
      " ", element("span", { class: "soft" }, box.shape.join("\u00d7"))),
    element("span", { class: "row" }, element("span", { class: "soft cut" }, kind === box.title ? "" : kind),
      " ", element("span", { class: "soft value" }, has && value !== 0 ? QUANTITIES[quantity].text(value) : "")),
    inputPicture(box) || strip(box),
    element("span", { class: "bar", style: { width: `${(100 * scale(box)).toFixed(1)}%` } }));
}

// How long each box's bar is, from 0 to 1: as its value, against the largest of the boxes shown; the gradient, which
// spans powers of ten, by its logarithm between the smallest and the largest.
function barScale(boxes, quantity) {
  const known = boxes.map((box) => box.values[quantity]).filter(Boolean);
  const largest = Math.max(...known);
  if (!QUANTITIES[quantity].logarithmic) return (box) => (box.values[quantity] || 0) / (largest || 1);
  const span = Math.log(largest / Math.min(...known));
  return (box) => (box.values[quantity] ? 1 - (0.98 * Math.log(largest / box.values[quantity])) / (span || 1) : 0);
}

// The first row of the box's feature maps.
function strip(box) {
  if (!box.maps) return null;
  const [tall, wide] = box.maps.size;
  const fits = Math.floor((BOX_WIDTH - 18) / ((STRIP_HEIGHT * wide) / tall));
  const number = Math.max(1, Math.min(box.maps.count, box.maps.columns, fits));
  const style = spriteStyle(box.maps, 0, STRIP_HEIGHT);
  return element("span", { class: "strip", style: { ...style, width: `${parseFloat(style.width) * number}px` } });
}

function inputPicture(box) {
  if (!box.node || box.node.id !== INPUT) return null;
  return element("span", { class: "strip photo", style: { backgroundImage: `url("${box.node.src}")` } });
}

// ---- arrow keys ------------------------------------------------------------------------------------------------------

// Up and down go along a line, to the nearest where there are several; left and right to what stands beside;
// Escape to the module around; Home and End to the first and the last box. Null if there is nothing.
function neighbour(key, shown, box, paths) {
  const closed = [...shown.values()].filter((spot) => spot.button.getAttribute("aria-expanded") !== "true");
  if (key === "Home") return closed[0].box;
  if (key === "End") return closed[closed.length - 1].box;
  if (key === "Escape") return box.parent && box.parent.parent ? box.parent : null;
  const here = shown.get(box.key);
  const inside = closed.filter((spot) => around(spot.box).includes(box));
  if (key === "ArrowDown") return inside.length ? inside[0].box : along(box, "to", shown, paths);
  if (key === "ArrowUp") return along(box, "from", shown, paths);
  if (key !== "ArrowLeft" && key !== "ArrowRight") return null;
  const side = key === "ArrowLeft" ? -1 : 1;
  const beside = closed.filter((spot) => spot.box !== box && spot.y < here.y + here.height && here.y < spot.y + spot.height &&
    side * (spot.x - here.x) > 0);
  return nearest(beside, here);
}

// The box at the other end of a line that leaves (`to`) or reaches (`from`) this one, through frames on the way.
function along(box, end, shown, paths) {
  const start = end === "to" ? "from" : "to";
  const port = end === "to" ? "out" : "in";
  let here = box;
  while (here) {
    const parent = here.parent;
    const ends = [...(parent ? parent.links.values() : [])].filter((link) => link[start] === here).map((link) => link[end]);
    const boxes = ends.filter((other) => other !== port);
    if (boxes.length) return innermost(nearest(boxes.map((other) => shown.get(other.key)), shown.get(box.key)), end, shown);
    here = parent;
  }
  return null;
}

// In an unfolded module, the box at its beginning (`to`) or end (`from`).
function innermost(box, end, shown) {
  let found = box;
  while (shown.get(found.key).button.getAttribute("aria-expanded") === "true") {
    const { links, children } = found;
    const doors = [...links.values()].filter((link) => (end === "to" ? link.from === "in" : link.to === "out"));
    const inner = doors.map((link) => (end === "to" ? link.to : link.from));
    found = inner.length ? inner.reduce((best, one) => ((end === "to") === (one.first < best.first) ? one : best)) : children[0];
  }
  return found;
}

function nearest(spots, here) {
  if (spots.length === 0) return null;
  const far = (spot) => Math.hypot(spot.x + spot.width / 2 - here.x - here.width / 2, spot.y - here.y);
  return spots.reduce((best, spot) => (far(spot) < far(best) ? spot : best)).box;
}

// The drawing of the network: boxes (buttons) over lines (SVG), in a part of the page that scrolls.

const ZOOMS = [0.3, 0.45, 0.65, 0.85, 1];
const MARGIN = 16;

// `chosen` is called with a box when the reader selects it.
function makeGraph(network, chosen) {
  const scroller = byId("graph");
  const canvas = byId("canvas");
  const overview = makeOverview(scroller);
  const unfolded = new Set();
  let shown = new Map(); // key -> {box, button, x, y, width, height}
  let marked = []; // what is selected, of shown
  let selected = null;
  let quantity = "multiply_adds";
  let zoom = ZOOMS.length - 1;

  function draw() {
    const placed = layoutOf(network.root, unfolded);
    const paths = [];
    const frames = [];
    shown = new Map();
    collect(placed, MARGIN + placed.left, MARGIN, 0, shown, frames, paths);
    const [width, height] = [placed.left + placed.right + 2 * MARGIN, placed.height + 2 * MARGIN];
    const lines = drawing("svg", { width, height, "aria-hidden": "true", class: "lines" },
      linesOf(paths), drawing("g", { id: "near" }));
    const scale = barScale([...shown.values()].map(({ box }) => box).filter((box) => !unfolded.has(box.key)), quantity);
    for (const spot of shown.values()) spot.button = boxButton(spot, unfolded.has(spot.box.key), quantity, scale);
    canvas.replaceChildren(...frames, lines, ...[...shown.values()].map((spot) => spot.button));
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px`, transform: `scale(${ZOOMS[zoom]})` });
    Object.assign(byId("room").style, { width: `${width * ZOOMS[zoom]}px`, height: `${height * ZOOMS[zoom]}px` });
    graph.paths = paths;
    overview.draw(shown, width, height);
    mark();
  }

  // Draws again; the box `anchor` stays where it is on the screen.
  function redraw(anchor) {
    const before = anchor && shown.get(anchor.key);
    const focused = canvas.contains(document.activeElement);
    draw();
    const after = anchor && shown.get(anchor.key);
    if (before && after) {
      scroller.scrollTop += (after.y - before.y) * ZOOMS[zoom];
      scroller.scrollLeft += (after.x - before.x) * ZOOMS[zoom];
    }
    if (focused && selected) shown.get(selected.key).button.focus({ preventScroll: true });
  }

  // The selected box, and the lines that reach it. It alone is on the way of the Tab key.
  function mark() {
    for (const { button, frame } of marked) {
      button.tabIndex = -1;
      button.removeAttribute("aria-current");
      if (frame) frame.classList.remove("current");
    }
    const spot = (selected && shown.get(selected.key)) || shown.values().next().value;
    marked = [spot];
    spot.button.tabIndex = 0;
    if (!selected) return;
    spot.button.setAttribute("aria-current", "true");
    if (spot.frame) spot.frame.classList.add("current");
    byId("near").replaceChildren(...linesOf(graph.paths.filter((path) => path.from === selected || path.to === selected)));
  }

  function select(box, { focus = false, scroll = true } = {}) {
    const hidden = around(box).filter((group) => group.parent !== null && !unfolded.has(group.key));
    hidden.forEach((group) => unfolded.add(group.key));
    selected = box;
    if (hidden.length) draw();
    else mark();
    const { button, middle, y, height } = shown.get(box.key);
    if (scroll) scrollIntoSight(scroller, middle, y, Math.min(height, boxHeight(box) + GAP), ZOOMS[zoom]);
    if (focus) button.focus({ preventScroll: true });
    chosen(box);
  }

  function toggle(box) {
    if (!unfolded.delete(box.key)) unfolded.add(box.key);
    selected = box;
    redraw(box);
    chosen(box);
  }

  // Unfolds every module, or none; the selected box stays in sight, or the module around it.
  function unfoldAll(all) {
    unfolded.clear();
    for (const box of network.boxes.values()) if (all && box.module && box.parent) unfolded.add(box.key);
    const outer = selected && [...around(selected), selected].find((box) => box.parent && !unfolded.has(box.key));
    if (selected && !all) selected = outer || selected;
    redraw(selected);
    if (selected) select(selected);
  }

  // Few boxes say little: unfolds the largest module until there are some.
  function unfoldSome(fewest) {
    let tops = network.root.children;
    while (tops.length < fewest) {
      const largest = tops.filter((box) => box.module).sort((one, other) => other.size - one.size)[0];
      if (largest === undefined) break;
      unfolded.add(largest.key);
      tops = [...tops.filter((box) => box !== largest), ...largest.children];
    }
  }

  canvas.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button === null) return;
    const { box } = shown.get(button.dataset.key);
    if (box.module) toggle(box);
    else select(box, { scroll: false });
  });
  canvas.addEventListener("keydown", (event) => {
    const button = event.target.closest("button");
    const next = button && neighbour(event.key, shown, shown.get(button.dataset.key).box, graph.paths);
    if (!next) return;
    event.preventDefault();
    select(next, { focus: true });
  });

  const graph = {
    paths: [],
    draw, select, toggle, unfoldAll, unfoldSome,
    setQuantity(name) {
      quantity = name;
      redraw(selected);
    },
    zoomBy(steps) {
      zoom = Math.max(0, Math.min(ZOOMS.length - 1, zoom + steps));
      draw();
      if (selected) select(selected);
    },
  };
  return graph;
}

// Boxes, frames and lines of a layout at their places on the canvas; (x, y) is the middle of the layout's top.
function collect(placed, x, y, depth, shown, frames, paths) {
  for (const path of placed.paths) paths.push({ ...path, x, y });
  for (const item of placed.items) {
    const { box, place } = item;
    const [left, top] = [x + item.x - place.left, y + item.y];
    const width = place.left + place.right;
    const spot = { box, x: left, y: top, width, height: place.height, middle: x + item.x, frame: null };
    shown.set(box.key, spot);
    if (place.items === null) continue;
    spot.frame = frameOf(spot, depth);
    frames.push(spot.frame);
    collect(place, x + item.x, top, depth + 1, shown, frames, paths);
  }
}

// The paths of each module as one element of SVG: a dense network has thousands.
function linesOf(paths) {
  const joined = new Map();
  for (const { d, x, y } of paths) joined.set(`${x} ${y}`, (joined.get(`${x} ${y}`) || "") + d);
  return [...joined].map(([place, d]) => drawing("path", { d, transform: `translate(${place})` }));
}

function frameOf({ x, y, width, height }, depth) {
  return element("div", { class: depth % 2 ? "frame odd" : "frame",
    style: { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` } });
}

// Scrolls only if a box is not wholly in sight, and then to the middle.
function scrollIntoSight(scroller, middle, y, height, scale) {
  const [top, left] = [scroller.scrollTop, scroller.scrollLeft];
  const { clientHeight: tall, clientWidth: wide } = scroller;
  if (y * scale < top + 8 || (y + height) * scale > top + tall - 8) scroller.scrollTop = (y + height / 2) * scale - tall / 2;
  const half = BOX_WIDTH / 2;
  if ((middle - half) * scale < left || (middle + half) * scale > left + wide) scroller.scrollLeft = middle * scale - wide / 2;
}

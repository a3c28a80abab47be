// Puts the page together, and keeps the place in its address: #node=12 or #module=layer1.0.

const FEWEST_BOXES = 7; // shown at the start

const data = JSON.parse(byId("data").textContent);
const network = buildNetwork(data);
const graph = makeGraph(network, (box) => {
  showPanel(network, box, go);
  history.replaceState(null, "", hashOf(box));
});

// From elsewhere on the page to a box of the graph.
function go(box) {
  graph.select(box);
  byId("graph").scrollIntoView({ block: "nearest" });
}

function hashOf(box) {
  return box.node ? `#node=${box.node.id}` : `#module=${encodeURIComponent(box.path)}`;
}

// The box that an address names, or null.
function boxOfHash(hash) {
  const [, what, value] = /^#(node|module)=(.*)$/.exec(hash) || [];
  if (what === undefined) return null;
  let path = value;
  try {
    path = decodeURIComponent(value);
  } catch {
    return null;
  }
  const box = network.boxes.get(what === "node" ? `n${path}` : `m${path}`);
  return box && box.parent ? box : null;
}

function fillHeader() {
  byId("title").textContent = data.title;
  byId("origin").textContent = [data.class, data.variant && `variant ${data.variant}`, data.origin].filter(Boolean).join(" \u00b7 ");
  byId("command").textContent = data.command;
  const { parameters, multiply_adds: multiplyAdds, activation_bytes: bytes } = data.totals;
  const totals = [["parameters", longCount(parameters)], ["multiply-adds", shortCount(multiplyAdds)], ["all outputs", shortBytes(bytes)]];
  byId("totals").replaceChildren(...totals.map(([title, value]) => element("div", {}, element("dt", {}, title), element("dd", {}, value))));
  byId("notes").replaceChildren(...(data.notes || []).map((note) => element("li", {}, note)));
  document.body.classList.toggle("few-pixels", Math.max(...data.input.shape.slice(1)) <= 64); // each is to be seen
  byId("photo").append(element("img", { src: data.input.src, alt: `The input: ${data.input.name || "an image"}` }),
    element("figcaption", { class: "soft" }, [data.input.name, shapeText(data.input.shape)].filter(Boolean).join(", ")));
  if (!data.prediction || data.prediction.length === 0) return byId("prediction").remove();
  byId("prediction").append(bars(data.prediction.map(({ label, index, probability }) =>
    [String(label ?? index), probability, percent(probability)])));
}

function startToolbar() {
  const select = byId("quantity");
  const known = Object.entries(QUANTITIES).filter(([name]) => data.nodes.some((node) => node[name]));
  select.append(...known.map(([name, { title }]) => element("option", { value: name, selected: name === "multiply_adds" }, title)));
  select.addEventListener("change", () => graph.setQuantity(select.value));
  const families = FAMILIES.map(([, family]) => family).filter((family) => data.nodes.some((node) => familyOf(node.kind) === family));
  byId("legend").replaceChildren(...families.map((family) => element("li", { class: family }, family)));
  byId("unfold").addEventListener("click", () => graph.unfoldAll(true));
  byId("fold").addEventListener("click", () => graph.unfoldAll(false));
  byId("smaller").addEventListener("click", () => graph.zoomBy(-1));
  byId("larger").addEventListener("click", () => graph.zoomBy(1));
}

// Typing goes to the first box whose path, kind or label has the text, Enter to the next one.
function startSearch() {
  let matches = [];
  let at = 0;
  const show = () => {
    byId("found").textContent = matches.length ? `${at + 1} of ${matches.length}` : "nothing";
    if (matches.length) graph.select(matches[at]);
  };
  byId("wanted").addEventListener("input", (event) => {
    matches = matching(event.target.value.trim().toLowerCase());
    at = 0;
    if (event.target.value.trim()) show();
    else byId("found").textContent = "";
  });
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!matches.length) return;
    at = (at + 1) % matches.length;
    show();
  });
}

// The boxes that have a text: those whose path is or begins with it first.
function matching(text) {
  const rank = (box) => {
    const path = box.path.toLowerCase();
    return path === text ? 0 : path.startsWith(text) ? 1 : `${path} ${box.kind} ${box.label}`.toLowerCase().includes(text) ? 2 : 3;
  };
  const ranked = [...network.boxes.values()].filter((box) => box.parent).map((box) => [rank(box), box]).filter(([one]) => one < 3);
  return ranked.sort(([one, box], [other, second]) => one - other || box.first - second.first).map(([, box]) => box);
}

fillHeader();
startToolbar();
startSearch();
graph.unfoldSome(FEWEST_BOXES);
graph.draw();
graph.select(boxOfHash(location.hash) || network.root.children.find((box) => !box.node || box.node.id !== INPUT), { scroll: location.hash !== "" });
addEventListener("hashchange", () => {
  const box = boxOfHash(location.hash);
  if (box) go(box);
});
startLesson(data);
startCam(data, go);

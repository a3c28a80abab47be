// The recorded network as a tree of boxes: modules that can be unfolded, and nodes.
//
// A box is {key, node or module, parent, children, title, path, kind, label, shape, first, last, values, maps}.
// `links` of a module say how its children are connected: {from, to, sources}, where `from` is a child or "in",
// `to` a child or "out", and `sources` are the nodes whose output goes along.

// What the bars can show, for a box.
const QUANTITIES = {
  parameters: { title: "parameters", text: shortCount },
  multiply_adds: { title: "multiply-adds", text: shortCount },
  bytes: { title: "memory of outputs", text: shortBytes },
  field: { title: "receptive field", text: (side) => `${Math.round(side)} px` },
  gradient: { title: "gradient that arrives", text: shortNumber, logarithmic: true },
};
const SUMMED = ["parameters", "multiply_adds", "bytes"];
const INPUT = -1;

function buildNetwork(data) {
  const modules = new Map(data.modules.map((module) => [module.path, module]));
  const nodes = new Map(data.nodes.map((node) => [node.id, node]));
  const groups = new Map();
  const boxes = new Map();
  const inputNode = { id: INPUT, module: "", kind: "input", label: data.input.name || "", inputs: [],
    src: data.input.src, shape: data.input.shape, parameters: 0, multiply_adds: 0, bytes: 0, field: null, stride: null, gradient: null };
  const alone = modulesOfOneNode(data, modules);

  function group(path) {
    const module = modules.get(path) || { path, name: path.split(".").pop(), kind: "", parent: path ? "" : null };
    if (groups.has(path)) return groups.get(path);
    const made = { key: `m${path}`, module, node: null, children: [], links: new Map(), path,
      kind: module.kind, title: boxTitle(module.path), label: "" };
    groups.set(path, made);
    boxes.set(made.key, made);
    made.parent = module.parent === null || path === "" ? null : group(module.parent);
    return made;
  }

  const root = group("");
  for (const node of [inputNode, ...data.nodes]) {
    const module = modules.get(node.module);
    const leaf = module !== undefined && alone.has(node.module);
    const parent = leaf ? group(module.parent) : group(module === undefined ? "" : node.module);
    const made = { key: `n${node.id}`, module: null, node, children: [], parent,
      path: node.module || node.kind, kind: node.kind, label: node.label,
      title: leaf ? boxTitle(module.path) : node.id === INPUT ? "input" : node.kind };
    boxes.set(made.key, made);
    for (let inner = made, outer = parent; outer !== null; inner = outer, outer = outer.parent) {
      if (!outer.children.includes(inner)) outer.children.push(inner);
    }
  }
  addLinks(data.nodes, boxes);
  summarise(root);
  return { data, root, boxes, nodes, modules, consumers: consumersOf(data.nodes) };
}

// The last part of a path; a number, as in a Sequential, with what stands before it: "block.0".
function boxTitle(path) {
  const [, short] = /([^.]*[^.\d][^.]*(?:\.\d+)+|\d+(?:\.\d+)*|[^.]*)$/.exec(path);
  return short;
}

// The modules that need no frame of their own: without modules inside, and none of their nodes feeds another.
function modulesOfOneNode(data, modules) {
  const parents = new Set(data.modules.map((module) => module.parent));
  const found = new Set(data.modules.map((module) => module.path).filter((path) => path && !parents.has(path)));
  const moduleOf = new Map(data.nodes.map((node) => [node.id, node.module]));
  for (const node of data.nodes) {
    if (node.inputs.some((id) => moduleOf.get(id) === node.module)) found.delete(node.module);
  }
  return found;
}

// The modules around a box, from the whole network inwards.
function around(box) {
  const found = [];
  for (let outer = box.parent; outer !== null; outer = outer.parent) found.unshift(outer);
  return found;
}

function addLinks(nodes, boxes) {
  for (const node of nodes) {
    const to = boxes.get(`n${node.id}`);
    const toPath = [...around(to), to];
    for (const id of node.inputs) {
      const from = boxes.get(`n${id}`);
      if (from === undefined) continue;
      const fromPath = [...around(from), from];
      let shared = 0;
      while (toPath[shared + 1] === fromPath[shared + 1]) shared += 1;
      link(toPath[shared], fromPath[shared + 1], toPath[shared + 1], id);
      for (let at = shared + 1; at < toPath.length - 1; at += 1) link(toPath[at], "in", toPath[at + 1], id);
      for (let at = shared + 1; at < fromPath.length - 1; at += 1) link(fromPath[at], fromPath[at + 1], "out", id);
    }
  }
}

function link(group, from, to, source) {
  const key = `${from.key || from}>${to.key || to}`;
  if (!group.links.has(key)) group.links.set(key, { from, to, sources: new Set() });
  group.links.get(key).sources.add(source);
}

// What a folded module shows: sums over its nodes, and the output of its last node.
function summarise(box) {
  if (box.node !== null) {
    const { node } = box;
    Object.assign(box, { shape: node.shape, maps: spriteOf(node.maps), first: node.id, last: node.id, size: 1 });
    box.values = Object.fromEntries(SUMMED.map((name) => [name, node[name]]));
    box.values.field = node.field ? Math.max(...node.field) : null;
    box.values.gradient = node.gradient;
    return;
  }
  box.children.forEach(summarise);
  box.children.sort((one, other) => one.first - other.first);
  const outs = [...box.links.values()].filter((one) => one.to === "out").map((one) => one.from);
  const end = (outs.length ? outs : box.children).reduce((best, one) => (one.last > best.last ? one : best));
  Object.assign(box, { shape: end.shape, maps: end.maps, last: end.last });
  box.first = Math.min(...box.children.map((child) => child.first));
  box.size = box.children.reduce((sum, child) => sum + child.size, 0);
  box.values = { ...end.values };
  for (const name of SUMMED) box.values[name] = box.children.reduce((sum, child) => sum + (child.values[name] || 0), 0);
  if (box.module.parameters !== undefined) box.values.parameters = box.module.parameters;
  if (box.parent !== null) box.label = `${box.kind}, ${box.size} ${box.size === 1 ? "step" : "steps"}`;
}

function spriteOf(maps) {
  return maps ? { ...maps, count: maps.channels.length } : null;
}

function consumersOf(nodes) {
  const found = new Map();
  for (const node of nodes) {
    for (const id of node.inputs) found.set(id, [...(found.get(id) || []), node.id]);
  }
  return found;
}

// The gradient that arrives at each node, over depth: a small plot with a logarithmic scale.

const PLOT = { width: 340, height: 120, left: 44, bottom: 18, top: 8 };

function gradientPart(network, box, go) {
  const known = network.data.nodes.filter((node) => node.gradient > 0);
  const node = endNode(network, box);
  if (known.length < 2 || !node || !(node.gradient > 0)) return null;
  return part("Gradient that arrives", element("p", {}, `Root mean square ${shortNumber(node.gradient)}.`),
    gradientPlot(known, node, (other) => go(network.boxes.get(`n${other.id}`))));
}

function gradientPlot(nodes, marked, go) {
  const logs = nodes.map((node) => Math.log10(node.gradient));
  const [low, high] = [Math.floor(Math.min(...logs)), Math.max(Math.ceil(Math.max(...logs)), Math.floor(Math.min(...logs)) + 1)];
  const x = (at) => PLOT.left + (at / (nodes.length - 1)) * (PLOT.width - PLOT.left - 6);
  const y = (log) => PLOT.top + ((high - log) / (high - low)) * (PLOT.height - PLOT.top - PLOT.bottom);
  const step = Math.max(1, Math.ceil((high - low) / 4));
  const ticks = Array.from({ length: Math.floor((high - low) / step) + 1 }, (_, at) => low + at * step);
  const at = nodes.indexOf(marked);
  const plot = drawing("svg", { class: "plot", viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "img",
    "aria-label": `The gradient over depth, from ${shortNumber(nodes[0].gradient)} at the first node to ` +
      `${shortNumber(nodes[nodes.length - 1].gradient)} at the last` },
    ticks.map((power) => [
      drawing("line", { class: "grid", x1: PLOT.left, x2: PLOT.width - 6, y1: y(power), y2: y(power) }),
      drawing("text", { x: PLOT.left - 6, y: y(power) + 4, "text-anchor": "end" }, power === 0 ? "1" : power === 1 ? "10" : `1e${power}`),
    ]).flat(),
    drawing("text", { x: PLOT.left, y: PLOT.height - 3 }, "first node"),
    drawing("text", { x: PLOT.width - 6, y: PLOT.height - 3, "text-anchor": "end" }, "last"),
    drawing("polyline", { points: logs.map((log, place) => `${x(place).toFixed(1)},${y(log).toFixed(1)}`).join(" ") }),
    drawing("line", { class: "here", x1: x(at), x2: x(at), y1: PLOT.top, y2: PLOT.height - PLOT.bottom }),
    drawing("circle", { cx: x(at), cy: y(Math.log10(marked.gradient)), r: 4 }));
  plot.addEventListener("click", (event) => {
    const frame = plot.getBoundingClientRect();
    const across = ((event.clientX - frame.left) / frame.width) * PLOT.width;
    const place = Math.round(((across - PLOT.left) / (PLOT.width - PLOT.left - 6)) * (nodes.length - 1));
    go(nodes[Math.max(0, Math.min(nodes.length - 1, place))]);
  });
  return plot;
}

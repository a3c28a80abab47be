// The lines between boxes, as paths of SVG: straight down, with a bend only in the gaps between rows.

// Whether a connection runs down in its source's own column. Else, if it jumps over rows, it needs a lane.
function runsInColumn(link, plan) {
  return plan.waiting.has(link.from);
}

function jumps(link, plan) {
  return plan.row.get(link.to) - plan.row.get(link.from) !== 1;
}

// For each source of long connections the x of its lane, the short lanes inside. Widens the rows that it passes.
function setLanes(plan, rows) {
  const spans = new Map();
  for (const link of plan.links) {
    if (!jumps(link, plan) || runsInColumn(link, plan)) continue;
    const [from, to] = [plan.row.get(link.from), plan.row.get(link.to)];
    const span = spans.get(link.from) || { from: Math.min(from, to), to: Math.max(from, to) };
    span.to = Math.max(span.to, to);
    spans.set(link.from, span);
  }
  const lanes = new Map();
  const ordered = [...spans].sort(([, one], [, other]) => one.to - one.from - (other.to - other.from));
  for (const [source, span] of ordered) {
    const passed = rows.slice(span.from + 2, span.to + 1);
    const x = Math.max(...passed.map((row) => row.right), 0) + LANE_GAP;
    for (const row of passed) row.right = x + 3;
    lanes.set(source, x);
  }
  return lanes;
}

// Where connections enter or leave an unfolded module: beside each other, or all at one point where they are many.
function portOffsets(group, end) {
  const sources = new Set();
  for (const link of group.links.values()) {
    if (link[end === "in" ? "from" : "to"] === end) link.sources.forEach((source) => sources.add(source));
  }
  const many = sources.size > MOST_PORTS;
  const ordered = [...sources].sort((one, other) => one - other);
  return new Map(ordered.map((source, at) => [source, many ? 0 : (at - (ordered.length - 1) / 2) * 12]));
}

// The paths of one connection: one for each point at which it starts or ends.
function connection(link, plan, rows, spots, places, lanes, group) {
  const fromRow = rows[plan.row.get(link.from) + 1];
  const toRow = rows[plan.row.get(link.to) + 1];
  const starts = endPoints(link, link.from, "out", spots, places, group, fromRow.bottom);
  const stops = endPoints(link, link.to, "in", spots, places, group, toRow.top);
  const lane = jumps(link, plan) && !runsInColumn(link, plan) ? lanes.get(link.from) : null;
  const found = new Map();
  for (const source of link.sources) {
    const start = starts(source);
    const stop = stops(source);
    const key = `${start.x},${stop.x}`;
    if (found.has(key)) found.get(key).sources.push(source);
    else found.set(key, { d: bentLine(start, stop, fromRow, toRow, lane), from: link.from, to: link.to, sources: [source] });
  }
  return [...found.values()];
}

function endPoints(link, end, side, spots, places, group, edge) {
  if (end === "in" || end === "out") {
    const offsets = group.parent === null ? new Map() : portOffsets(group, end);
    return (source) => ({ x: offsets.get(source) || 0, y: end === "in" ? 0 : edge }); // through the header
  }
  const { x, y } = spots.get(end);
  const place = places.get(end);
  const offsets = place.items === null ? new Map() : portOffsets(end, side);
  return (source) => ({ x: x + (offsets.get(source) || 0), y: side === "out" ? y + place.height : y });
}

// Down from `start`, bent in the gap under its row into the lane if there is one, down, bent in the gap above `stop`.
function bentLine(start, stop, fromRow, toRow, lane) {
  const gapTop = toRow.top - GAP;
  if (lane === null) {
    return start.x === stop.x ? `M${start.x} ${start.y}V${stop.y}`
      : `M${start.x} ${start.y}V${gapTop}${bend(start.x, gapTop, stop.x, stop.y)}`;
  }
  const below = fromRow.bottom + GAP;
  return `M${start.x} ${start.y}V${fromRow.bottom}${bend(start.x, fromRow.bottom, lane, below)}V${gapTop}` +
    bend(lane, gapTop, stop.x, stop.y);
}

function bend(x1, y1, x2, y2) {
  const middle = (y1 + y2) / 2;
  return `C${x1} ${middle} ${x2} ${middle} ${x2} ${y2}`;
}

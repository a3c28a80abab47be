// Where the boxes stand. Each module is laid out on its own, so unfolding one never reorders another.
//
// In a module: rows by the longest path from its top; parallel branches side by side in columns; a connection that
// jumps over rows runs in its own column where that is free, else in a lane to the right. x = 0 is the middle line of
// a module, on which what comes in and goes out lies; `left` and `right` are how far it reaches from there.

const BOX_WIDTH = 216;
const GAP = 26; // between rows
const COLUMN_GAP = 18;
const LANE_GAP = 7;
const HEADER = 30; // of an unfolded module
const PADDING = 12;
const MOST_PORTS = 4; // more connections than these enter a module at one point

function boxHeight(box) {
  if (box.node && box.node.id === INPUT) return 98;
  return box.maps ? 98 : 46;
}

// {left, right, height, items: [{box, x, y, place}], paths: [{d, from, to}]} of a module with its unfolded parts.
function layoutOf(group, unfolded) {
  const places = new Map(group.children.map((box) => [box, placeOf(box, unfolded)]));
  const plan = plannedColumns(group);
  const rows = rowSizes(plan, places, group.parent === null ? 0 : HEADER);
  const spots = new Map(); // of each box the middle of its top
  for (const stretch of plan.stretches) setStretch(stretch, plan, places, rows, spots);
  const lanes = setLanes(plan, rows);
  const paths = plan.links.map((link) => connection(link, plan, rows, spots, places, lanes, group));
  const framed = group.parent === null ? 0 : PADDING;
  const items = group.children.map((box) => ({ box, ...spots.get(box), place: places.get(box) }));
  return {
    left: Math.max(BOX_WIDTH / 2, ...rows.map((row) => row.left)) + framed,
    right: Math.max(BOX_WIDTH / 2, ...rows.map((row) => row.right)) + framed,
    height: rows[rows.length - 1].bottom,
    items,
    paths: paths.flat(),
  };
}

function placeOf(box, unfolded) {
  if (unfolded.has(box.key)) return layoutOf(box, unfolded);
  return { left: BOX_WIDTH / 2, right: BOX_WIDTH / 2, height: boxHeight(box), items: null, paths: [] };
}

// Rows and columns, which do not depend on what is unfolded: made once for each module.
function plannedColumns(group) {
  if (group.plan) return group.plan;
  const links = [...group.links.values()];
  const order = new Map([["in", -2], ["out", Infinity], ...group.children.map((box, at) => [box, at])]);
  const row = new Map([["in", -1]]);
  const into = new Map(group.children.map((box) => [box, []]));
  into.set("out", []);
  // A module that runs twice can stand before and after another: connections back up do not count.
  const forward = links.filter((link) => order.get(link.from) < order.get(link.to));
  for (const link of forward) into.get(link.to).push(link.from);
  for (const box of group.children) row.set(box, 1 + Math.max(-1, ...into.get(box).map((from) => row.get(from))));
  const last = 1 + Math.max(...group.children.map((box) => row.get(box)));
  row.set("out", last);

  const after = new Map();
  for (const link of forward) after.set(link.from, [...(after.get(link.from) || []), link.to]);
  const column = new Map([["in", 0]]);
  const busy = [0]; // until which row a column is taken
  const continued = new Set();
  const waiting = new Set();
  const used = Array.from({ length: last + 1 }, () => new Set());
  for (let at = 0; at <= last; at += 1) {
    const here = [...group.children.filter((box) => row.get(box) === at), ...(at === last ? ["out"] : [])];
    const fresh = here.filter((box) => {
      const before = into.get(box).filter((from) => row.get(from) === at - 1 && !continued.has(from));
      if (before.length === 0) return true;
      const from = before.reduce((best, one) => (column.get(one) < column.get(best) ? one : best));
      continued.add(from);
      column.set(box, column.get(from));
      return false;
    });
    const takenNow = new Set(here.filter((box) => column.has(box)).map((box) => column.get(box)));
    for (const box of fresh) {
      let free = 0;
      while (takenNow.has(free) || (busy[free] !== undefined && busy[free] >= at)) free += 1;
      takenNow.add(free);
      column.set(box, free);
    }
    for (const box of here) {
      const next = (after.get(box) || []).map((to) => row.get(to));
      const waits = next.length > 0 && !next.includes(at + 1); // its line runs down its own column
      if (waits) waiting.add(box);
      busy[column.get(box)] = waits ? Math.max(...next) - 1 : at;
      for (let to = at; to <= busy[column.get(box)]; to += 1) used[to].add(column.get(box));
    }
  }
  group.plan = { links, row, column, waiting, last, boxes: group.children };
  group.plan.stretches = stretchesOf(used).map(([start, end]) => stretchOf(group.plan, used, start, end));
  return group.plan;
}

// Rows that follow each other with more than one column make a stretch; every other row is one of its own.
function stretchesOf(used) {
  const found = [];
  used.forEach((columns, at) => {
    const joins = at > 0 && columns.size > 1 && used[at - 1].size > 1;
    if (joins) found[found.length - 1][1] = at;
    else found.push([at, at]);
  });
  return found;
}

// Its columns are free if nothing crosses between them: each is then stacked on its own, without common rows.
function stretchOf(plan, used, start, end) {
  const inside = (at) => at >= start && at <= end;
  const boxes = plan.boxes.filter((box) => inside(plan.row.get(box)));
  const columns = [...new Set(used.slice(start, end + 1).flatMap((set) => [...set]))].sort((a, b) => a - b);
  const free = columns.length > 1 && plan.links.every((link) => {
    const [from, to] = [plan.row.get(link.from), plan.row.get(link.to)];
    const same = plan.column.get(link.from) === plan.column.get(link.to) && to === from + 1;
    if (inside(from) && inside(to)) return same;
    if (inside(to)) return to === start && from === start - 1;
    return !inside(from) || plan.waiting.has(link.from) || to === from + 1;
  });
  return { start, end, boxes, columns, free };
}

// For each row from -1 (what comes in) on: top, bottom, and how far it reaches to both sides. rows[0] is row -1.
function rowSizes(plan, places, header) {
  const rows = [{ top: header, bottom: header, left: 0, right: 0 }];
  for (const { start, end, boxes, columns, free } of plan.stretches) {
    const top = rows[rows.length - 1].bottom + GAP;
    if (free) {
      const heights = columns.map((column) => stackHeight(boxes.filter((box) => plan.column.get(box) === column), places));
      for (let at = start; at <= end; at += 1) rows.push({ top, bottom: top + Math.max(...heights), left: 0, right: 0 });
      continue;
    }
    for (let at = start; at <= end; at += 1) {
      const heights = boxes.filter((box) => plan.row.get(box) === at).map((box) => places.get(box).height);
      const here = rows[rows.length - 1].bottom + GAP;
      rows.push({ top: here, bottom: here + Math.max(0, ...heights), left: 0, right: 0 });
    }
  }
  return rows;
}

function stackHeight(boxes, places) {
  return boxes.reduce((sum, box) => sum + places.get(box).height + GAP, -GAP);
}

// The columns of a stretch stand around the middle line.
function setStretch({ start, end, boxes, columns, free }, plan, places, rows, spots) {
  const reach = new Map(columns.map((column) => [column, { left: 8, right: 8 }]));
  for (const box of boxes) {
    const sides = reach.get(plan.column.get(box));
    sides.left = Math.max(sides.left, places.get(box).left);
    sides.right = Math.max(sides.right, places.get(box).right);
  }
  const width = columns.reduce((sum, column) => sum + reach.get(column).left + reach.get(column).right, 0);
  let x = columns.length === 1 ? -reach.get(columns[0]).left : -(width + COLUMN_GAP * (columns.length - 1)) / 2;
  const lines = new Map(); // of each column its middle
  for (const column of columns) {
    lines.set(column, x + reach.get(column).left);
    x += reach.get(column).left + reach.get(column).right + COLUMN_GAP;
  }
  const [first, final] = [columns[0], columns[columns.length - 1]];
  for (const row of rows.slice(start + 1, end + 2)) {
    row.left = reach.get(first).left - lines.get(first);
    row.right = reach.get(final).right + lines.get(final);
  }
  const next = new Map(columns.map((column) => [column, rows[start + 1].top])); // where a free column goes on
  for (const box of boxes) {
    const column = plan.column.get(box);
    spots.set(box, { x: lines.get(column), y: free ? next.get(column) : rows[plan.row.get(box) + 1].top });
    next.set(column, next.get(column) + places.get(box).height + GAP);
  }
}

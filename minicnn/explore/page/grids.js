// Numbers in small shaded squares.

// Black for `low`, white for `high`; the number in whichever of the two can be read on it.
function shade(value, low, high) {
  const share = high > low ? Math.max(0, Math.min(1, (value - low) / (high - low))) : 0.5;
  const grey = Math.round(255 * (Number.isFinite(value) ? share : 0));
  const light = ((grey / 255 + 0.055) / 1.055) ** 2.4;
  return { background: `rgb(${grey} ${grey} ${grey})`, color: light > 0.18 ? "#000" : "#fff" };
}

// Blue below zero, orange above, as strong as the value's size against `largest`.
function tint(value, largest) {
  const share = largest > 0 ? Math.min(1, Math.abs(value) / largest) : 0;
  const full = value < 0 ? [86, 160, 225] : [240, 165, 60];
  return { background: `rgb(${full.map((color) => Math.round(255 + (color - 255) * share)).join(" ")})`, color: "#000" };
}

function bounds(values) {
  const finite = values.filter(Number.isFinite);
  return [Math.min(...finite), Math.max(...finite)];
}

// A grid of cells, rows of values; `look(value, row, column)` gives {style, text, ...attributes}. `frame`, if there is
// one, is drawn around the cells from its row and column on: {row, column, side}.
function numberGrid(rows, label, look, frame = null) {
  const cells = rows.map((row, at) => element("div", { role: "row", class: "cells" }, row.map((value, across) => {
    const { style, text, ...others } = look(value, at, across);
    return element("div", { role: "cell", style, ...others }, text === undefined ? cellNumber(value) : text);
  })));
  return element("div", { class: "grid", style: { "--columns": rows[0].length } },
    element("div", { role: "table", "aria-label": label }, cells),
    frame && element("div", { class: "window", style: { "--row": frame.row, "--column": frame.column, "--window": frame.side } }));
}

// A matrix as a small picture, a square for each number; the column `marked` framed.
function matrixPicture(matrix, marked, label) {
  const [tall, wide] = [matrix.length, matrix[0].length];
  const cell = Math.max(2, Math.min(8, Math.floor(600 / wide)));
  const high = Math.max(2, Math.min(8, Math.floor(300 / tall)));
  const canvas = element("canvas", { width: wide * cell, height: tall * high + 2, role: "img", "aria-label": label });
  const context = canvas.getContext("2d");
  const [least, most] = bounds(matrix.flat());
  matrix.forEach((row, at) => row.forEach((value, across) => {
    context.fillStyle = shade(value, least, most).background;
    context.fillRect(across * cell, at * high + 1, cell, high);
  }));
  context.strokeStyle = "#e8590c";
  context.lineWidth = 2;
  context.strokeRect(marked * cell, 1, Math.max(cell, 3), tall * high);
  return canvas;
}

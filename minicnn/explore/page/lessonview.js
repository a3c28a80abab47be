// Draws the lesson: the patch with its window, the kernel, the column with its products, the sum, the output so far.

const MOST_TERMS = 9; // in the formula

function drawLesson(state, data, typed) {
  const { lesson } = state;
  const [rows, columns] = outputSize(lesson);
  byId("lesson-none").hidden = rows * columns > 0;
  byId("lesson-view").hidden = rows * columns === 0;
  byId("channel").disabled = data.input.pixels.length === 1;
  byId("kernel").disabled = lesson.operation !== "convolution";
  if (rows * columns === 0) return;
  const pixel = Math.floor(state.place / 4);
  const now = { stage: state.place % 4, pixel, row: Math.floor(pixel / columns), column: pixel % columns };
  now.values = columnOf(lesson, now.row, now.column);
  now.output = outputOf(lesson);
  byId("stage").textContent = stageText(lesson, now, rows * columns);
  byId("patch").replaceChildren(...patchGrids(lesson, now, data));
  drawKernel(lesson, data, typed);
  byId("column").replaceChildren(columnTable(lesson, now));
  byId("formula").textContent = now.stage === 3 ? formula(lesson, now) : "";
  byId("result").replaceChildren(outputGrid(lesson, now));
  const matrix = im2colMatrix(lesson);
  byId("matrix").replaceChildren(matrixPicture(matrix, pixel,
    `All windows as columns: ${matrix.length} rows, ${matrix[0].length} columns; column ${pixel + 1} is the window shown`));
  byId("matrix-text").textContent = `im2col: every window is a column of this ${matrix.length} \u00d7 ${matrix[0].length} matrix. ` +
    (lesson.operation === "convolution" ? "The kernel as a row times the matrix is the whole output at once." : "");
}

function stageText(lesson, now, pixels) {
  const where = `Output pixel ${now.pixel + 1} of ${pixels}, row ${now.row}, column ${now.column}. `;
  const pooling = lesson.operation !== "convolution";
  return where + [
    `1 Window: the ${kernelSide(lesson)} \u00d7 ${kernelSide(lesson)} values under the kernel.`,
    "2 Column: the window's values, one after the other.",
    pooling ? "3 No kernel has a part in pooling." : "3 Product: each value times the kernel's number at its place.",
    pooling ? `4 ${lesson.operation === "max" ? "The largest" : "The mean"} is one output pixel.`
      : "4 Sum: the products, added, are one output pixel.",
  ][now.stage];
}

function patchGrids(lesson, now, data) {
  const image = padded(lesson);
  const side = kernelSide(lesson);
  const { padding, stride } = lesson;
  const [low, high] = bounds(data.input.pixels.flat(2));
  return channelsOf(lesson).map((channel) => {
    const name = channelTitle(channel, data.input.pixels.length);
    const rows = image[channel];
    const grid = numberGrid(rows, `Patch, ${name}`, (value, row, column) => {
      const border = Math.min(row, column, rows.length - 1 - row, rows[0].length - 1 - column) < padding;
      return { style: border ? {} : shade(value, low, high), text: border && !Number.isFinite(value) ? "\u2212\u221e" : undefined,
        class: border ? "border" : null };
    }, { row: now.row * stride, column: now.column * stride, side });
    return element("figure", { tabindex: "0", role: "group", "aria-label": `Patch, ${name}` }, element("figcaption", {}, data.input.pixels.length > 1 ? name : "patch"), grid);
  });
}

// The kernel's numbers are fields to type into. They are kept while only the place changes, so that typing is not cut.
function drawKernel(lesson, data, typed) {
  const room = byId("weights");
  byId("weights-part").hidden = lesson.operation !== "convolution";
  const shown = channelsOf(lesson).map((channel) => Math.min(channel, lesson.kernel.length - 1));
  const key = JSON.stringify([shown, lesson.kernel, lesson.bias]);
  if (room.dataset.key === key) return;
  room.dataset.key = key;
  const focused = room.contains(document.activeElement) ? document.activeElement.dataset.place : null;
  const largest = Math.max(...lesson.kernel.flat(2).map(Math.abs));
  const field = (value, place, label, style) => element("input", { type: "text", inputmode: "decimal", value: cellNumber(value),
    "aria-label": label, "data-place": place.join(), style,
    onchange: (event) => {
      if (!typed(...place, event.target.value)) event.target.value = cellNumber(value);
    } });
  room.replaceChildren(...shown.map((channel) => element("figure", {},
    element("figcaption", {}, data.input.pixels.length > 1 ? channelTitle(channel, data.input.pixels.length) : "kernel"),
    element("div", { class: "grid", style: { "--columns": kernelSide(lesson) } }, lesson.kernel[channel].map((row, i) =>
      element("div", { class: "cells" }, row.map((value, j) =>
        field(value, [channel, i, j], `kernel, channel ${channel}, row ${i}, column ${j}`, tint(value, largest)))))))),
  lesson.channel === "all" ? element("label", { class: "bias" }, "bias ", field(lesson.bias, ["bias", 0, 0], "bias", {})) : "");
  if (focused) room.querySelector(`[data-place="${focused}"]`)?.focus();
}

// Rows: the window's column, the kernel as a row, their products; each from its stage on.
function columnTable(lesson, now) {
  const [low, high] = bounds(lesson.pixels.flat(2));
  const weights = kernelRow(lesson);
  const largest = Math.max(...weights.map(Math.abs));
  const multiplied = products(lesson, now.values);
  const most = Math.max(...multiplied.map(Math.abs));
  const lines = [["column", now.values, 1, (value) => shade(value, low, high)]];
  if (lesson.operation === "convolution") {
    lines.push(["kernel", weights, 2, (value) => tint(value, largest)], ["product", multiplied, 2, (value) => tint(value, most)]);
  }
  return element("table", { class: "column" }, lines.map(([title, values, stage, style]) => element("tr", {},
    element("th", { scope: "row" }, title), values.map((value) => now.stage >= stage
      ? element("td", { style: style(value) }, Number.isFinite(value) ? cellNumber(value) : "\u2212\u221e")
      : element("td", {}, "")))));
}

function formula(lesson, now) {
  const result = shortNumber(now.output[now.row][now.column]);
  if (lesson.operation !== "convolution") {
    const values = now.values.map((value) => (Number.isFinite(value) ? cellNumber(value) : "\u2212\u221e"));
    return `${lesson.operation === "max" ? "max" : "mean"}(${values.join(", ")}) = ${result}`;
  }
  const weights = kernelRow(lesson);
  const terms = now.values.map((value, at) => `${bracketed(value)}\u00b7${bracketed(weights[at])}`);
  const shown = terms.slice(0, MOST_TERMS).join(" + ");
  const more = terms.length > MOST_TERMS ? ` + \u2026 (${terms.length - MOST_TERMS} more)` : "";
  return `${shown}${more}${biasOf(lesson) ? ` + ${bracketed(biasOf(lesson))} (bias)` : ""} = ${result}`;
}

function bracketed(value) {
  return value < 0 ? `(${cellNumber(value)})` : cellNumber(value);
}

// The output fills pixel by pixel: those before this one, and this one from its last stage on.
function outputGrid(lesson, now) {
  const [low, high] = bounds(now.output.flat());
  return numberGrid(now.output, "Output", (value, row, column) => {
    const at = row * now.output[0].length + column;
    const done = at < now.pixel || (at === now.pixel && now.stage === 3);
    return { style: done ? shade(value, low, high) : {}, text: done ? undefined : "",
      "data-value": done ? String(value) : null };
  }, { row: now.row, column: now.column, side: 1 });
}

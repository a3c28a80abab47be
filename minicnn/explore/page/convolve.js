// Convolution and pooling of a small patch, one window after the other. Nothing here knows the page.
//
// A lesson is {operation, pixels, kernel, bias, stride, padding, channel}: pixels[channel][row][column],
// kernel[channel][row][column], `channel` a number or "all". For pooling only the kernel's size is used.

const OPERATIONS = {
  convolution: { title: "convolution" },
  max: { title: "max pooling", reduce: (values) => Math.max(...values) },
  average: { title: "average pooling", reduce: (values) => values.reduce((sum, value) => sum + value, 0) / values.length },
};

// The channels that take part. A kernel of one channel is used for each of the image's.
function channelsOf(lesson) {
  if (lesson.channel !== "all") return [lesson.channel];
  return lesson.operation === "convolution" ? lesson.pixels.map((_, channel) => channel) : [0];
}

function kernelOf(lesson, channel) {
  return lesson.kernel[Math.min(channel, lesson.kernel.length - 1)];
}

function kernelSide(lesson) {
  return lesson.kernel[0].length;
}

// Zeros around each channel; for max pooling minus infinity, so that the border never wins.
function padded(lesson) {
  const { pixels, padding } = lesson;
  const border = lesson.operation === "max" ? -Infinity : 0;
  const width = pixels[0][0].length + 2 * padding;
  const blank = () => Array.from({ length: padding }, () => Array(width).fill(border));
  const side = Array(padding).fill(border);
  return pixels.map((rows) => [...blank(), ...rows.map((row) => [...side, ...row, ...side]), ...blank()]);
}

// Rows and columns of the output; 0 where the kernel does not fit.
function outputSize(lesson) {
  const fit = (size) => Math.max(0, Math.floor((size + 2 * lesson.padding - kernelSide(lesson)) / lesson.stride) + 1);
  return [fit(lesson.pixels[0].length), fit(lesson.pixels[0][0].length)];
}

// The window of one output pixel as a column: im2col. Its order is channel, row, column, as the kernel's.
function columnOf(lesson, row, column, image = padded(lesson)) {
  const side = kernelSide(lesson);
  const found = [];
  for (const channel of channelsOf(lesson)) {
    for (let i = 0; i < side; i += 1) {
      for (let j = 0; j < side; j += 1) found.push(image[channel][row * lesson.stride + i][column * lesson.stride + j]);
    }
  }
  return found;
}

// The kernel as a row, in the order of columnOf.
function kernelRow(lesson) {
  return channelsOf(lesson).flatMap((channel) => kernelOf(lesson, channel).flat());
}

// The bias belongs to the sum over all channels.
function biasOf(lesson) {
  return lesson.channel === "all" ? lesson.bias : 0;
}

function products(lesson, column) {
  const weights = kernelRow(lesson);
  return column.map((value, at) => value * weights[at]);
}

function outputPixel(lesson, column) {
  if (lesson.operation !== "convolution") return OPERATIONS[lesson.operation].reduce(column);
  return products(lesson, column).reduce((sum, product) => sum + product, biasOf(lesson));
}

// All output pixels: [row][column].
function outputOf(lesson) {
  const [rows, columns] = outputSize(lesson);
  const image = padded(lesson);
  return Array.from({ length: rows }, (_, row) =>
    Array.from({ length: columns }, (_, column) => outputPixel(lesson, columnOf(lesson, row, column, image))));
}

// The columns of all windows side by side: the matrix that im2col makes, [entry][window].
function im2colMatrix(lesson) {
  const [rows, columns] = outputSize(lesson);
  const image = padded(lesson);
  const windows = Array.from({ length: rows * columns }, (_, at) => columnOf(lesson, Math.floor(at / columns), at % columns, image));
  return windows.length ? windows[0].map((_, entry) => windows.map((window) => window[entry])) : [];
}

// A small grey map laid over the input image, smoothly enlarged and coloured: for Grad-CAM and effective fields.

const HOT = [[40, 60, 190], [30, 170, 200], [120, 210, 90], [250, 210, 50], [210, 40, 30]]; // from 0 to 1

function overlayCanvas(input, label) {
  const [, height, width] = input.shape;
  const scale = Math.max(1, Math.ceil(224 / Math.max(height, width)));
  return element("canvas", { width: width * scale, height: height * scale, role: "img", "aria-label": label });
}

// Draws the image, and over it the map: the larger its value, the more of its colour, at most `strength`.
async function paintOverlay(canvas, imageSource, mapSource, strength) {
  const [image, map] = await Promise.all([loaded(imageSource), loaded(mapSource)]);
  const { width, height } = canvas;
  const small = element("canvas", { width, height });
  const grey = small.getContext("2d");
  grey.imageSmoothingQuality = "high";
  grey.drawImage(map, 0, 0, width, height);
  const pixels = grey.getImageData(0, 0, width, height);
  for (let at = 0; at < pixels.data.length; at += 4) {
    const value = pixels.data[at] / 255;
    pixels.data.set([...hot(value), 255 * strength * Math.min(1, 1.6 * value)], at);
  }
  grey.putImageData(pixels, 0, 0);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = image.width >= width;
  context.drawImage(image, 0, 0, width, height);
  context.drawImage(small, 0, 0);
  canvas.dataset.painted = "true";
}

const pictures = new Map(); // by source: each is read once

function loaded(source) {
  if (!pictures.has(source)) pictures.set(source, reading(source));
  return pictures.get(source);
}

function reading(source) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("an image of the page cannot be read"));
    image.src = source;
  });
}

function hot(value) {
  const at = Math.min(HOT.length - 2, Math.floor(value * (HOT.length - 1)));
  const between = value * (HOT.length - 1) - at;
  return HOT[at].map((low, color) => low + between * (HOT[at + 1][color] - low));
}

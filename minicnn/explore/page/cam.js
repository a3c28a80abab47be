// Grad-CAM: which parts of the image speak for a class.

function startCam(data, go) {
  const section = byId("cam");
  if (!data.cam || data.cam.classes.length === 0) return section.remove();
  const canvas = overlayCanvas(data.input, "");
  const slider = element("input", { type: "range", min: "0", max: "100", value: "70", id: "strength" });
  const said = element("p", { class: "soft", role: "status" });
  let chosen = data.cam.classes[0];

  function paint() {
    canvas.setAttribute("aria-label", `What speaks for ${chosen.label}, over the image`);
    said.textContent = `${chosen.label === `class ${chosen.index}` ? "" : `Class ${chosen.index}. `}The map's largest value is ${shortNumber(chosen.peak)}.`;
    return paintOverlay(canvas, data.input.src, chosen.src, slider.value / 100);
  }

  const buttons = data.cam.classes.map((one) => element("button", { type: "button", "aria-pressed": String(one === chosen),
    onclick: () => {
      chosen = one;
      buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(data.cam.classes[at] === one)));
      paint();
    } }, one.label));
  slider.addEventListener("input", paint);
  const node = network.boxes.get(`n${data.cam.node}`);
  byId("cam-body").append(canvas, element("div", {},
    element("div", { class: "buttons", role: "group", "aria-label": "Class" }, buttons),
    element("p", {}, element("label", { for: "strength" }, "Strength of the map "), slider), said,
    node ? element("p", {}, "Made from the feature maps of ",
      element("button", { type: "button", class: "link", onclick: () => go(node) }, node.path), ".") : null));
  return paint();
}

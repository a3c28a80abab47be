// Feature maps and filters: each a button, larger on click.

const MAP_SIDE = 76;
const LARGE_SIDE = 224;

function mapsPart(network, box) {
  const node = endNode(network, box);
  const sprite = node && spriteOf(node.maps);
  if (!sprite) return null;
  const [channels] = node.shape;
  const told = (at) => `channel ${sprite.channels[at]} of ${channels}`;
  const said = `${sprite.count === channels ? `All ${channels}` : `${sprite.count} of ${channels}`} channels; ` +
    `black is ${shortNumber(sprite.low)}, white ${shortNumber(sprite.high)}.`;
  return part("Feature maps", element("p", { class: "soft" }, said),
    gallery(sprite, told, (at) => String(sprite.channels[at])));
}

function filtersPart(network, box) {
  const node = box.node;
  const sprite = node && node.filters;
  if (!sprite) return null;
  const said = sprite.color ? "Each filter with its weights for red, green and blue as colours."
    : "Of each filter the slice with the largest weights; middle grey is 0.";
  const told = (at) => `filter ${sprite.channels[at]}${sprite.slices ? `, slice ${sprite.slices[at]}` : ""}`;
  return part("Filters", element("p", { class: "soft" }, said),
    gallery(sprite, told, (at) => String(sprite.channels[at])));
}

// The pictures of a sprite as buttons; a click shows one large above them, another click takes it away.
function gallery(sprite, told, short) {
  const large = element("figure", { class: "large", hidden: true });
  const buttons = Array.from({ length: sprite.count }, (_, at) => element("button",
    { type: "button", class: "map", "aria-pressed": "false", "aria-label": told(at), onclick: () => enlarge(at) },
    element("span", { class: "picture", style: spriteStyle(sprite, at, MAP_SIDE) }), element("span", {}, short(at))));

  function enlarge(at) {
    const same = buttons[at].getAttribute("aria-pressed") === "true";
    buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(!same && place === at)));
    large.hidden = same;
    const picture = element("div", { class: "picture", role: "img", "aria-label": told(at), style: spriteStyle(sprite, at, LARGE_SIDE) });
    large.replaceChildren(picture, element("figcaption", {}, told(at)));
  }
  return element("div", {}, large, element("div", { class: "gallery" }, buttons));
}

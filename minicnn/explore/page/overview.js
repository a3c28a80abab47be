// The whole drawing small at its edge, with a frame around what is in sight: a click or a pull goes there. It is for
// the mouse; the search and the arrow keys go everywhere too.

const OVERVIEW_WIDTH = 54;

function makeOverview(scroller) {
  const strip = byId("overview");
  const canvas = strip.querySelector("canvas");
  const frame = strip.querySelector("div");
  let last = null;

  function draw(shown, width, height) {
    last = [shown, width, height];
    const tall = scroller.clientHeight;
    strip.hidden = scroller.scrollHeight < 2 * tall;
    if (strip.hidden) return;
    const colors = colorsOfPage(["soft", "line", "other", ...FAMILIES.map(([, family]) => family)]);
    const sharp = devicePixelRatio || 1;
    Object.assign(canvas, { width: OVERVIEW_WIDTH * sharp, height: tall * sharp });
    const context = canvas.getContext("2d");
    context.scale((OVERVIEW_WIDTH * sharp) / width, (tall * sharp) / height);
    for (const { box, x, y, width: wide, height: high, frame: open } of shown.values()) {
      context.fillStyle = open ? colors.line : colors[box.module ? "soft" : familyOf(box.kind)];
      context.globalAlpha = open ? 0.35 : 1;
      context.fillRect(x, y, wide, high);
    }
    follow();
  }

  // The frame goes where the reader scrolls.
  function follow() {
    const { scrollTop, scrollHeight, clientHeight } = scroller;
    frame.style.top = `${(100 * scrollTop) / scrollHeight}%`;
    frame.style.height = `${(100 * clientHeight) / scrollHeight}%`;
  }

  function go(event) {
    if (event.buttons !== 1) return;
    const { top, height } = strip.getBoundingClientRect();
    scroller.scrollTop = ((event.clientY - top) / height) * scroller.scrollHeight - scroller.clientHeight / 2;
  }

  const again = () => last && draw(...last);
  scroller.addEventListener("scroll", follow, { passive: true });
  strip.addEventListener("pointerdown", (event) => {
    strip.setPointerCapture(event.pointerId);
    go(event);
  });
  strip.addEventListener("pointermove", go);
  addEventListener("resize", again);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  return { draw };
}

function colorsOfPage(names) {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`)]));
}

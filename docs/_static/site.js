document.addEventListener("DOMContentLoaded", () => {
  // What scrolls in its place can be reached with the keyboard.
  for (const element of document.querySelectorAll(".pst-scrollable-table-container, div.math, .highlight pre")) {
    element.tabIndex = 0;
  }
  // A picture opens alone, to be enlarged: on a phone its text is small.
  for (const image of document.querySelectorAll(".bd-article img[alt]:not([alt=''])")) {
    const link = document.createElement("a");
    link.href = image.src;
    image.replaceWith(link);
    link.append(image);
  }
});

// Paper is white, whatever the screen is.
const root = document.documentElement;
let onScreen;
addEventListener("beforeprint", () => {
  onScreen = root.dataset.theme;
  root.dataset.theme = "light";
});
addEventListener("afterprint", () => {
  root.dataset.theme = onScreen;
});

// What scrolls in its place can be reached with the keyboard.
document.addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll(".pst-scrollable-table-container, div.math, .highlight pre")) {
    element.tabIndex = 0;
  }
});

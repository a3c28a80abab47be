"use strict";
// Making elements, and writing numbers. Text from outside is only ever set as text.

const SVG = "http://www.w3.org/2000/svg";

// An element: element("p", {class: "soft", onclick: f}, "text", another). What is null or false is left out.
function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function drawing(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "style") Object.entries(value).forEach(([rule, what]) => setRule(made.style, rule, what));
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function setRule(style, rule, what) {
  if (rule.startsWith("--")) style.setProperty(rule, what);
  else style[rule] = what;
}

function byId(id) {
  return document.getElementById(id);
}

// ---- numbers -------------------------------------------------------------------------------------------------------

// 25557032 -> "25.6 M"; units of 1000.
function shortCount(number) {
  const units = ["", " k", " M", " G", " T"];
  let at = 0;
  while (Math.abs(number) >= 999.5 && at < units.length - 1) {
    number /= 1000;
    at += 1;
  }
  return (at === 0 ? String(Math.round(number)) : String(Number(number.toPrecision(3)))) + units[at];
}

function shortBytes(number) {
  return number < 999.5 ? `${number} B` : `${shortCount(number)}B`;
}

// 1234567 -> "1,234,567"
function longCount(number) {
  return Math.round(number).toLocaleString("en-US");
}

// Three significant digits: 0.123, -12.3, 1.2e-7.
function shortNumber(number) {
  if (number === 0) return "0";
  const size = Math.abs(number);
  if (size < 0.001 || size >= 1e5) return signed(number.toExponential(1));
  return signed(Number(number.toPrecision(3)));
}

// Two decimals at most, for cells.
function cellNumber(number) {
  const rounded = Math.abs(number) >= 100 ? Math.round(number) : Number(number.toFixed(2));
  return signed(rounded === 0 ? 0 : rounded);
}

function signed(number) {
  return String(number).replace(/^-/, "\u2212");
}

function shapeText(shape) {
  return shape.join(" \u00d7 ");
}

function percent(share) {
  return `${(100 * share).toFixed(share < 0.0995 ? 2 : 1)} %`;
}

// ---- sprites: many small pictures in one image -----------------------------------------------------------------------

// The style that shows the picture at place `at` of a sprite, `height` pixels tall. A sprite has `columns` pictures in
// a row, all of one size [height, width], without gaps; `count` pictures in all.
function spriteStyle(sprite, at, height) {
  const [tall, wide] = sprite.size;
  const width = (height * wide) / tall;
  const rows = Math.ceil(sprite.count / sprite.columns);
  const column = at % sprite.columns;
  const row = Math.floor(at / sprite.columns);
  return {
    width: `${width}px`,
    height: `${height}px`,
    backgroundImage: `url("${sprite.src}")`,
    backgroundSize: `${width * sprite.columns}px ${height * rows}px`,
    backgroundPosition: `${-width * column}px ${-height * row}px`,
  };
}

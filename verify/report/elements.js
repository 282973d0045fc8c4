// Elements: the only place where something is put into the page, and always as text.
"use strict";

const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {Node | string | null | undefined} Child
 * @typedef {{[name: string]: string | number | boolean | null | undefined}} Attributes
 */

/**
 * Make an element.
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Attributes} [attributes] of the page's own words; those that are null, undefined or false are left out
 * @param {...Child} children strings become text, made printable
 * @returns {HTMLElementTagNameMap[Name]}
 */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  assign(made, attributes);
  fill(made, ...children);
  return made;
}

/**
 * Make an element of a picture.
 * @template {keyof SVGElementTagNameMap} Name
 * @param {Name} name
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[Name]}
 */
function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  assign(made, attributes);
  fill(made, ...children);
  return made;
}

/**
 * @param {Element} to
 * @param {Attributes} attributes
 */
function assign(to, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    to.setAttribute(name, value === true ? "" : printable(String(value)));
  }
}

/**
 * Put children in the place of those that an element has.
 * @param {Element} into
 * @param {...Child} children
 */
function fill(into, ...children) {
  into.replaceChildren(
    ...children
      .filter((child) => child !== null && child !== undefined)
      .map((child) => (typeof child === "string" ? document.createTextNode(printable(child)) : child)),
  );
}

/**
 * A recorded value: apart from the words around it, whatever its direction of writing, and not endless. Its
 * escapes look like none of its letters.
 * @param {string} text
 * @param {string} [kind] a class of its own
 * @param {number} [limit] in characters
 */
function recorded(text, kind = "", limit = SHOWN) {
  const pieces = piecesOf(shortened(text, limit)).map((piece) =>
    piece.escaped ? element("span", { class: "escape" }, piece.text) : piece.text,
  );
  return element("bdi", { class: `recorded ${kind}`.trim() }, ...pieces);
}

/**
 * A digest, of which the beginning is shown and all is copied.
 * @param {string} hex
 */
function digest(hex) {
  return recorded(hex, "digest");
}

/**
 * A list of terms and what they are.
 * @param {[string, ...Child[]][]} rows those without anything are left out
 */
function terms(rows) {
  const list = element("dl");
  for (const [term, ...values] of rows) {
    const given = values.filter((value) => value !== null && value !== undefined && value !== "");
    if (given.length) list.append(element("dt", {}, term), element("dd", {}, ...given));
  }
  return list;
}

/**
 * The element of the page that has this id.
 * @param {string} id
 */
function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no ${id}`);
  return found;
}

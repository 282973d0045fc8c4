// The list of launches: only the rows that can be seen exist, however many there are.
"use strict";

const ROW = 44; // pixels, as the style has it, like the next
const HEAD = 34;
const BESIDE = 8; // rows above and below those that can be seen
const PRINTED = 1_000;
const SHOWN_IN_A_CELL = 240; // characters

const COLUMNS = ["time (UTC)", "who", "what", "where", "how long", "how it ended"];

/** The list. */
class LaunchList {
  /** @param {(launch: Launch) => void} open */
  constructor(open) {
    /** @type {Launch[]} */
    this.launches = [];
    /** @type {Map<number, HTMLElement>} the rows that are there, by their places */
    this.drawn = new Map();
    this.active = 0;
    this.open = open;
    this.first = 0;
    this.span = 1;
    this.printing = false; // then there is no part that cannot be seen
    this.grid = byId("grid");
    this.rows = byId("grid-rows");
    fill(
      byId("grid-head"),
      ...COLUMNS.map((name, at) => element("span", { role: "columnheader", "aria-colindex": at + 1 }, name)),
    );
    this.grid.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.grid);
    this.grid.addEventListener("keydown", (event) => this.key(event));
    this.rows.addEventListener("click", (event) => {
      const row = event.target instanceof Element ? event.target.closest("[data-at]") : null;
      if (row instanceof HTMLElement) this.choose(Number(row.dataset.at), true);
    });
    for (const [name, printing] of /** @type {const} */ ([["beforeprint", true], ["afterprint", false]])) {
      globalThis.addEventListener(name, () => {
        this.printing = printing;
        this.clear();
        this.draw();
      });
    }
  }

  /** @param {Launch[]} launches the newest first */
  show(launches) {
    this.launches = launches;
    this.active = 0;
    const times = launches.map((launch) => launch.begun).filter((time) => time > 0);
    this.first = times.reduce((one, other) => Math.min(one, other), Number.MAX_SAFE_INTEGER);
    this.span = Math.max(times.reduce((one, other) => Math.max(one, other), 0) - this.first, 1);
    this.grid.setAttribute("aria-rowcount", String(launches.length + 1));
    this.rows.style.height = `${launches.length * ROW}px`;
    this.grid.scrollTop = 0;
    this.clear();
    this.draw();
  }

  clear() {
    this.drawn.clear();
    fill(this.rows);
  }

  /** How much of the rows can be seen at once, in pixels. */
  get seen() {
    return Math.max(ROW, this.grid.clientHeight - HEAD);
  }

  draw() {
    if (this.printing) {
      this.print();
      return;
    }
    const top = Math.max(0, Math.floor(this.grid.scrollTop / ROW) - BESIDE);
    const end = Math.ceil((this.grid.scrollTop + this.seen) / ROW) + BESIDE;
    // The one that a screen reader is at is always there, wherever a mouse has scrolled to.
    const wanted = new Set([this.active]);
    for (let at = top; at < Math.min(end, this.launches.length); at += 1) wanted.add(at);
    for (const [at, row] of this.drawn) {
      if (wanted.has(at)) continue;
      row.remove();
      this.drawn.delete(at);
    }
    // A row stays the same element while it is there: what is pressed on one and let go on another is no click.
    let behind = null;
    for (const at of [...wanted].sort((one, other) => other - one)) {
      const launch = this.launches[at];
      if (launch === undefined) continue;
      let row = this.drawn.get(at);
      if (row === undefined) {
        row = this.row(launch, at);
        this.drawn.set(at, row);
        this.rows.insertBefore(row, behind);
      }
      row.setAttribute("aria-selected", at === this.active ? "true" : "false");
      behind = row;
    }
    if (this.launches.length) this.grid.setAttribute("aria-activedescendant", `row-${this.active}`);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  print() {
    const rows = this.launches.slice(0, PRINTED).map((launch, at) => this.row(launch, at));
    const left = this.launches.length - PRINTED;
    if (left > 0) rows.push(element("div", { role: "row" }, element("span", { role: "gridcell" }, `and ${left} more`)));
    fill(this.rows, ...rows);
  }

  /**
   * @param {Launch} launch
   * @param {number} at
   */
  row(launch, at) {
    const made = element(
      "div",
      {
        role: "row",
        id: `row-${at}`,
        "data-at": at,
        "aria-rowindex": at + 2,
        class: launch.good === false ? "row failed" : "row",
      },
      ...[
        secondWords(launch.time),
        `${launch.who} on ${launch.host}`,
        launch.command,
        launch.directory || "–",
        launch.duration === null ? "–" : durationWords(launch.duration),
        launch.ending + (launch.denied ? `, ${launch.partial ? "at least " : ""}${launch.denied} denied` : ""),
      ].map((text, column) =>
        element("span", { role: "gridcell", "aria-colindex": column + 1 }, recorded(text, "", SHOWN_IN_A_CELL)),
      ),
      element("i", { class: "when", "aria-hidden": "true" }),
    );
    made.style.top = `${at * ROW}px`;
    const mark = made.lastElementChild;
    if (mark instanceof HTMLElement && launch.begun > 0) {
      mark.style.left = `${((launch.begun - this.first) / this.span) * 100}%`;
      mark.style.width = `${Math.min(100, ((launch.duration ?? 0) / 1_000 / this.span) * 100)}%`;
    }
    return made;
  }

  /**
   * @param {number} at
   * @param {boolean} open
   */
  choose(at, open) {
    const launch = this.launches[at];
    if (launch === undefined) return;
    this.active = at;
    const { scrollTop } = this.grid;
    if (at * ROW < scrollTop) this.grid.scrollTop = at * ROW;
    else if ((at + 1) * ROW > scrollTop + this.seen) this.grid.scrollTop = (at + 1) * ROW - this.seen;
    this.draw();
    if (open) this.open(launch);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(this.seen / ROW) - 1);
    const last = this.launches.length - 1;
    const to = {
      ArrowDown: this.active + 1,
      ArrowUp: this.active - 1,
      PageDown: this.active + page,
      PageUp: this.active - page,
      Home: 0,
      End: last,
      Enter: this.active,
      " ": this.active,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.choose(Math.min(last, Math.max(0, to)), event.key === "Enter" || event.key === " ");
  }
}

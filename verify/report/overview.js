// When launches happened: a picture of the list below it, and the same in words.
"use strict";

const BINS = 60;
const HIGH = 64;

/** @param {Launch[]} launches those that are shown */
function showOverview(launches) {
  const times = launches.map((launch) => launch.begun).filter((time) => time > 0);
  const into = byId("overview-picture");
  if (!times.length) {
    fill(into);
    return;
  }
  const first = times.reduce((one, other) => Math.min(one, other));
  const last = times.reduce((one, other) => Math.max(one, other));
  const span = Math.max(last - first, 1);
  const bins = Array.from({ length: BINS }, () => ({ good: 0, bad: 0 }));
  for (const launch of launches) {
    if (launch.begun <= 0) continue;
    const bin = bins[Math.min(BINS - 1, Math.floor(((launch.begun - first) / span) * BINS))];
    if (bin === undefined) continue;
    if (launch.good === false) bin.bad += 1;
    else bin.good += 1;
  }
  const most = bins.reduce((high, { good, bad }) => Math.max(high, good + bad), 1);
  const bars = bins.flatMap(({ good, bad }, at) => {
    const whole = ((good + bad) / most) * HIGH;
    const failed = (bad / most) * HIGH;
    const place = { x: at * 10 + 1, width: 8 };
    return [
      good ? drawn("rect", { ...place, y: HIGH - whole, height: whole - failed, class: "bar" }) : null,
      bad ? drawn("rect", { ...place, y: HIGH - failed, height: failed, class: "bar failed" }) : null,
    ];
  });
  const bad = launches.filter(({ good }) => good === false).length;
  const from = secondWords(new Date(first).toISOString());
  const to = secondWords(new Date(last).toISOString());
  const words = `${counted(launches.length, "launch", "launches")} from ${from} to ${to} UTC, ${bad} of which did not succeed; at most ${most} in one of ${BINS} equal spans`;
  const picture = drawn(
    "svg",
    { viewBox: `0 0 ${BINS * 10} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": words },
    ...bars,
  );
  fill(
    into,
    picture,
    element("div", { class: "axis", "aria-hidden": "true" }, element("span", {}, from), element("span", {}, to)),
  );
}

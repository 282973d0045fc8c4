// Which launches are shown: every word that is searched for, and each filter that is set.
"use strict";

/**
 * The value of a field of the form.
 * @param {string} id
 */
function fieldValue(id) {
  const field = byId(id);
  return field instanceof HTMLInputElement || field instanceof HTMLSelectElement ? field.value : "";
}

/**
 * Those of the launches that the form asks for.
 * @param {Launch[]} launches
 */
function filtered(launches) {
  const words = fieldValue("search").toLowerCase().split(/\s+/).filter(Boolean);
  const state = fieldValue("state");
  const ending = fieldValue("ending");
  const since = fieldValue("since");
  const until = fieldValue("until");
  return launches.filter(
    (launch) =>
      words.every((word) => launch.words.includes(word)) &&
      (state === "" || launch.state === state) &&
      endsAs(launch, ending) &&
      (since === "" || launch.time.slice(0, 10) >= since) &&
      (until === "" || launch.time.slice(0, 10) <= until),
  );
}

/**
 * @param {Launch} launch
 * @param {string} ending
 */
function endsAs(launch, ending) {
  if (ending === "good") return launch.good === true;
  if (ending === "bad") return launch.good === false;
  if (ending === "denied") return launch.denied > 0;
  return true;
}

"use strict";
// Which pictures may be hits: one value, or any, of each column of the corpus. Loaded before page.js.

const filterSelects = () => [...at("filter-columns").querySelectorAll("select")];

// As the field `where` of a search.
const conditions = () => filterSelects().filter(({ value }) => value).map(({ name, value }) => name + "=" + value);

function setConditions(wanted) {
  for (const select of filterSelects()) {
    const own = wanted.find((condition) => condition.startsWith(select.name + "="));
    select.value = own?.slice(select.name.length + 1) ?? "";
    if (select.selectedIndex < 0) select.value = ""; // the corpus has no such value any more
  }
  if (conditions().length) at("filters").open = true;
}

function filterColumn(column, values) {
  const label = make("label", "", column), select = make("select");
  select.name = column;
  select.append(new Option("any", ""), ...values.map(({ value, count }) => new Option(value + " (" + count.toLocaleString("en") + ")", value)));
  select.addEventListener("change", askAgain);
  label.append(select);
  return label;
}

// A column whose pictures all have one value filters nothing.
async function offerFilters() {
  const { filters } = await (await ask("api/filters")).json();
  const columns = Object.entries(filters).filter(([, values]) => values.length > 1);
  at("filter-columns").replaceChildren(...columns.map(([column, values]) => filterColumn(column, values)));
  at("filters").hidden = !columns.length;
}

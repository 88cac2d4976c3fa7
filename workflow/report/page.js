// Tables that sort by their headings and filter by what stands above them. Without scripts they are plain tables.
"use strict";
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  };
  // What is missing comes last, in either direction.
  const compare = (a, b, sign) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    return sign * String(a).localeCompare(String(b), "en", { numeric: true });
  };
  headings.forEach((heading, column) => heading.querySelector("button")?.addEventListener("click", () => {
    const ascending = heading.getAttribute("aria-sort") !== "ascending";
    headings.forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const sign = ascending ? 1 : -1;
    body.append(...[...body.rows].sort((a, b) => compare(key(a, column), key(b, column), sign)));
  }));
  const tools = document.querySelector(`.tools[data-for="${table.id}"]`);
  const selects = [...tools?.querySelectorAll("select") ?? []];
  if (!selects.length) continue;
  const search = tools.querySelector("input");
  const filter = () => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const row of body.rows) {
      const fits = selects.every(({ value, dataset }) => !value || row.cells[dataset.column].textContent === value)
        && row.textContent.toLowerCase().includes(wanted);
      row.hidden = !fits;
      shown += fits;
    }
    tools.querySelector("output").textContent = `${shown} of ${body.rows.length} rows`;
  };
  selects.forEach((select) => select.addEventListener("change", filter));
  search.addEventListener("input", filter);
}

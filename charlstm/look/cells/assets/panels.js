// The findings beside the text: telling cells, and how often the gates are shut or open.

const CHIPS = 5;

function showTellingCells(choose) {
  document.getElementById("measure").textContent =
    `Ranked by r: ${facts.measure}. 1 or −1: the unit tells it exactly; 0: not at all.`;
  const list = document.getElementById("features");
  for (const feature of facts.features) {
    const cells = facts.cells.filter((cell) => cell.feature === feature.name);
    const block = make("div", { className: "feature" });
    block.append(make("b", { textContent: feature.name }));
    block.append(make("span", { className: "hint", textContent: feature.definition }));
    const chips = make("div", { className: "chips" });
    for (const cell of cells.slice(0, CHIPS)) chips.append(chip(cell, choose));
    if (!cells.length) chips.append(make("span", { className: "hint", textContent: "Not in this text." }));
    block.append(chips);
    list.append(block);
  }
}

function chip(cell, choose) {
  const button = make("button", {
    textContent: `${cell.layer}·${cell.unit}  ${signed(cell.correlation)}`,
    title: `Layer ${cell.layer}, unit ${cell.unit}: r = ${signed(cell.correlation)}`,
  });
  const bar = make("i", { className: cell.correlation < 0 ? "negative" : "" });
  bar.style.width = `${100 * Math.abs(cell.correlation)}%`;
  button.append(bar);
  button.dataset.unit = `${cell.layer} ${cell.unit}`;
  button.onclick = () => choose(cell.layer, cell.unit, "c");
  return button;
}

function signed(value) {
  const size = Math.abs(value).toFixed(2);
  const sign = Number(size) === 0 ? "" : value < 0 ? "−" : "+";
  return sign + size;
}

function showGatePlots(choose) {
  const plots = document.getElementById("plots");
  facts.saturation.forEach((gates, layer) => {
    plots.append(make("p", { className: "hint", textContent: `Layer ${layer}` }));
    const row = make("div", { className: "plots" });
    gates.forEach((fractions, k) => row.append(gatePlot(layer, facts.sigmoids[k], fractions, choose)));
    plots.append(row);
  });
}

function gatePlot(layer, gate, [left, right], choose) {
  const size = 112, room = 12;
  const x = (share) => room + share * (size - room - 4);
  const y = (share) => size - room - share * (size - room - 4);
  const svg = draw("svg", { viewBox: `0 0 ${size} ${size}`, role: "img" });
  svg.append(draw("title", {}, `Saturation of ${facts.quantities[gate]}, layer ${layer}`));
  svg.append(draw("rect", {
    x: x(0), y: y(1), width: x(1) - x(0), height: y(0) - y(1), class: "frame" }));
  svg.append(draw("line", { x1: x(0), y1: y(1), x2: x(1), y2: y(0), class: "limit" }));
  left.forEach((share, unit) => {
    const dot = draw("circle", { cx: x(share), cy: y(right[unit]), r: 2.4 });
    dot.dataset.unit = `${layer} ${unit}`;
    dot.append(draw("title", {}, `unit ${unit}: shut ${percent(share)}, open ${percent(right[unit])}`));
    dot.onclick = () => choose(layer, unit, gate);
    svg.append(dot);
  });
  svg.append(draw("text", { x: x(1), y: size - 2, "text-anchor": "end" }, "shut →"));
  svg.append(draw("text", { x: 9, y: y(1), transform: `rotate(-90 9 ${y(1)})`, "text-anchor": "end" }, "open →"));
  const figure = make("figure");
  figure.append(svg, make("figcaption", { textContent: facts.quantities[gate].split(", ")[1] }));
  return figure;
}

function percent(share) {
  return `${(100 * share).toFixed(0)} %`;
}

function showSelection(layer, unit) {
  const key = `${layer} ${unit}`;
  for (const button of document.querySelectorAll(".chips button")) {
    button.setAttribute("aria-current", String(button.dataset.unit === key));
  }
  for (const dot of document.querySelectorAll("circle.selected")) dot.classList.remove("selected");
  for (const dot of document.querySelectorAll(`circle[data-unit="${key}"]`)) {
    dot.classList.add("selected");
    dot.parentNode.append(dot);  // on top of the others
  }
  const known = facts.cells.filter((cell) => cell.layer === layer && cell.unit === unit)
    .sort((a, b) => Math.abs(b.correlation) - Math.abs(a.correlation))
    .slice(0, 3).map((cell) => `${cell.feature} ${signed(cell.correlation)}`);
  document.getElementById("known").textContent = known.length
    ? `This cell goes along with: ${known.join(", ")}`
    : "This cell is not among the ten most telling of any feature.";
}

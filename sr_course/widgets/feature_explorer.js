// Inside a network. Python runs it and lays out what is seen; here it is drawn, and what the hand chooses is sent back.

const SLOW = 400; // ms without an answer before it is said that Python computes
const PATIENCE = 60000; // ms before it is said that it does not answer: the pixels that count take long in a large network
const EXPLORER_TOOLS = [
  ["kernels", "Kernels"],
  ["field", "Receptive field"],
  ["ablation", "Switch channels off"],
  ["attribution", "Which pixels count"],
];
const EXPLORER_SCALES = [["one", "one for all"], ["channel", "each its own"]];
const EXPLORER_KEYS = [
  ["Tab", "from the layers to the maps, to the enlarged map, to the tools"],
  ["↑ ↓ ← →", "among layers (← → close and open), among maps, or move the pixel in the enlarged map (Page: eight)"],
  ["Enter", "look at the layer or the map"],
  ["X", "switch the map under the keyboard off or on"],
];
const ENLARGED = 300; // px
const THUMB = 62;

function render({ model, el }) {
  const listening = makeListening();
  const { on, follow } = listening;
  const several = model.get("_names").length > 1;
  const rows = model.get("_tree");
  const folded = new Set();
  let focusRow = rows.findIndex(({ name }) => name === model.get("layer"));
  let focusCell = 0;
  let queued = null; // what was chosen since a message is on its way
  let slow = 0; // the timer that says so
  const bitmaps = { _sheet: null, _panel_sheet: null };
  let generation = 0; // counts what Python has sent
  let edition = ""; // which of it is drawn: what is painted under this name is not painted again

  // --- what is on the page

  const orders = ["energy", "difference", "index", "importance"].map((order) => ({
    order,
    button: makeButton(on, order, `Order by ${order}`, () => choose({ order, page: 0 })),
  }));
  const scales = EXPLORER_SCALES.map(([scale, text]) => makeButton(on, text, `Scale: ${text}`, () => choose({ scale })));
  const back = makeButton(on, "‹", "Maps before", () => choose({ page: model.get("page") - 1 }));
  const forth = makeButton(on, "›", "More maps", () => choose({ page: model.get("page") + 1 }));
  const pager = element("span", {});
  const pages = element("div", { class: "sr-group", role: "group", "aria-label": "Page" }, back, pager, forth);
  const heading = element("strong", {});
  const facts = element("div", { class: "sr-fx-facts" });
  const scaleWords = element("div", { class: "sr-fx-facts" });
  const tree = element("div", { class: "sr-fx-tree", role: "tree", "aria-label": "Layers" });
  const nodes = rows.map((row, at) => makeRow(row, at));
  tree.append(...nodes.map(({ node }) => node));
  const maps = element("div", { class: "sr-fx-maps", role: "listbox", "aria-label": "Maps of the layer" });
  const views = model.get("_names").map((name, at) => makeView(name, at));
  const tools = EXPLORER_TOOLS.map(([tool, text]) => makeButton(on, text, text, () => choose({ tool })));
  const words = element("p", { class: "sr-fx-words", "aria-live": "polite" });
  const figures = element("div", { class: "sr-fx-figures" });
  const sums = element("div", { class: "sr-fx-sums" });
  const ranker = makeButton(on, "Rank the channels", "Rank the channels by what each costs", () => send({ do: "rank" }));
  const restore = makeButton(on, "All on", "Switch all channels on", () => choose({ off: [] }));
  const fewest = element("input", { type: "range", min: "0", step: "1", "aria-label": "Channels off, the least important first" });
  const fewestText = element("output", {});
  const fewestRow = element("label", { class: "sr-fx-slider" }, element("span", {}, "Least important off"), fewest, fewestText);
  on(fewest, "input", () => {
    const ranking = model.get("_panel").ranking ?? [];
    const count = Number(fewest.value);
    fewestText.textContent = String(count);
    choose({ off: count ? ranking.slice(-count) : [] });
  });
  const ablation = element("div", { class: "sr-bar" }, ranker, restore, fewestRow);
  const attributer = makeButton(on, "Find them", "Find the pixels that made this patch", () => send({ do: "attribute" }));
  const attribution = element("div", { class: "sr-bar" }, attributer);
  const { note, say } = makeNote("", { role: "status" });
  const player = makePlayer({
    on,
    count: () => Math.max(model.get("_steps").length, 1),
    place: () => pendingOr("snapshot"),
    go: (snapshot) => choose({ snapshot }),
    redraw: () => redraw(),
  });
  player.bar.hidden = model.get("_steps").length < 2;
  const remarks = element("p", { class: "sr-note" });

  const root = element(
    "div",
    { class: "sr-view sr-fx", role: "group", "aria-label": `Inside ${model.get("_title")}` },
    player.bar,
    element(
      "div",
      { class: "sr-bar" },
      makeGroup("Order", orders.map(({ button }) => button)),
      makeGroup("Scale", scales),
      pages,
    ),
    element(
      "div",
      { class: "sr-fx-body" },
      tree,
      element("div", { class: "sr-fx-middle" }, heading, facts, scaleWords, maps),
      element("div", { class: `sr-fx-views${several ? " sr-fx-two" : ""}` }, ...views.map(({ box }) => box)),
    ),
    element("div", { class: "sr-bar" }, makeGroup("Tool", tools)),
    ablation,
    attribution,
    words,
    figures,
    sums,
    note,
    remarks,
    makeHelp(EXPLORER_KEYS),
  );
  el.append(root);

  function makeRow(row, at) {
    const label = element("span", { class: "sr-fx-name" }, row.short);
    const kind = element("span", { class: "sr-fx-kind" }, row.kind);
    const numbers = [row.shape, row.parameters === "0" ? "" : `${row.parameters} par.`, row.sees && `sees ${row.sees}`];
    const detail = element("span", { class: "sr-fx-detail" }, numbers.filter(Boolean).join(" · "));
    const sign = element("span", { class: "sr-fx-sign", "aria-hidden": "true" }, row.parts ? "▾" : "");
    const node = element("div", {
      role: "treeitem",
      class: "sr-fx-row",
      tabindex: "-1",
      "aria-level": String(row.depth + 1),
      "aria-disabled": String(!row.open),
      title: row.note,
    }, sign, element("span", { class: "sr-fx-texts" }, element("span", {}, label, " ", kind), detail));
    node.style.paddingLeft = `${4 + 10 * row.depth}px`;
    on(node, "click", (event) => {
      focusRow = at;
      if (row.parts && sign.contains(event.target)) fold(at, !folded.has(at));
      else if (row.open) choose({ layer: row.name });
      else if (row.parts) fold(at, !folded.has(at));
      redraw();
    });
    return { node, sign };
  }

  // One network or picture: its enlarged map with the cursor, the spread of its values, and what it was given.
  function makeView(name, at) {
    const caption = element("figcaption");
    const canvas = element("canvas", { role: "img" });
    const cross = element("div", { class: "sr-fx-cross" });
    const target = element("div", {
      class: "sr-fx-target",
      tabindex: "0",
      role: "application",
      "aria-label": `Enlarged map${several ? `, ${name}` : ""}: arrows move the pixel`,
    }, canvas, cross);
    on(target, "pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      target.focus({ preventScroll: true });
      target.setPointerCapture(event.pointerId);
      point(event);
    });
    on(target, "pointermove", (event) => {
      if (target.hasPointerCapture(event.pointerId)) point(event);
    });
    const point = (event) => {
      const box = target.getBoundingClientRect();
      const [height, width] = model.get("_scene").size;
      const row = clamp(Math.floor(((event.clientY - box.top) / box.height) * height), 0, height - 1);
      const column = clamp(Math.floor(((event.clientX - box.left) / box.width) * width), 0, width - 1);
      choose({ pixel: [row, column] });
    };
    const histogram = shape("svg", { viewBox: "0 0 410 60", preserveAspectRatio: "none", role: "img", class: "sr-fx-histogram" });
    const ends = element("div", { class: "sr-fx-ends" });
    const given = element("canvas", { role: "img" });
    const frame = element("div", { class: "sr-fx-frame" });
    const input = element("div", { class: "sr-fx-given" }, given, frame);
    const box = element(
      "div",
      { class: "sr-fx-view" },
      element("figure", {}, caption, target),
      histogram,
      ends,
      element("figure", {}, element("figcaption", {}, "What it is given, and what the pixel could see"), input),
    );
    return { name, at, caption, canvas, cross, target, histogram, ends, given, frame, input, box };
  }

  // --- to Python and back: one message at a time, and the newest choice of each kind

  function choose(changes) {
    send({ set: changes });
    redraw();
  }

  function send(message) {
    if (talk.isAsking()) {
      queued = { ...(queued ?? {}), ...message, set: { ...(queued?.set ?? {}), ...(message.set ?? {}) } };
      return;
    }
    pending = { ...(message.set ?? {}) };
    clearTimeout(slow);
    slow = setTimeout(() => say("Python is computing…"), SLOW);
    talk.send(message);
  }

  const talk = makeTalk(model, PATIENCE, (complaint) => {
    clearTimeout(slow);
    queued = null;
    say(complaint);
    redraw();
  });

  let pending = {}; // what the message on its way says
  const pendingOr = (name) => queued?.set?.[name] ?? (talk.isAsking() ? pending[name] : undefined) ?? model.get(name);

  function answered() {
    talk.answered();
    clearTimeout(slow);
    say(model.get("_problem"));
    if (queued) {
      const message = queued;
      queued = null;
      send(message);
    }
    redraw();
  }

  // The two large pictures, and the scenes that say where what lies in them: a scene waits for its picture.
  let shown = { scene: null, panel: null };
  async function unpack() {
    const mine = ++generation;
    const scene = model.get("_scene");
    const panel = model.get("_panel");
    const made = await Promise.all(["_sheet", "_panel_sheet"].map(async (name) => {
      const bytes = model.get(name);
      if (!bytes?.byteLength) return null;
      try {
        return await createImageBitmap(new Blob([bytes], { type: "image/png" }));
      } catch (error) {
        say(`The pictures cannot be shown: ${error.message}`);
        return null;
      }
    }));
    if (mine !== generation) {
      for (const one of made) one?.close();
      return;
    }
    Object.values(bitmaps).forEach((one) => one?.close());
    [bitmaps._sheet, bitmaps._panel_sheet] = made;
    shown = { scene, panel };
    edition = String(mine);
    redraw();
  }

  // --- drawing

  const drawing = makeDrawing(on, draw);
  const { redraw } = drawing;

  function draw() {
    drawTree();
    const { scene, panel } = shown;
    if (!scene) return;
    for (const { order, button } of orders) {
      button.hidden = !scene.orders.includes(order);
      button.setAttribute("aria-pressed", String(order === pendingOr("order")));
    }
    press(scales, EXPLORER_SCALES.findIndex(([scale]) => scale === pendingOr("scale")));
    press(tools, EXPLORER_TOOLS.findIndex(([tool]) => tool === pendingOr("tool")));
    const page = pendingOr("page");
    pages.hidden = scene.pages < 2;
    back.disabled = page < 1;
    forth.disabled = page >= scene.pages - 1;
    pager.textContent = `${page + 1} of ${scene.pages}`;
    heading.textContent = scene.heading;
    facts.textContent = scene.facts;
    scaleWords.textContent = scene.scale;
    remarks.textContent = scene.notes.join(" ");
    remarks.hidden = scene.notes.length === 0;
    drawMaps(scene);
    for (const view of views) drawView(view, scene);
    drawPanel(panel);
    const steps = model.get("_steps");
    if (steps.length > 1) {
      const step = written(steps[pendingOr("snapshot")]);
      player.draw(`step ${step}`, `step ${step}`);
    }
  }

  function visible(at) {
    let depth = rows[at].depth;
    for (let above = at - 1; above >= 0 && depth > 0; above--) {
      if (rows[above].depth < depth) {
        if (folded.has(above)) return false;
        depth = rows[above].depth;
      }
    }
    return true;
  }

  function fold(at, closed) {
    if (closed) folded.add(at);
    else folded.delete(at);
    redraw();
  }

  function drawTree() {
    const layer = pendingOr("layer");
    nodes.forEach(({ node, sign }, at) => {
      node.hidden = !visible(at);
      node.setAttribute("aria-selected", String(rows[at].name === layer));
      node.tabIndex = at === focusRow ? 0 : -1;
      if (rows[at].parts) {
        node.setAttribute("aria-expanded", String(!folded.has(at)));
        sign.textContent = folded.has(at) ? "▸" : "▾";
      }
    });
  }

  function drawMaps(scene) {
    const off = new Set(pendingOr("off"));
    while (maps.children.length > scene.cells.length) maps.lastChild.remove();
    while (maps.children.length < scene.cells.length) maps.append(makeCell(maps.children.length));
    focusCell = clamp(focusCell, 0, scene.cells.length - 1);
    scene.cells.forEach((cell, at) => {
      const node = maps.children[at];
      const [canvas, label] = node.children;
      const place = cellIn(scene.places, cell.picture);
      canvas.style.aspectRatio = `${place.width} / ${place.height}`;
      node.style.width = `${several ? 2 * THUMB : THUMB}px`;
      node.dataset.channel = String(cell.channel);
      node.tabIndex = at === focusCell ? 0 : -1;
      const gone = off.has(cell.channel);
      node.setAttribute("aria-selected", String(cell.channel === pendingOr("channel")));
      node.classList.toggle("sr-fx-off", gone);
      const said = `Channel ${cell.channel}, ${scene.order === "index" ? "energy" : scene.order} ${cell.label}${gone ? ", off" : ""}`;
      node.setAttribute("aria-label", said);
      node.title = said;
      label.textContent = `${cell.channel}: ${gone ? "off" : cell.label}`;
      paint(canvas, bitmaps._sheet, place, edition);
    });
  }

  function makeCell(at) {
    const node = element("div", { role: "option", class: "sr-fx-cell" }, element("canvas", { "aria-hidden": "true" }), element("span", {}));
    on(node, "click", (event) => {
      focusCell = at;
      const channel = Number(node.dataset.channel);
      if (pendingOr("tool") === "ablation" && event.target.tagName === "CANVAS" && event.detail) toggle(channel);
      else choose({ channel });
    });
    return node;
  }

  function toggle(channel) {
    const off = new Set(pendingOr("off"));
    if (!off.delete(channel)) off.add(channel);
    choose({ off: [...off].sort((one, other) => one - other), tool: "ablation" });
  }

  function drawView(view, scene) {
    const known = scene.views[view.at];
    const place = cellIn(scene.places, known.picture);
    const [height, width] = scene.size;
    const [row, column] = pendingOr("pixel");
    const of = several ? `${view.name}, channel` : "Channel";
    view.caption.textContent = `${of} ${scene.channel} at row ${row}, column ${column}: ${known.value}`;
    const side = several ? ENLARGED * 0.75 : ENLARGED;
    fit(view.target, view.canvas, place, side);
    view.canvas.setAttribute("aria-label", view.caption.textContent);
    paint(view.canvas, bitmaps._sheet, place, edition);
    view.cross.style.left = `${(100 * (column + 0.5)) / width}%`;
    view.cross.style.top = `${(100 * (row + 0.5)) / height}%`;
    drawHistogram(view, known.histogram);
    const input = cellIn(scene.places, known.input);
    fit(view.input, view.given, input, side);
    view.given.setAttribute("aria-label", `The picture that ${view.name} is given`);
    paint(view.given, bitmaps._sheet, input, edition);
    placeFrame(view.frame, known.frame);
  }

  // As large as there is room for, by a whole factor where it is small.
  function fit(box, canvas, place, side) {
    const times = Math.max(1, Math.floor(side / Math.max(place.width, place.height)));
    const scale = Math.min(times, side / Math.max(place.width, place.height));
    box.style.maxWidth = `${Math.round(place.width * scale)}px`;
    canvas.style.aspectRatio = `${place.width} / ${place.height}`;
  }

  function placeFrame(node, frame) {
    node.hidden = !frame;
    if (!frame) return;
    const [top, left, bottom, right] = frame.map((part) => 100 * part);
    Object.assign(node.style, { top: `${top}%`, left: `${left}%`, width: `${right - left}%`, height: `${bottom - top}%` });
  }

  function drawHistogram({ histogram, ends, name }, { bars, low, high, zero, dead }) {
    const nodes = bars.map((bar, at) => {
      const signed = zero === null ? Number(low.replace("−", "-")) >= 0 : (at + 0.5) / bars.length >= zero;
      return shape("rect", { x: String(10 * at), y: (60 * (1 - bar)).toFixed(1), width: "9", height: (60 * bar).toFixed(1), class: signed ? "sr-fx-above" : "sr-fx-below" });
    });
    if (zero !== null) nodes.push(shape("path", { d: `M${(10 * bars.length * zero).toFixed(1)} 0V60`, class: "sr-fx-zero" }));
    histogram.replaceChildren(...nodes);
    const silent = dead > 0 ? `${(100 * dead).toFixed(0)} % are zero` : "root of how often";
    histogram.setAttribute("aria-label", `Values of the map of ${name}, from ${low} to ${high}; ${silent}`);
    ends.replaceChildren(element("span", {}, low), element("span", {}, silent), element("span", {}, high));
  }

  function drawPanel(panel) {
    words.textContent = panel.text;
    ablation.hidden = panel.tool !== "ablation";
    attribution.hidden = panel.tool !== "attribution";
    const ranking = panel.ranking;
    fewestRow.hidden = !ranking;
    ranker.hidden = Boolean(ranking);
    if (ranking && document.activeElement !== fewest) {
      const off = new Set(pendingOr("off"));
      let count = 0;
      while (count < ranking.length && off.has(ranking[ranking.length - 1 - count])) count += 1;
      fewest.max = String(ranking.length);
      fewest.value = String(count);
      fewestText.textContent = String(count);
    }
    while (figures.children.length > panel.figures.length) figures.lastChild.remove();
    while (figures.children.length < panel.figures.length) {
      const frame = element("div", { class: "sr-fx-frame" });
      const box = element("div", { class: "sr-fx-given" }, element("canvas", { role: "img" }), frame);
      figures.append(element("figure", {}, element("figcaption"), box));
    }
    panel.figures.forEach((one, at) => {
      const [caption, box] = figures.children[at].children;
      const [canvas, frame] = box.children;
      const place = cellIn(panel.places, one.picture);
      caption.textContent = one.name;
      fit(box, canvas, place, one.square ? 200 : 384);
      figures.children[at].style.width = box.style.maxWidth;
      canvas.setAttribute("aria-label", `${one.name}: ${panel.text}`);
      paint(canvas, bitmaps._panel_sheet, place, edition);
      placeFrame(frame, one.frame);
    });
    drawSums(panel.sums);
  }

  function drawSums(known) {
    sums.hidden = !known;
    const key = JSON.stringify(known ?? null);
    if (sums.dataset.key === key) return;
    sums.dataset.key = key;
    sums.replaceChildren();
    if (!known) return;
    for (const part of known.parts) {
      const tables = [["patch", "Patch"], ["kernel", "× kernel"], ["products", "= products"]].map(([kind, title]) => {
        const body = part[kind].map((row) => element("tr", {}, ...row.map((value) => element("td", {}, value.replace("-", "−")))));
        return element("div", {}, element("span", {}, title), element("table", {}, ...body));
      });
      const scroller = element("div", { class: "sr-fx-tables", tabindex: "0", role: "group", "aria-label": `Numbers, ${part.name}` }, ...tables);
      sums.append(element("div", { class: "sr-fx-part" }, element("strong", {}, part.name), scroller));
    }
    const terms = known.parts.map(({ name, sum }) => `${sum} (${name})`).join(" + ");
    sums.append(element("p", { class: "sr-fx-words" }, `Sum of the products: ${terms} + ${known.bias} (bias) = ${known.total}`.replaceAll("-", "−")));
  }

  // --- keyboard, start and end

  listenToKeys(on, root, ({ key, target }) => {
    if (target.closest(".sr-fx-tree")) return moveInTree(key);
    if (target.closest(".sr-fx-maps")) return moveInMaps(key);
    if (target.closest(".sr-fx-target")) return movePixel(key);
    if (player.bar.contains(target)) return player.takes({ key, target });
    return false;
  });

  function moveInTree(key) {
    const open = rows.map((_, at) => at).filter(visible);
    const at = open.indexOf(focusRow);
    const row = rows[focusRow];
    const go = (to) => {
      focusRow = open[clamp(to, 0, open.length - 1)];
      drawTree();
      nodes[focusRow].node.focus();
    };
    if (key === "ArrowDown") go(at + 1);
    else if (key === "ArrowUp") go(at - 1);
    else if (key === "Home") go(0);
    else if (key === "End") go(open.length - 1);
    else if (key === "ArrowLeft" && row.parts && !folded.has(focusRow)) fold(focusRow, true);
    else if (key === "ArrowLeft") go(open.findLastIndex((one) => one < focusRow && rows[one].depth < row.depth));
    else if (key === "ArrowRight" && row.parts && folded.has(focusRow)) fold(focusRow, false);
    else if (key === "ArrowRight" && row.parts) go(at + 1);
    else if ((key === "Enter" || key === " ") && row.open) choose({ layer: row.name });
    else return key === "Enter" || key === " " || key === "ArrowRight";
    return true;
  }

  function moveInMaps(key) {
    const cells = [...maps.children];
    const across = Math.max(1, cells.findIndex((cell) => cell.offsetTop > cells[0].offsetTop));
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -Infinity, End: Infinity };
    if (key in moves) {
      focusCell = clamp(focusCell + moves[key], 0, cells.length - 1);
      cells.forEach((cell, at) => (cell.tabIndex = at === focusCell ? 0 : -1));
      cells[focusCell].focus();
    } else if (key === "Enter" || key === " ") choose({ channel: Number(cells[focusCell].dataset.channel) });
    else if (key === "x" || key === "X") toggle(Number(cells[focusCell].dataset.channel));
    else return false;
    return true;
  }

  function movePixel(key) {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], PageUp: [-8, 0], PageDown: [8, 0], Home: [0, -8], End: [0, 8] };
    if (!(key in moves)) return false;
    const [height, width] = shown.scene.size;
    const [row, column] = pendingOr("pixel");
    choose({ pixel: [clamp(row + moves[key][0], 0, height - 1), clamp(column + moves[key][1], 0, width - 1)] });
    return true;
  }

  // Of a deep network the blocks are closed at first, but for those about the layer that is seen.
  const parentOf = (at) => rows.findLastIndex((row, above) => above < at && row.depth < rows[at].depth);
  if (rows.length > 40) rows.forEach((row, at) => row.parts && row.depth === 2 && folded.add(at));
  for (let at = parentOf(focusRow); at > 0; at = parentOf(at)) folded.delete(at);

  follow(model, "change:_drawn", unpack);
  follow(model, "change:_answer", answered);
  drawing.begin(root);
  unpack();

  const forget = () => {
    clearTimeout(slow);
    generation += 1;
    Object.values(bitmaps).forEach((one) => one?.close());
  };
  return makeEnd(root, { close: forget }, talk, player, drawing, listening);
}

export default { render };

// Shows the state of a widget without a kernel. Each .kit-living holds the image or table for readers without scripts,
// and a <script type="application/json"> with the state; this replaces the former by controls and a canvas.
(() => {
  "use strict";
  let number = 0;

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  const labelled = (text, control) => {
    control.id = `kit-control-${++number}`;
    return make("span", { class: "kit-control" }, make("label", { for: control.id }, text), control);
  };

  const list = (texts, chosen = 0) => {
    const select = make("select");
    texts.forEach((text, k) => select.append(new Option(text, k, false, k === chosen)));
    return select;
  };

  const slider = (min, max, step, value) => {
    const input = make("input", { type: "range", min, max, step });
    input.value = value;
    return input;
  };

  const rgb = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));

  const pixelsOf = async (address, width, height) => {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = make("canvas");
    canvas.width = width || image.naturalWidth;
    canvas.height = height || image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.imageSmoothingEnabled = false;
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  };

  const loaded = new Map(); // an address or an image of the state -> its pixels, decoded once
  const load = async (image) => {
    if (!loaded.has(image)) {
      const photo = await pixelsOf(image.photo);
      const maps = image.maps ? await pixelsOf(image.maps, photo.width, photo.height) : null;
      loaded.set(image, { photo, maps });
    }
    return loaded.get(image);
  };

  // Lay masks over a photograph: `kindOf(k)` lists the colors of pixel k, `edge` outlines them at full strength.
  const blend = (canvas, photo, opacity, layers) => {
    const { width, height } = photo;
    canvas.width = width;
    canvas.height = height;
    const shown = new ImageData(new Uint8ClampedArray(photo.data), width, height);
    for (const { color, inside } of layers) {
      for (let k = 0; k < width * height; k++) {
        if (!inside(k)) continue;
        const x = k % width;
        const edge = x === 0 || x === width - 1 || !inside(k - 1) || !inside(k + 1) || k < width
          || k >= width * (height - 1) || !inside(k - width) || !inside(k + width);
        const share = edge ? Math.max(opacity, 0.85) : opacity;
        for (let c = 0; c < 3; c++) {
          shown.data[4 * k + c] = (1 - share) * shown.data[4 * k + c] + share * color[c];
        }
      }
    }
    canvas.getContext("2d").putImageData(shown, 0, 0);
  };

  const legend = (colors) => {
    const line = make("p", { class: "kit-legend" });
    for (const [name, color] of Object.entries(colors)) {
      line.append(make("span", { class: "kit-swatch", style: `background:${color}` }), `${name} `);
    }
    return line;
  };

  const canvasFor = () => make("canvas", { role: "img", class: "kit-canvas" });
  const score = (value) => (value === null ? "no Dice (both masks are empty)" : `Dice ${value.toFixed(3)}`);

  const explorer = (state, box) => {
    const threshold = slider(0, 1, 0.01, state.threshold);
    const at = () => Math.round(100 * threshold.value);
    const image = list(state.images.map(({ name, dice }) => {
      const now = dice[Math.round(100 * state.threshold)];
      return `${name}: ${now === null ? "no Dice" : `Dice ${now.toFixed(2)}`}`;
    }));
    const words = make("p", { class: "kit-dice", role: "status" });
    const canvas = canvasFor();
    const show = async () => {
      const chosen = state.images[image.value], k = at();
      const pooled = state.pooled[k];
      words.textContent = `threshold ${(k / 100).toFixed(2)}: ${chosen.name} has ${score(chosen.dice[k])}; `
        + `all ${state.total} images pooled: ${pooled === null ? "no Dice" : pooled.toFixed(3)}`;
      canvas.setAttribute("aria-label", `${chosen.name} with hits, misses and false alarms; ${words.textContent}`);
      const { photo, maps } = await load(chosen);
      if (chosen !== state.images[image.value]) return; // another one was chosen meanwhile
      const now = at(), found = (p) => maps.data[4 * p] > now, target = (p) => maps.data[4 * p + 1] > 127;
      const [hit, missed, alarm] = ["hit", "missed", "false alarm"].map((name) => rgb(state.colors[name]));
      blend(canvas, photo, 0.5, [
        { color: hit, inside: (p) => found(p) && target(p) },
        { color: missed, inside: (p) => !found(p) && target(p) },
        { color: alarm, inside: (p) => found(p) && !target(p) },
      ]);
    };
    threshold.addEventListener("input", show);
    image.addEventListener("change", show);
    box.append(make("div", { class: "kit-controls" }, labelled("threshold", threshold), labelled("image", image)),
      words, legend(state.colors), canvas);
    if (state.images.length < state.total) {
      box.append(make("p", { class: "kit-note" }, `This page holds ${state.images.length} of ${state.total} images, `
        + "from the worst to the best. The notebook itself shows all."));
    }
    return show();
  };

  const browser = (state, box) => {
    const data = list(state.sets.map(({ name }) => name));
    const image = make("select"), opacity = slider(0, 1, 0.05, state.opacity);
    const switches = make("fieldset", { class: "kit-switches" }), canvas = canvasFor(), note = make("p", { class: "kit-note" });
    const set = () => state.sets[data.value];
    const show = async () => {
      const chosen = set().images[image.value];
      const on = [...switches.querySelectorAll("input")].map((input) => input.checked);
      const names = set().masks.filter((_, bit) => on[bit]);
      canvas.setAttribute("aria-label", `image ${chosen.name} of patient ${chosen.patient} `
        + (names.length ? `with ${names.join(", ")}` : "without masks"));
      const { photo, maps } = await load(chosen);
      if (chosen !== set().images[image.value]) return;
      blend(canvas, photo, Number(opacity.value), on.flatMap((visible, bit) => (visible && maps
        ? [{ color: rgb(state.colors[bit]), inside: (p) => (maps.data[4 * p] >> bit) & 1 }] : [])));
    };
    const change = () => {
      image.replaceChildren(...set().images.map(({ name, patient }, k) => new Option(`${name} (patient ${patient})`, k)));
      switches.replaceChildren(make("legend", {}, "masks"), ...set().masks.map((name, bit) => {
        const input = make("input", { type: "checkbox" });
        input.checked = !state.shown || state.shown.includes(name);
        input.addEventListener("change", show);
        const swatch = make("span", { class: "kit-swatch", style: `background:${state.colors[bit]}` });
        return make("label", {}, input, swatch, name);
      }));
      switches.hidden = !set().masks.length;
      note.textContent = `This page holds ${set().images.length} of ${set().total} images. The notebook itself shows all.`;
      note.hidden = set().images.length === set().total;
      return show();
    };
    data.addEventListener("change", change);
    image.addEventListener("change", show);
    opacity.addEventListener("input", show);
    const controls = make("div", { class: "kit-controls" }, labelled("image", image), labelled("opacity", opacity), switches);
    if (state.sets.length > 1) controls.prepend(labelled("data", data));
    box.append(controls, canvas, note);
    return change();
  };

  const arms = (state, box) => {
    const titles = state.arms.map(({ title }) => title);
    const at = (name) => state.arms.findIndex((arm) => arm.name === name);
    const first = list(titles, at(state.first)), second = list(titles, at(state.second));
    const result = make("div", { class: "kit-arms", role: "status" });
    const show = () => {
      const [one, two] = [state.arms[first.value], state.arms[second.value]];
      const equal = one.steps !== null && one.steps === two.steps;
      const rows = state.settings.flatMap(({ name, factor, values }, k) => (one.values[k] === two.values[k] ? []
        : [[equal && factor === state.steps ? "start" : factor, name, values[one.values[k]], values[two.values[k]]]]));
      const factors = [...new Set(rows.map(([factor]) => factor))];
      let verdict = `${factors.length} factors differ (${factors.join(", ")}): the scores cannot tell which of them made a difference.`;
      if (factors.length === 0) verdict = "They are the same arm.";
      if (factors.length === 1) verdict = `One factor differs, the ${factors[0]}: a controlled comparison.`;
      if (one.steps !== null) {
        verdict += ` Steps, pretraining included: ${one.steps.toLocaleString("en-US")} and ${two.steps.toLocaleString("en-US")}.`;
      }
      const sentence = make("p", {}, make("b", {}, one.title), " compared with ", make("b", {}, two.title), `. ${verdict}`);
      const head = make("tr", {}, ...["factor", "setting", one.title, two.title].map((text) => make("th", { scope: "col" }, text)));
      const body = rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell))));
      result.replaceChildren(sentence, ...(rows.length ? [make("table", {}, make("thead", {}, head), make("tbody", {}, ...body))] : []));
    };
    first.addEventListener("change", show);
    second.addEventListener("change", show);
    box.append(make("div", { class: "kit-controls" }, labelled("this arm", first), labelled("that arm", second)), result);
    show();
  };

  const kinds = { explorer, browser, arms };
  const start = async () => {
    for (const place of document.querySelectorAll(".kit-living:not(.kit-started)")) {
      place.classList.add("kit-started");
      const box = make("div", { class: "kit-box" });
      try {
        const state = JSON.parse(place.querySelector("script[type='application/json']").textContent);
        await kinds[state.kind](state, box);
        place.querySelector(".kit-fallback").replaceWith(box);
      } catch (error) {
        console.error("the page stays as it is without scripts:", error);
      }
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();

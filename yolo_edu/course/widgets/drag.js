// Boxes over a picture, dragged by mouse, pen or finger, or moved by keyboard. The frame is the picture's pixels.
const NS = "http://www.w3.org/2000/svg";
const SMALLEST = 2; // pixels of a side
const HANDLE = 5; // radius of a corner, screen pixels

function make(name, attributes, parent) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (parent) parent.append(node);
  return node;
}

function render({ model, el }) {
  const width = model.get("width"), height = model.get("height");
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "group" });
  svg.setAttribute("aria-label", model.get("label"));
  svg.style.cssText = `width:100%;max-width:${model.get("shown")}px;touch-action:none;display:block;background:#eee`;
  const image = make("image", { x: 0, y: 0, width, height, preserveAspectRatio: "none" }, svg);
  const overlay = make("g", { "pointer-events": "none" }, svg);
  const layer = make("g", {}, svg);
  const help = document.createElement("div");
  help.textContent = "Drag a box or one of its corners. By keyboard: Tab to a box, arrows move it, Shift + arrows change its size.";
  help.style.cssText = "font-size:12px;color:#555;margin:2px 0 6px";
  el.append(svg, help);

  const scale = () => width / (svg.getBoundingClientRect().width || width); // picture pixels of a screen pixel
  const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
  const parts = []; // for each box: its group, rectangle, text, corners

  function changed(index, box) {
    const boxes = model.get("value").map((b) => [...b]);
    boxes[index] = box.map((v) => Math.round(v * 10) / 10);
    model.set("value", boxes);
    model.save_changes();
    place();
  }

  function moved([x1, y1, x2, y2], dx, dy) {
    const w = x2 - x1, h = y2 - y1;
    const x = clamp(x1 + dx, 0, width - w), y = clamp(y1 + dy, 0, height - h);
    return [x, y, x + w, y + h];
  }

  function resized([x1, y1, x2, y2], corner, x, y) {
    const left = corner % 2 === 0, top = corner < 2;
    if (left) x1 = clamp(x, 0, x2 - SMALLEST); else x2 = clamp(x, x1 + SMALLEST, width);
    if (top) y1 = clamp(y, 0, y2 - SMALLEST); else y2 = clamp(y, y1 + SMALLEST, height);
    return [x1, y1, x2, y2];
  }

  function drag(node, index, step) {
    node.addEventListener("pointerdown", (down) => {
      down.preventDefault();
      node.setPointerCapture(down.pointerId);
      parts[index].group.focus();
      const start = [...model.get("value")[index]], factor = scale();
      const move = (e) => changed(index, step(start, (e.clientX - down.clientX) * factor, (e.clientY - down.clientY) * factor));
      const up = () => {
        node.removeEventListener("pointermove", move);
        node.removeEventListener("pointerup", up);
        node.removeEventListener("pointercancel", up);
      };
      node.addEventListener("pointermove", move);
      node.addEventListener("pointerup", up);
      node.addEventListener("pointercancel", up);
    });
  }

  function build() {
    layer.replaceChildren();
    parts.length = 0;
    model.get("value").forEach((_, index) => {
      const color = model.get("colors")[index];
      const group = make("g", { tabindex: 0, role: "slider", "aria-roledescription": "box" }, layer);
      group.style.cssText = "outline-offset:2px;cursor:move";
      make("rect", { class: "halo", fill: "none", stroke: "#fff", "vector-effect": "non-scaling-stroke", "stroke-width": 5 }, group);
      const rect = make("rect", { fill: color, "fill-opacity": 0.12, stroke: color, "stroke-width": 3, "vector-effect": "non-scaling-stroke" }, group);
      const text = make("text", { fill: "#000", stroke: "#fff", "stroke-width": 3, "paint-order": "stroke", "pointer-events": "none" }, group);
      const corners = [0, 1, 2, 3].map((corner) => {
        const dot = make("circle", { fill: color, stroke: "#fff" }, group);
        dot.style.cursor = corner === 0 || corner === 3 ? "nwse-resize" : "nesw-resize";
        return dot;
      });
      parts.push({ group, rect, halo: group.firstChild, text, corners });
      drag(rect, index, (box, dx, dy) => moved(box, dx, dy));
      corners.forEach((dot, corner) =>
        drag(dot, index, (box, dx, dy) => resized(box, corner, box[corner % 2 === 0 ? 0 : 2] + dx, box[corner < 2 ? 1 : 3] + dy)));
      group.addEventListener("keydown", (e) => {
        const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
        if (!step) return;
        e.preventDefault();
        e.stopPropagation(); // JupyterLab would take the key
        const size = model.get("step"), box = model.get("value")[index];
        const [dx, dy] = [step[0] * size, step[1] * size];
        changed(index, e.shiftKey ? resized(box, 3, box[2] + dx, box[3] + dy) : moved(box, dx, dy));
      });
    });
    place();
  }

  function place() {
    const unit = scale();
    model.get("value").forEach(([x1, y1, x2, y2], index) => {
      const { group, rect, halo, text, corners } = parts[index];
      for (const node of [rect, halo]) {
        node.setAttribute("x", x1); node.setAttribute("y", y1);
        node.setAttribute("width", x2 - x1); node.setAttribute("height", y2 - y1);
      }
      [[x1, y1], [x2, y1], [x1, y2], [x2, y2]].forEach(([x, y], corner) => {
        corners[corner].setAttribute("cx", x); corners[corner].setAttribute("cy", y);
        corners[corner].setAttribute("r", HANDLE * unit); corners[corner].setAttribute("stroke-width", unit);
      });
      text.textContent = model.get("names")[index];
      text.setAttribute("font-size", 13 * unit);
      text.setAttribute("x", x1 + 4 * unit);
      text.setAttribute("y", y1 > 18 * unit ? y1 - 6 * unit : y1 + 16 * unit);
      const words = `${model.get("names")[index]}: left ${x1}, top ${y1}, right ${x2}, bottom ${y2}`;
      group.setAttribute("aria-label", words);
      group.setAttribute("aria-valuetext", words);
      group.setAttribute("aria-valuenow", x1);
    });
  }

  const show_picture = () => {
    if (model.get("picture")) image.setAttribute("href", model.get("picture")); else image.removeAttribute("href");
  };
  const show_overlay = () => { overlay.innerHTML = model.get("overlay"); };
  const follow = () => (parts.length === model.get("value").length ? place() : build());
  model.on("change:value", follow);
  model.on("change:picture", show_picture);
  model.on("change:overlay", show_overlay);
  show_picture();
  show_overlay();
  build();
  const watcher = new ResizeObserver(place);
  watcher.observe(svg);
  return () => {
    watcher.disconnect();
    model.off("change:value", follow);
    model.off("change:picture", show_picture);
    model.off("change:overlay", show_overlay);
  };
}

export default { render };

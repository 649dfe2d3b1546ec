// Runs after the page's own scripts, and leaves what it finds out in the document. BigInt become plain JSON numbers.
const requests = REQUESTS, found = {};
const type = (id, text) => { byId(id).value = text; byId(id).dispatchEvent(new Event("input")); };
const reset = () => { for (const [id, text] of Object.entries(TEXTS)) byId(id).value = text; update(); };
const bar = (index) => byId("layers").children[index].querySelector(".bar");
const press = (index, key, more = {}) => bar(index).dispatchEvent(new KeyboardEvent("keydown", {key, ...more}));
const point = (index, name, x, y) =>
  bar(index).dispatchEvent(new PointerEvent(name, {pointerId: 1, clientX: x, clientY: y, bubbles: true}));
const click = (index, label) => byId("layers").children[index].querySelector(`[data-label="${label}"]`).click();
const schedule = () => byId("dilations").value;
const after = (action) => { reset(); action(); return schedule(); };

found.usual = TEXTS;
found.contexts = CONTEXTS;
found.analyses = requests.analyses.map(analyse);
found.wrong = requests.wrong.map(([id, text]) => {
  reset();
  type(id, text);
  const answer = [byId("problems").textContent, byId(id).getAttribute("aria-invalid"), byId("verdict").className];
  reset();
  return [...answer, byId("problems").textContent, byId("verdict").className];
});
found.schedules = {
  up: after(() => press(2, "ArrowUp")), down: after(() => press(2, "ArrowDown")),
  least: after(() => press(0, "ArrowDown")),
  double: after(() => press(5, "PageUp")), half: after(() => press(5, "PageDown")), most: after(() => press(0, "End")),
  left: after(() => press(2, "ArrowLeft", {shiftKey: true})),
  past: after(() => press(0, "ArrowLeft", {shiftKey: true})),
  removed: after(() => press(5, "Delete")), added: after(() => byId("add").click()),
  minus: after(() => click(3, "dilation less 1")), moved: after(() => click(2, "move to the right")),
  named: after(() => type("named", "local")),
  dragged_up: after(() => { const {x, y} = bar(2).getBoundingClientRect();
    point(2, "pointerdown", x + 9, y + 90); point(2, "pointermove", x + 9, y + 62);
    point(2, "pointerup", x + 9, y + 62); }),
  dragged_right: after(() => { const from = bar(1).getBoundingClientRect(), to = bar(3).getBoundingClientRect();
    point(1, "pointerdown", from.x + 9, from.y + 9); point(1, "pointermove", to.x + 9, to.y + 9);
    point(1, "pointerup", to.x + 9, to.y + 9); }),
  after_nonsense: after(() => { type("dilations", "1,2,x"); click(0, "dilation plus 1"); }),
};
reset();
type("dilations", "1,2,4");
type("widths", "1,2,3");
press(0, "ArrowRight", {shiftKey: true});
found.widths = [schedule(), byId("widths").value];
byId("add").click();
found.widened = byId("widths").value;
found.slider = ["aria-label", "aria-valuenow", "aria-valuemax"].map((name) => bar(1).getAttribute(name));
reset();
type("dilations", "1,2,4");
const hex = (value) => value.toString(16).padStart(2, "0");
found.colours = [1, 3].map((step) => { // of the centre's row, beside the dot in the centre
  type("step", String(step));
  const canvas = byId("plane"), pen = canvas.getContext("2d"), cell = canvas.width / 15;
  const colour = (column) => pen.getImageData(Math.floor((column + 0.25) * cell), Math.floor(7.25 * cell), 1, 1).data;
  return Array.from({length: 15}, (_, column) => "#" + [...colour(column)].slice(0, 3).map(hex).join(""));
});
found.legend = byId("legend").textContent;
const started = performance.now();
type("dilations", Array(32).fill(512).join(","));
found.widest = [byId("problems").textContent, byId("figures").textContent, performance.now() - started];
found.dots = byId("dots").textContent;
type("dilations", "2,2,2");
type("frontend", "vgg16");
setTimeout(() => {
  found.announcement = byId("announcement").textContent;
  found.address = location.hash;
  found.commands = [byId("analyze").textContent, byId("train").textContent];
  const controls = [...document.querySelectorAll("input, select, button, canvas, [role=slider]")];
  const isNamed = (control) => control.labels?.length || control.getAttribute("aria-label") || control.textContent.trim() ||
    control.closest("#panels button");
  found.unlabelled = controls.filter((control) => !isNamed(control)).map((control) => control.outerHTML);
  const plain = (_, value) => typeof value === "bigint" ? JSON.rawJSON(value.toString()) : value;
  document.body.append(element("pre", {id: "found", textContent: JSON.stringify(found, plain)}));
}, 1000);

// The convolution of hand size: where the lesson stands, and the controls that move it.
//
// Each output pixel takes four stages: window, column, product, sum. A place is a number: stage + 4 * pixel.

const STAGES = ["window", "column", "product", "sum"];
const PRESETS = {
  "edges, left to right": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
  "edges, top to bottom": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
  blur: [[1, 2, 1], [2, 4, 2], [1, 2, 1]].map((row) => row.map((value) => value / 16)),
  sharpen: [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
};
const OWN = "the network's own";
const PLAY_MS = 450;

function startLesson(data) {
  const { kernel, bias, stride, padding } = data.convolution;
  const lesson = { operation: "convolution", pixels: data.input.pixels, kernel: structuredClone(kernel), bias, stride, padding,
    channel: "all" };
  const state = { lesson, place: 0, pace: 1, timer: null };

  const draw = () => drawLesson(state, data, typed);
  const last = () => Math.max(0, 4 * outputSize(lesson).reduce((rows, columns) => rows * columns) - 1);
  function goTo(place) {
    state.place = Math.max(0, Math.min(last(), place));
    if (state.place === last()) stop();
    draw();
  }
  // One stage; or at a pace of 4 and more to the end of a pixel, or a row of pixels, further.
  function move(direction) {
    const pace = state.pace === "row" ? 4 * outputSize(lesson)[1] : state.pace;
    const target = state.place + direction * pace;
    goTo(pace === 1 ? target : 4 * Math.floor(Math.max(0, target) / 4) + 3);
  }
  function stop() {
    clearInterval(state.timer);
    state.timer = null;
    byId("play").textContent = "Play";
  }
  function play() {
    if (state.timer !== null) return stop();
    if (state.place === last()) goTo(0);
    byId("play").textContent = "Pause";
    state.timer = setInterval(() => move(1), PLAY_MS);
  }
  // A number that the reader typed into the kernel; what is no number stays out.
  function typed(channel, row, column, text) {
    const value = Number(text.trim().replace(",", ".").replace("\u2212", "-"));
    if (text.trim() === "" || !Number.isFinite(value)) return false;
    if (channel === "bias") lesson.bias = value;
    else lesson.kernel[channel][row][column] = value;
    draw();
    return true;
  }
  // A setting changed: from the first window again.
  function restart(changes) {
    Object.assign(lesson, changes);
    stop();
    goTo(0);
  }

  const actions = { first: () => goTo(0), back: () => move(-1), step: () => move(1), play, last: () => goTo(last()) };
  for (const [id, action] of Object.entries(actions)) {
    byId(id).addEventListener("click", () => {
      if (id !== "play") stop();
      action();
    });
  }
  byId("lesson").addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    const action = { ArrowRight: "step", ArrowLeft: "back", Home: "first", End: "last" }[event.key];
    if (!action) return;
    event.preventDefault();
    stop();
    actions[action]();
  });
  fillSettings(data, lesson, state, restart);
  draw();
  return state;
}

// The selects above the grids.
function fillSettings(data, lesson, state, restart) {
  const channels = data.input.pixels.length;
  const names = ["all", ...data.input.pixels.keys()];
  const range = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => from + at);
  choices("operation", Object.keys(OPERATIONS), (key) => OPERATIONS[key].title, "convolution", (operation) => {
    const channel = operation === "convolution" || channels === 1 ? "all" : Number.isFinite(lesson.channel) ? lesson.channel : 0;
    byId("channel").querySelector("[value=all]").disabled = channels > 1 && operation !== "convolution"; // pooling sums none
    byId("channel").value = channel;
    restart({ operation, channel });
  });
  choices("kernel", [OWN, ...Object.keys(PRESETS)], String, OWN, (name) => {
    const own = { kernel: structuredClone(data.convolution.kernel), bias: data.convolution.bias };
    const preset = PRESETS[name] && { kernel: data.input.pixels.map(() => structuredClone(PRESETS[name])), bias: 0 };
    restart(preset || own);
  });
  choices("stride", range(1, Math.max(4, data.convolution.stride)), String, data.convolution.stride,
    (value) => restart({ stride: Number(value) }));
  choices("padding", range(0, Math.max(3, data.convolution.padding)), String, data.convolution.padding,
    (value) => restart({ padding: Number(value) }));
  choices("channel", channels > 1 ? names : ["all"], (channel) => channelTitle(channel, channels), "all",
    (value) => restart({ channel: value === "all" ? "all" : Number(value) }));
  choices("pace", [1, 4, "row"], (pace) => ({ 1: "one stage", 4: "one pixel", row: "one row" })[pace], 1, (value) => {
    state.pace = value === "row" ? "row" : Number(value);
  });
}

function choices(id, values, told, chosen, change) {
  const select = byId(id);
  select.replaceChildren(...values.map((value) => element("option", { value, selected: value === chosen }, told(value))));
  select.addEventListener("change", () => change(select.value));
}

function channelTitle(channel, channels) {
  if (channel === "all") return channels > 1 ? "all, summed" : "the only one";
  return channels === 3 ? ["red", "green", "blue"][channel] : `channel ${channel}`;
}

// Does in a headless Chromium what a user of each project does, and prints one line: that it works or the first thing that
// went wrong, the protocol of the page, and the statuses of its WebSockets.
//
//     node browser.js PROJECT URL FILE [PID]
//
// FILE is uploaded. PID is the server, which is told to reload (SIGHUP) where the project is an app of it.
const { chromium } = require("playwright-core");

const [project, url, file, pid] = process.argv.slice(2);
const size = require("fs").statSync(file).size;
const SOON = { timeout: 30000 };

const steps = {
  async gradio(page) {
    await page.goto(url, SOON);
    await page.getByLabel("Name").fill("Ada");
    await page.getByRole("button", { name: "Greet" }).click();
    await value(page, "Greeting", "Hello Ada");
    await page.getByRole("button", { name: "Steps" }).click();
    await value(page, "Greeting", "step 3 for Ada");
    await page.locator("input[type=file]").first().setInputFiles(file);
    await value(page, "Size", `${size} bytes`);
    if (pid) {
      await reload();
      await page.getByRole("button", { name: "Greet" }).click();
      await value(page, "Greeting", "Hello Ada");
    }
  },

  async nicegui(page) {
    await page.goto(url, SOON);
    await clickTwice(page);
    await page.locator("input[type=file]").setInputFiles(file);
    await page.getByText(`${size} bytes`).waitFor(SOON);
    if (pid) {
      // The page of a process that is gone is made anew.
      await reload();
      await page.getByText("clicked 0 times").waitFor(SOON);
      await clickTwice(page);
    }
  },

  async reflex(page) {
    await hydrate(page, url, "websocket");
    await hydrate(page, url.replace(/[^/]+localhost/, "reflex-polling.localhost"), "polling");
    await page.goto(url, SOON);
    await clickTwice(page);
    await page.getByRole("button", { name: "Later" }).click();
    await page.getByText("clicked 32 times").waitFor(SOON);
    await page.locator("input[type=file]").setInputFiles(file);
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByText(`${size} bytes`).waitFor(SOON);
    if (pid) {
      // The page comes back by itself, and the state of its user is on disk.
      await reload();
      await page.getByRole("button", { name: "Click" }).click(SOON);
      await page.getByText("clicked 33 times").waitFor(SOON);
    }
  },

  async streamlit(page) {
    await page.goto(url, SOON);
    await clickTwice(page);
    await page.locator("input[type=file]").setInputFiles(file);
    await page.getByText(`${size} bytes`).waitFor(SOON);
    if (pid) {
      // The page stays as it is until the next click, with which its session begins anew in the new worker.
      await reload();
      await clickTwice(page);
    }
  },

  async jupyterlab(page) {
    await page.goto(`${url}/lab?reset`, { timeout: 60000 });
    await page.locator(".jp-LauncherCard[data-category=Notebook]").first().click({ timeout: 60000 });
    const cell = page.locator(".jp-Notebook .jp-Cell .cm-content").first();
    await cell.click(SOON);
    await page.keyboard.type("import os; print('answer', 6 * 7)");
    await page.keyboard.press("Shift+Enter");
    await page.locator(".jp-OutputArea-output", { hasText: "answer 42" }).waitFor({ timeout: 60000 });
  },
};

async function clickTwice(page) {
  for (const times of [1, 2]) {
    await page.getByRole("button", { name: "Click" }).click(SOON);
    await page.getByText(`clicked ${times} times`).waitFor(SOON);
  }
}

// Asks the application of Reflex at this address for the state of a new user, by the transport it is configured for.
async function hydrate(page, address, transport) {
  await page.goto(`${address}/ping`, SOON);
  await page.addScriptTag({ path: require.resolve("socket.io-client/dist/socket.io.js") });
  const state = ([transport, time]) =>
    new Promise((done, failed) => {
      const token = crypto.randomUUID();
      const socket = io("/_event", { path: "/_event", transports: [transport], query: { token } });
      setTimeout(() => failed(new Error(`no state by ${transport}`)), time);
      socket.on("connect_error", failed);
      socket.on("event", () => done(void socket.close()));
      socket.emit("event", { token, name: "reflex___state____state.hydrate", payload: {}, router_data: {} });
    });
  await page.evaluate(state, [transport, SOON.timeout]);
}

async function value(page, label, expected) {
  const field = page.getByLabel(label);
  const end = Date.now() + SOON.timeout;
  while ((await field.inputValue(SOON)) !== expected) {
    if (Date.now() > end) throw new Error(`${label} is ${await field.inputValue()}, not ${expected}`);
    await page.waitForTimeout(50);
  }
}

// Asks for a reload and waits until it is done, as the error log says.
async function reload() {
  const fs = require("fs");
  const before = fs.readFileSync("error.log", "utf8").split(" serving generation=").length;
  process.kill(Number(pid), "SIGHUP");
  // Large imports take a minute and more on a busy machine.
  const end = Date.now() + 300000;
  while (fs.readFileSync("error.log", "utf8").split(" serving generation=").length === before) {
    if (Date.now() > end) throw new Error("the reload did not end");
    await new Promise((done) => setTimeout(done, 100));
  }
}

(async () => {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ["--no-sandbox", "--disable-quic", "--disable-dev-shm-usage", "--ignore-certificate-errors"],
  });
  const told = { protocol: null, websockets: {}, failed: null };
  try {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();
    const network = await context.newCDPSession(page);
    await network.send("Network.enable");
    const sockets = {};
    network.on("Network.responseReceived", ({ type, response }) => {
      if (type === "Document" && !told.protocol) told.protocol = response.protocol;
    });
    network.on("Network.webSocketCreated", (event) => (sockets[event.requestId] = new URL(event.url).pathname));
    network.on("Network.webSocketHandshakeResponseReceived", (event) => {
      const outcome = `${sockets[event.requestId]} ${event.response.status}`;
      told.websockets[outcome] = (told.websockets[outcome] || 0) + 1;
    });
    network.on("Network.webSocketFrameError", (event) => {
      const outcome = `${sockets[event.requestId]} ${event.errorMessage}`;
      told.websockets[outcome] = (told.websockets[outcome] || 0) + 1;
    });
    try {
      await steps[project](page);
    } catch (error) {
      told.failed = String(error.message).split("\n")[0];
      await page.screenshot({ path: `${project}.png` });
    }
  } finally {
    await browser.close();
  }
  console.log(summary(told));
  process.exit(told.failed ? 1 : 0);
})();

// As one cell of a table: what the page came by, and the statuses of its WebSockets.
function summary({ protocol, websockets, failed }) {
  const statuses = [...new Set(Object.keys(websockets).map((outcome) => outcome.split(" ").slice(1).join(" ")))].sort();
  const sockets = statuses.length ? `WebSocket ${statuses.join(", ")}` : "no WebSocket";
  return `${failed || "works"} (${protocol}, ${sockets})`;
}

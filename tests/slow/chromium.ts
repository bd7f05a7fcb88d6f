/** A headless Chromium, driven over its own protocol: nothing but the browser has to be installed. */

const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Where Chromium is, by CHROMIUM or in the usual places; undefined where there is none. */
export const chromiumPath: string | undefined = [Deno.env.get("CHROMIUM") ?? "", ...places].find((path) => {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
});

// deno-lint-ignore no-explicit-any
type Answer = any;

/** What a page is shown as. */
export interface View {
  width: number;
  height?: number;
  theme?: "light" | "dark";
  media?: "print";
  language?: string;
}

/** One page in a browser of its own. */
export class Browser implements AsyncDisposable {
  #next = 1;
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer>>();
  readonly #events = new Map<string, (() => void)[]>();
  /** uncaught exceptions, console errors and refused loads, since the page was opened */
  readonly complaints: string[] = [];
  /** what the page asked for, itself left out */
  readonly requests: string[] = [];

  private constructor(
    private readonly process: Deno.ChildProcess,
    private readonly socket: WebSocket,
    private readonly profile: string,
  ) {
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
  }

  static async start(): Promise<Browser> {
    const profile = await Deno.makeTempDir({ prefix: "cnosdb-chromium-" });
    const flags = "headless no-sandbox disable-gpu no-first-run disable-background-networking " +
      "disable-component-update disable-sync disable-quic remote-debugging-port=0 remote-allow-origins=*";
    const process = new Deno.Command(chromiumPath!, {
      args: [...flags.split(" ").map((flag) => `--${flag}`), `--user-data-dir=${profile}`, "about:blank"],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const url = await untilThere(async () => {
      const [port] = (await Deno.readTextFile(`${profile}/DevToolsActivePort`)).split("\n");
      const list: Answer[] = await (await fetch(`http://127.0.0.1:${port}/json/list`)).json();
      return new URL(list.find(({ type }) => type === "page").webSocketDebuggerUrl);
    }).catch((error) => {
      process.kill();
      throw error;
    });
    const socket = new WebSocket(url);
    await new Promise((resolve) => socket.onopen = resolve);
    const browser = new Browser(process, socket, profile);
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await browser.send(`${domain}.enable`);
    return browser;
  }

  #take({ id, result, error, method, params }: Answer): void {
    if (id !== undefined) {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      return error ? waiting?.reject(new Error(error.message)) : waiting?.resolve(result);
    }
    if (method === "Runtime.exceptionThrown") this.complaints.push(JSON.stringify(params.exceptionDetails));
    if (method === "Log.entryAdded") this.complaints.push(params.entry.text);
    if (method === "Network.requestWillBeSent" && params.type !== "Document") {
      this.requests.push(params.request.url);
    }
    for (const happened of this.#events.get(method)?.splice(0) ?? []) happened();
  }

  send(method: string, params: Record<string, unknown> = {}): Promise<Answer> {
    const id = this.#next++;
    const waiting = Promise.withResolvers<Answer>();
    this.#waiting.set(id, waiting);
    this.socket.send(JSON.stringify({ id, method, params }));
    return waiting.promise;
  }

  /** How the page is shown from now on. */
  async view({ width, height = 900, theme = "light", media, language = "en-US" }: View) {
    await this.send("Emulation.setDeviceMetricsOverride", {
      ...{ width, height, deviceScaleFactor: 1, mobile: width < 500 },
    });
    const features = [{ name: "prefers-color-scheme", value: theme }];
    await this.send("Emulation.setEmulatedMedia", { media: media ?? "", features });
    await this.send("Emulation.setUserAgentOverride", { userAgent: "test", acceptLanguage: language });
  }

  /** Opens a file and waits until it is drawn. */
  async open(path: string): Promise<void> {
    this.complaints.length = this.requests.length = 0;
    const loaded = new Promise<void>((resolve) => this.#events.set("Page.loadEventFired", [resolve]));
    await this.send("Page.navigate", { url: `file://${path}` });
    await loaded;
  }

  /** The value of an expression in the page; a promise is awaited. @throws what it throws */
  async run<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      ...{ expression, returnByValue: true, awaitPromise: true },
    });
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
    return result.value;
  }

  async press(key: string): Promise<void> {
    const text = key === "Enter" ? { text: "\r" } : {};
    const windowsVirtualKeyCode = { Enter: 13, Tab: 9, ArrowLeft: 37, ArrowRight: 39 }[key] ?? 0;
    for (const type of ["keyDown", "keyUp"]) {
      await this.send("Input.dispatchKeyEvent", { type, key, windowsVirtualKeyCode, ...text });
    }
  }

  async type(text: string): Promise<void> {
    await this.send("Input.insertText", { text });
  }

  async pdf(): Promise<Uint8Array> {
    const { data } = await this.send("Page.printToPDF", { printBackground: false, preferCSSPageSize: true });
    return Uint8Array.fromBase64(data);
  }

  /** A picture of the window, or of the whole page. */
  async picture(whole = false): Promise<Uint8Array> {
    const { data } = await this.send("Page.captureScreenshot", { captureBeyondViewport: whole });
    return Uint8Array.fromBase64(data);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.socket.onclose = resolve);
    await this.send("Browser.close").catch(() => {});
    await closed;
    await this.process.status;
    await Deno.remove(this.profile, { recursive: true });
  }
}

async function untilThere<T>(look: () => Promise<T>): Promise<T> {
  for (let left = 600;; left--) {
    try {
      return await look();
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

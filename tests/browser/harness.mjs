/** What the browser tests share: a server of their own, Chromium, people who sign up. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
/** Pictures of every screen, for people to look at. */
export const SHOTS = process.env.LYNK_SHOTS ?? path.join(ROOT, 'target/browser');
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Shown in place of the scripts and styles that the binary has in it, when set. */
const WEB = process.env.LYNK_WEB && path.resolve(ROOT, process.env.LYNK_WEB);
const TYPES = { '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.ts': 'text/plain', '.webmanifest': 'application/manifest+json' };
/** Milliseconds for anything that has to appear. */
export const SOON = 60_000;
mkdirSync(SHOTS, { recursive: true });

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function until(what, condition, limit = SOON) {
  for (const end = Date.now() + limit; ;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) assert.fail(`not within ${limit} ms: ${what}`);
    await sleep(50);
  }
}

function binary() {
  const found = [process.env.LYNK, 'target/release/lynk', 'target/debug/lynk'].filter(Boolean).map((name) => path.resolve(ROOT, name)).find(existsSync);
  assert.ok(found, 'no server to test: build one (cargo build --release --bin lynk), or name it in the environment variable LYNK');
  return found;
}

/** A port that nobody listens on, below those that the kernel gives to outgoing connections: a restart must get it again. */
async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const free = await new Promise((resolve) => {
      const probe = net.createServer().once('error', () => resolve(false)).listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

/** A `lynk serve` of its own, on a data directory of its own. */
export class Server {
  #child;
  #log = '';

  /** `more`: further arguments of `lynk serve`. */
  static async start(more = []) {
    const server = new Server();
    server.more = more;
    server.data = mkdtempSync(path.join(tmpdir(), 'lynk-browser-'));
    server.port = await freePort();
    server.admin = await freePort();
    server.url = `http://127.0.0.1:${server.port}`;
    await server.run();
    return server;
  }

  async run() {
    const more = process.env.LYNK_SERVE_ARGS?.split(' ').filter(Boolean) ?? [];
    this.#child = spawn(binary(), ['serve', '--data', this.data, '--listen', `127.0.0.1:${this.port}`, '--admin', `127.0.0.1:${this.admin}`, ...more, ...this.more],
      { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream.on('data', (data) => { this.#log = (this.#log + data).slice(-20_000); });
    const child = this.#child;
    await until('the server answers', async () => {
      assert.equal(child.exitCode, null, `the server ended:\n${this.#log}`);
      return fetch(this.url).then((answer) => answer.ok, () => false);
    }, 120_000);
  }

  #signal(name) {
    const child = this.#child;
    return new Promise((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) { resolve(); return; }
      child.once('exit', resolve);
      process.kill(-child.pid, name);
    });
  }

  /** `kill -9`: no farewell, no flush. */
  kill() { return this.#signal('SIGKILL'); }

  async stop() {
    await this.#signal('SIGKILL');
    rmSync(this.data, { recursive: true, force: true });
  }

  /** The code that the console provider “sent” to a number: the last one that the data directory tells of. */
  async code(phone) {
    return until(`a code for ${phone}`, () => {
      const file = path.join(this.data, 'dev-sms.txt');
      const lines = existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n').filter((line) => line.includes(phone)) : [];
      const used = this.used ??= new Set();
      const line = lines.at(-1);
      if (!line || used.has(`${lines.length} ${line}`)) return undefined;
      used.add(`${lines.length} ${line}`);
      return /(?<!\d)\d{6}(?!\d)/.exec(line.replaceAll(phone, ''))?.[0];
    });
  }
}

export async function openBrowser() {
  const executablePath = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
  assert.ok(executablePath, 'no Chromium: scripts/browser installs one, or name it in the environment variable CHROMIUM');
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage', '--force-color-profile=srgb', '--font-render-hinting=none'] });
}

/** What an app makes of a secret: RFC 6238 with SHA-1, 6 digits, 30 s. */
export class App {
  #key;
  #last = 0;

  constructor(base32) {
    const bits = [...base32.replaceAll(' ', '')].map((char) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(char).toString(2).padStart(5, '0')).join('');
    this.#key = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  }

  code(step) {
    const counter = Buffer.alloc(8);
    counter.writeBigUInt64BE(BigInt(step));
    const tag = createHmac('sha1', this.#key).update(counter).digest();
    return String((tag.readUInt32BE(tag.at(-1) & 15) & 0x7fff_ffff) % 1_000_000).padStart(6, '0');
  }

  /** A code that was not used yet; waits for the next one when both that are good now were. */
  async next() {
    for (;;) {
      const step = Math.floor(Date.now() / 30_000) + 1;
      if (step > this.#last) {
        this.#last = Math.max(step - 1, this.#last + 1);
        return this.code(this.#last);
      }
      await sleep(1_000);
    }
  }
}

let numbers = 0;

/** A person with a browser of their own: nothing is shared with others but the server. */
export class Person {
  static async arrive(browser, server, { name, user, width = 1280, height = 800, scheme = 'light', phone, touch = false } = {}) {
    const person = new Person();
    Object.assign(person, { server, name, user, touch, phone: phone ?? `+49151100${String(10_000 + numbers++)}` });
    person.context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, hasTouch: touch, isMobile: touch, locale: 'en-GB', timezoneId: 'Europe/Berlin', reducedMotion: 'reduce' });
    if (WEB) {
      await person.context.route(/\/assets\/[\w./-]+$/, (route) => {
        const file = path.join(WEB, new URL(route.request().url()).pathname.slice('/assets/'.length));
        return existsSync(file) ? route.fulfill({ path: file, headers: { 'cache-control': 'no-store', 'content-type': TYPES[path.extname(file)] } }) : route.continue();
      });
    }
    await person.context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: server.url });
    person.errors = [];
    person.page = await person.newPage();
    return person;
  }

  async newPage() {
    const page = await this.context.newPage();
    page.setDefaultTimeout(SOON);
    page.on('pageerror', (error) => this.errors.push(String(error.stack ?? error)));
    page.on('console', (message) => {
      // What the network did is for the tests that break it on purpose; a policy that was violated never is.
      if (message.type() === 'error' && !/Failed to load resource|WebSocket connection/.test(message.text())) this.errors.push(message.text());
    });
    return page;
  }

  /** From an empty page to the list of rooms, as a new user. `at` is called on every screen. */
  async signUp(at = async () => {}, url = this.server.url) {
    const { page } = this;
    await page.goto(url);
    await page.getByLabel('Phone number').fill(this.phone);
    await at('phone');
    await page.getByRole('button', { name: 'Send the code' }).click();
    await page.getByLabel('Six-digit code').waitFor();
    await at('code');
    await page.getByLabel('Six-digit code').fill(await this.server.code(this.phone));
    await page.getByLabel('Your name').fill(this.name);
    await page.getByLabel('User name').fill(this.user);
    await at('name');
    await page.getByRole('button', { name: 'Start chatting' }).click();
    await this.online();
  }

  online(page = this.page) { return page.locator('.shell[data-state="connected"]').waitFor(); }

  async menu(item) {
    await this.page.getByRole('button', { name: 'New conversation' }).click();
    await this.page.getByRole('menuitem', { name: item }).click();
  }

  /** A request as this person, whose answer is good. */
  async ask(method, path, body) {
    const { access_token: token } = JSON.parse(await this.page.evaluate(() => localStorage.getItem('lynk.session')));
    const answer = await fetch(`${this.server.url}/v1${path}`, { method, headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) }, body: body && JSON.stringify(body) });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
    return answer.status === 204 ? undefined : answer.json();
  }

  async createRoom(name, kind = 'Everybody') {
    await this.menu('Create a room');
    await this.page.getByLabel('Room name').fill(name);
    await this.page.getByRole('radio', { name: kind }).check();
    await this.page.getByRole('button', { name: 'Create', exact: true }).click();
    await this.page.getByRole('heading', { level: 1, name }).waitFor({ state: 'attached' });
  }

  async joinRoom(name) {
    await this.menu('Join a room');
    await this.page.getByLabel('Room name').fill(name);
    await this.page.getByRole('button', { name: 'Join', exact: true }).click();
    await this.page.getByRole('heading', { level: 1, name }).waitFor({ state: 'attached' });
  }

  async message(user) {
    await this.menu('Message a person');
    await this.page.getByLabel('User name').fill(user);
    await this.page.getByRole('button', { name: 'Start', exact: true }).click();
    // Another conversation may stand there until this one is open.
    await this.page.waitForFunction(() => !document.querySelector('dialog') && document.querySelector('.rooms a.open')?.getAttribute('href') === location.hash);
    await this.page.locator('#composer').waitFor();
  }

  async say(text, page = this.page) {
    const field = page.locator('#composer');
    await field.fill(text);
    // On a touch keyboard Enter is a new line.
    if (this.touch) await page.getByRole('button', { name: 'Send', exact: true }).click();
    else await field.press('Enter');
  }

  /** Says something, and waits until the server has it: a row that waits has no menu, and is another element afterwards. */
  async said(text, page = this.page) {
    await this.say(text, page);
    await this.row(text, page).locator('.tick-sent, .tick-delivered, .tick-read').first().waitFor();
  }

  /** The texts of the messages on the screen, in order. */
  texts(page = this.page) { return page.locator('.row .bubble > .text').allTextContents(); }

  row(text, page = this.page) { return page.locator('.row', { has: page.locator('.bubble > .text', { hasText: text }) }).last(); }

  sees(text, page = this.page) { return this.row(text, page).waitFor(); }

  async shot(name, page = this.page) {
    await page.screenshot({ path: path.join(SHOTS, `${name}.png`) });
  }

  /** What axe finds serious or critical on the page as it is. */
  async axe(screen, page = this.page) {
    // The policy of the page forbids foreign scripts; the debugger's own evaluation does not ask it.
    await page.evaluate(`if (!window.axe) { ${AXE} }`);
    const found = await page.evaluate(async () => {
      const { violations } = await window.axe.run(document, { resultTypes: ['violations'] });
      return violations.map(({ id, impact, help, nodes }) => ({ id, impact, help, nodes: nodes.map((node) => `${node.html.slice(0, 200)} ${node.failureSummary}`) }));
    });
    writeFileSync(path.join(SHOTS, `axe-${screen}.json`), JSON.stringify(found, null, 2));
    const grave = found.filter(({ impact }) => impact === 'serious' || impact === 'critical');
    assert.deepEqual(grave, [], `axe on ${screen}`);
    return found;
  }

  async leave() {
    await this.context.close();
    assert.deepEqual(this.errors, [], `errors in the console of ${this.name}`);
  }
}

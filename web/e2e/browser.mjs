// The browser of the tests: Chromium on this machine, and the page as a user
// meets it. `Person` knows the page's test ids, the stories do not.

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const CANDIDATES = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];

const ARGS = [
  '--no-sandbox',
  '--disable-dev-shm-usage',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

export async function openBrowser() {
  const executablePath = CANDIDATES.find((path) => path && existsSync(path));
  if (!executablePath) {
    throw new Error('no Chromium found: apt-get install -y chromium, or set CHROMIUM to its path');
  }
  return chromium.launch({ executablePath, args: ARGS });
}

/** A user with a browser of their own. */
export class Person {
  /** @param {{ viewport?: object, dark?: boolean, shots?: string, protobuf?: boolean }} options */
  static async open(browser, name, base, options = {}) {
    const context = await browser.newContext({
      viewport: options.viewport ?? DESKTOP,
      colorScheme: options.dark ? 'dark' : 'light',
      reducedMotion: 'reduce',
      locale: 'en-GB',
      hasTouch: options.viewport === PHONE,
    });
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    const person = new Person(name, page, options);
    page.on('pageerror', (error) => person.problems.push(String(error)));
    page.on('console', (message) => {
      // A refused connection is part of some stories; everything else is a bug.
      const text = message.text();
      if (message.type() === 'error' && !/WebSocket|ERR_|Failed to load resource/.test(text)) {
        person.problems.push(text);
      }
    });
    await page.goto(base + (options.protobuf ? '/?protobuf=1' : '/'));
    return person;
  }

  constructor(name, page, options) {
    this.name = name;
    this.page = page;
    this.options = options;
    this.problems = [];
  }

  find(testid) {
    return this.page.getByTestId(testid);
  }

  async signIn() {
    await this.find('name-input').fill(this.name);
    await this.find('sign-in').click();
    await this.live();
  }

  async live() {
    await this.page.waitForSelector('[data-testid=connection-state][data-state=live]', {
      state: 'attached',
    });
  }

  /** @returns {Promise<string>} the id of the new room */
  async createRoom(roomName, { kind = 'public', invite = '' } = {}) {
    await this.find('create-room').click();
    await this.find('room-name-input').fill(roomName);
    await this.find(`kind-${kind}`).check();
    if (invite) await this.find('room-members-input').fill(invite);
    await this.find('room-create-submit').click();
    await this.page.waitForFunction(() => location.hash.startsWith('#/room/'));
    await this.find('composer').waitFor();
    return decodeURIComponent(new URL(this.page.url()).hash.split('/')[2]);
  }

  async joinRoom(id, roomName) {
    await this.find('room-search').fill(roomName);
    await this.page
      .locator(`[data-testid=public-room][data-room="${id}"] [data-testid=join-room]`)
      .click();
    await this.find('composer').waitFor();
  }

  room(id) {
    return this.page.locator(`[data-testid=room-item][data-room="${id}"]`);
  }

  async openRoom(id) {
    await this.room(id).click();
    await this.find('composer').waitFor();
  }

  async goHome() {
    await this.page.evaluate(() => {
      location.hash = '#/';
    });
    await this.find('composer').waitFor({ state: 'detached' });
  }

  async say(text) {
    await this.find('composer').fill(text);
    await this.find('composer').press('Enter');
  }

  /** Waits until a message with exactly this text is there, acknowledged. */
  async sees(text) {
    await this.message(text).first().waitFor();
  }

  message(text) {
    return this.find('message').filter({
      has: this.page.locator('[data-testid=message-text]', { hasText: text }),
    });
  }

  /** Texts and sequence numbers of all messages shown. */
  messages() {
    return this.find('message').evaluateAll((rows) =>
      rows.map((row) => ({
        seq: Number(row.dataset.seq),
        text: row.querySelector('[data-testid=message-text]')?.textContent ?? '',
      })),
    );
  }

  async shot(name) {
    if (!this.options.shots) return;
    await mkdir(this.options.shots, { recursive: true });
    await this.page.screenshot({ path: join(this.options.shots, `${name}.png`) });
  }

  async close() {
    await this.page.context().close();
  }
}

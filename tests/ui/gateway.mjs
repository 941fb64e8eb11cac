// The real binary, in a folder of its own, and a browser to look at it with.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const BINARY = process.env.TOLLGATE;
if (!BINARY) throw new Error('TOLLGATE names the binary; start the tests with tests/ui/run');

/** Starts a gateway with a configuration, and waits until it says where it is. */
export async function start(config = CONFIG, { env = {}, admin = '127.0.0.1:0' } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-ui-'));
  const args = ['run', '--listen', '127.0.0.1:0', '--data-dir', join(folder, 'data')];
  if (config) {
    writeFileSync(join(folder, 'tollgate.yaml'), config);
    args.push('--config', 'tollgate.yaml');
  }
  args.push('--admin', admin);
  const process_ = spawn(BINARY, args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env.PATH, ...env } });
  let said = '';
  const ended = new Promise((resolve) => process_.on('exit', resolve));
  await new Promise((resolve, reject) => {
    process_.stderr.on('data', (chunk) => {
      said += chunk;
      if (/\ncurl |note .*\n\n$/.test(said)) resolve();
    });
    process_.on('exit', () => reject(new Error(`the gateway ended: ${said}`)));
  });
  const url = said.match(/listening on +(\S+)/)[1];
  const ui = said.match(/dashboard +(\S+)/)[1];
  const key = readFileSync(join(folder, 'data', 'admin.key'), 'utf8').trim();
  return {
    url,
    ui,
    admin: new URL(ui).origin,
    key,
    folder,
    said: () => said,
    write: (text) => writeFileSync(join(folder, 'tollgate.yaml'), text),
    ask: (path, init = {}) => fetch(new URL(ui).origin + path, { ...init, headers: { 'x-api-key': key, ...init.headers } }),
    chat: (model = 'simulated', headers = {}, more = {}) =>
      fetch(`${url}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }], ...more }) }),
    async stop() {
      process_.kill('SIGTERM');
      process_.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Two instances beside each other, one that fails, and prices. */
export const CONFIG = `
models:
  simulated: {provider: simulated}
`;

let running;
export async function browser() {
  running ??= await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
  return running;
}
export async function close() {
  await running?.close();
  running = undefined;
}

/** A page that nobody is signed in on. Whatever the browser complains of fails the test. */
export async function page({ dark = false, width = 1280, height = 860 } = {}) {
  const context = await (await browser()).newContext({ viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce', permissions: ['clipboard-read', 'clipboard-write'] });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.complaints = [];
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) page.complaints.push(message.text());
  });
  return page;
}

export async function signIn(page, gateway, path = '') {
  await page.goto(gateway.ui + path);
  await page.getByLabel('Admin key').fill(gateway.key);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.locator('#main').waitFor();
}

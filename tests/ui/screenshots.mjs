// Pictures of every page, in both themes: tests/ui/run --screenshots [folder]
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { close, page as open, signIn } from './gateway.mjs';
import { demo, traffic } from './demo.mjs';

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });

/** A small picture of what is seen. */
async function picture(page, name) {
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: 80 });
  writeFileSync(join(folder, `${name}.webp`), Buffer.from(data, 'base64'));
  await session.detach();
}

const gateway = await demo();
try {
  await traffic(gateway, 400);
  let id = '';
  for (let tries = 0; !id && tries < 100; tries++) {
    const found = await (await gateway.ask('/tollgate/v1/usage/calls?limit=200')).json();
    id = found.calls.length >= 200 ? (found.calls.find((call) => call.attempts?.length > 1) ?? found.calls[0]).request_id : '';
  }
  const pages = [
    ['overview', 'overview?range=live', async (page) => { for (let part = 0; part < 60; part++) await traffic(gateway, 4 + 12 * Math.abs(Math.sin(part / 5))); await page.getByText('Live', { exact: true }).waitFor(); }],
    ['calls', 'calls'], ['call', `calls/${id}`], ['models', 'models'], ['consumers', 'consumers'], ['teams', 'consumers?tab=teams'],
    ['budgets', 'budgets'], ['routes', 'routes'], ['route', 'routes/routes/anything', (page) => page.getByTestId('valid').waitFor()], ['plugins', 'routes/plugins'],
    ['playground', 'playground?model=gpt-5', async (page) => {
      await page.getByLabel('Message').fill('What is the weather in Lisbon?');
      await page.getByRole('button', { name: 'Send' }).click();
      await page.getByTestId('facts').getByText('$').waitFor();
    }],
    ['logs', 'logs'], ['settings', 'settings'], ['audit', 'audit'],
  ];
  for (const [theme, size] of [['light', { width: 1280, height: 860 }], ['dark', { width: 1280, height: 860 }], ['phone', { width: 390, height: 844 }]]) {
    const page = await open({ dark: theme === 'dark', ...size });
    await page.goto(gateway.ui);
    await page.getByLabel('Admin key').waitFor();
    await picture(page, `sign-in-${theme}`);
    await signIn(page, gateway);
    for (const [name, path, before] of pages) {
      // The key is in the memory of the page where there are no sessions: pages are changed without loading them.
      await page.evaluate((to) => { history.pushState(null, '', `/ui/${to}`); dispatchEvent(new PopStateEvent('popstate')); }, path);
      await before?.(page);
      await page.waitForFunction(() => !document.querySelector('.skeleton'));
      await page.evaluate(() => document.fonts.ready);
      await picture(page, `${name}-${theme}`);
    }
    for (const complaint of page.complaints) console.log(theme, complaint);
    await page.context().close();
  }
} finally {
  await close();
  await gateway.stop();
}

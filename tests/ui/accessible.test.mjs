// Every page in both themes, wide and on a phone, for people who do not see, or use no mouse.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { close, page as open, signIn } from './gateway.mjs';
import { demo, traffic } from './demo.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PAGES = ['overview', 'overview?range=live', 'calls', 'models', 'consumers', 'consumers?tab=teams', 'consumers?tab=consumers', 'budgets', 'routes', 'routes/routes/anything', 'routes/plugins', 'playground', 'logs', 'settings', 'audit', 'nowhere'];
let gateway;

before(async () => {
  gateway = await demo();
  await traffic(gateway, 40);
});
after(async () => {
  await close();
  await gateway?.stop();
});

async function faults(page) {
  const found = await page.evaluate(async () => (await window.axe.run(document, { resultTypes: ['violations'] })).violations);
  return found.filter((one) => ['serious', 'critical'].includes(one.impact)).map((one) => `${one.id}: ${one.nodes.map((node) => `${node.html} ${node.failureSummary}`).slice(0, 3).join(' | ')}`);
}

for (const theme of ['light', 'dark']) {
  for (const [size, width] of [['wide', 1280], ['phone', 390]]) {
    test(`no page has a serious accessibility fault: ${theme}, ${size}`, async () => {
      const page = await open({ dark: theme === 'dark', width, height: 844 });
      try {
        // Scripts of the test are no part of the page, whose policy lets none in.
        await page.context().addInitScript(axe);
        await page.goto(gateway.ui);
        await page.getByLabel('Admin key').waitFor();
        const all = { 'sign in': await faults(page) };
        await signIn(page, gateway);
        for (const path of PAGES) {
          await page.evaluate((to) => { history.pushState(null, '', `/ui/${to}`); dispatchEvent(new PopStateEvent('popstate')); }, path);
          await page.waitForFunction(() => !document.querySelector('.skeleton'));
          all[path] = await faults(page);
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          if (overflow > 0) all[path].push(`the page is ${overflow} pixels wider than the window`);
        }
        assert.deepEqual(Object.fromEntries(Object.entries(all).filter(([, list]) => list.length)), {});
        assert.deepEqual(page.complaints, []);
      } finally {
        await page.context().close();
      }
    });
  }
}

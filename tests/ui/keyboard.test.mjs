// The dashboard with the keyboard alone.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { close, page as open, signIn } from './gateway.mjs';
import { demo, traffic } from './demo.mjs';

const PAGES = ['overview', 'overview?since=3h', 'calls', 'models', 'consumers', 'consumers?tab=teams', 'budgets', 'routes', 'routes/routes/anything', 'routes/plugins', 'playground', 'logs', 'settings', 'audit'];
let gateway;

before(async () => {
  gateway = await demo();
  await traffic(gateway, 16);
});
after(async () => {
  await close();
  await gateway?.stop();
});

const go = (page, to) => page.evaluate((path) => { history.pushState(null, '', `/ui/${path}`); dispatchEvent(new PopStateEvent('popstate')); }, to);

/** What has the focus: its name, whether that is seen, and where it is. */
const focused = (page) => page.evaluate(() => {
  const node = document.activeElement;
  if (!node || node === document.body) return null;
  const style = getComputedStyle(node);
  const box = node.getBoundingClientRect();
  return {
    name: `${node.tagName.toLowerCase()} ${node.getAttribute('aria-label') ?? node.textContent.trim().slice(0, 30)}`,
    outlined: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1,
    inside: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    main: !!node.closest('main'),
    dialog: !!node.closest('dialog[open]'),
  };
});

test('whatever Tab reaches is in the window and seen to have the focus, on every page', { timeout: 240_000 }, async () => {
  for (const [dark, width] of [[false, 1280], [true, 768], [false, 390]]) {
    const page = await open({ dark, width });
    try {
      await signIn(page, gateway);
      const wrong = {};
      for (const path of PAGES) {
        await go(page, path);
        await page.waitForFunction(() => !document.querySelector('.skeleton'));
        await page.evaluate(() => { document.activeElement?.blur(); scrollTo(0, 0); });
        let isInMain = false;
        for (let presses = 0; presses < 60; presses++) {
          await page.keyboard.press('Tab');
          const at = await focused(page);
          if (!at) break;
          isInMain ||= at.main;
          if (!at.outlined || !at.inside) (wrong[`${path} at ${width}`] ??= []).push(at.name);
        }
        if (!isInMain) (wrong[`${path} at ${width}`] ??= []).push('Tab does not reach the page');
      }
      assert.deepEqual(wrong, {});
      assert.deepEqual(page.complaints, []);
    } finally {
      await page.context().close();
    }
  }
});

test('a dialog keeps the focus, Escape closes it, and who opened it has the focus again', async () => {
  const page = await open();
  try {
    await signIn(page, gateway);
    for (const [path, button, title] of [
      ['budgets', 'New budget', 'New budget'],
      ['budgets', 'Edit budget of Everybody', 'Budget of Everybody'],
      ['budgets', 'New limit', 'New limit'],
      ['consumers', 'New key', 'New key'],
      ['routes/routes/anything', 'Delete', 'Delete anything?'],
    ]) {
      await go(page, path);
      await page.getByRole('button', { name: button, exact: true }).focus();
      await page.keyboard.press('Enter');
      const dialog = page.getByRole('dialog', { name: title });
      await dialog.waitFor();
      for (let presses = 0; presses < 25; presses++) {
        await page.keyboard.press('Tab');
        const at = await focused(page);
        // Between the last and the first the browser itself has it.
        assert.ok(!at || at.dialog, `${title}: ${at?.name}`);
      }
      await page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'hidden' });
      assert.match((await focused(page))?.name ?? 'nothing', new RegExp(button), title);
    }
    assert.deepEqual(page.complaints, []);
  } finally {
    await page.context().close();
  }
});

test('on a phone the menu leads into itself and back, and tabs go by arrows', async () => {
  const page = await open({ width: 390, height: 844 });
  try {
    await signIn(page, gateway);
    await page.getByRole('button', { name: 'Menu' }).focus();
    await page.keyboard.press('Enter');
    assert.match((await focused(page)).name, /Overview/);
    await page.keyboard.press('Escape');
    assert.match((await focused(page)).name, /Menu/);
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: 'Consumers & keys' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('tab', { name: /^Keys/ }).focus();
    await page.keyboard.press('ArrowRight');
    await page.getByRole('tab', { name: /^Teams/, selected: true }).waitFor();
    assert.match((await focused(page)).name, /Teams/);
    assert.deepEqual(page.complaints, []);
  } finally {
    await page.context().close();
  }
});

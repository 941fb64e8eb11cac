// Versions of the configuration, and the audit log.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { close, page as open, signIn, start } from './gateway.mjs';

after(close);

test('a bad plugin is refused while typing, a change is saved, seen in the audit log, and rolled back', { timeout: 120_000 }, async () => {
  const gateway = await start();
  const page = await open();
  try {
    const route = { name: 'as it was', uri: '/anything', plugins: { 'limit-count': { count: 5, time_window: 60 } }, upstream: { nodes: { '127.0.0.1:1980': 1 } } };
    assert.equal((await gateway.ask('/apisix/admin/routes/1', { method: 'PUT', body: JSON.stringify(route) })).status, 201);
    await signIn(page, gateway, 'routes/routes/1');
    await page.getByTestId('valid').waitFor();
    const json = page.getByTestId('json');
    await json.fill((await json.inputValue()).replace('"time_window": 60', '"time_window": -60'));
    await page.getByTestId('invalid').waitFor();
    await page.getByRole('alert').getByText(/limit-count/).waitFor();
    assert.equal(await page.getByRole('button', { name: 'Review and save' }).isEnabled(), false);
    await json.fill((await json.inputValue()).replace('"time_window": -60', '"time_window": 60').replace('"count": 5', '"count": 9').replace('as it was', 'changed'));
    await page.getByTestId('valid').waitFor();
    await page.getByRole('button', { name: 'Review and save' }).click();
    await page.getByRole('dialog', { name: 'What changes' }).getByRole('button', { name: 'Save' }).click();
    await page.getByRole('cell', { name: 'changed' }).waitFor();

    await page.getByRole('link', { name: 'Audit' }).click();
    await page.getByText(/chain unbroken/).waitFor();
    await page.getByRole('row').filter({ hasText: 'routes/1' }).filter({ hasText: 'update' }).first().click();
    await page.getByRole('dialog').getByText('as it was').waitFor();
    await page.keyboard.press('Escape');

    await page.getByRole('link', { name: 'Settings' }).click();
    await page.getByRole('button', { name: 'What changed in version 2' }).click();
    await page.getByRole('dialog').getByText('changed', { exact: true }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Roll back to this version 1', exact: true }).click();
    const dialog = page.getByRole('dialog', { name: 'Roll back to version 1?' });
    await dialog.getByText('as it was').waitFor();
    await dialog.getByRole('button', { name: 'Roll back' }).click();
    await page.locator('[data-version="3"]').waitFor();
    const stored = (await (await gateway.ask('/apisix/admin/routes/1')).json()).value;
    assert.deepEqual([stored.name, stored.plugins['limit-count'].count], ['as it was', 5]);
    assert.deepEqual(page.complaints, []);
  } finally {
    await page.context().close();
    await gateway.stop();
  }
});

test('a person stays signed in when the page is loaded again, and is signed out by the button', { timeout: 60_000 }, async () => {
  const gateway = await start();
  const page = await open();
  try {
    await signIn(page, gateway, 'settings');
    await page.reload();
    await page.getByRole('heading', { name: 'Settings', level: 1 }).waitFor();
    assert.equal(await page.evaluate(() => JSON.stringify([localStorage, sessionStorage, document.cookie])), '[{},{},""]', 'nothing that a script could read');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Admin key').waitFor();
    await page.reload();
    await page.getByLabel('Admin key').waitFor();
  } finally {
    await page.context().close();
    await gateway.stop();
  }
});

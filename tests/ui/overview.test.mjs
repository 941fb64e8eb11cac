// The Overview over longer times, and limits that are changed.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { close, page as open, signIn, start } from './gateway.mjs';

after(close);

test('percentiles are there in every range, by whom, in a time of one\'s own, and lead to its calls', { timeout: 120_000 }, async () => {
  const gateway = await start(`
models:
  slow: {provider: slow}
providers:
  slow: {kind: simulated, endpoint: "simulated:?latency_ms=120"}
`);
  const page = await open();
  try {
    for (let calls = 0; calls < 5; calls++) await (await gateway.chat('slow', {}, { stream: true })).arrayBuffer();
    // They are in the ledger about a second after they have ended; a time of one's own is asked for every half a minute only.
    for (let found = 0; found < 5; ) found = (await (await gateway.ask('/tollgate/v1/usage/calls?limit=50')).json()).calls.length;
    await signIn(page, gateway, 'overview?range=30d');
    const row = page.getByRole('region', { name: 'By model' }).getByRole('row', { name: /slow/ });
    for (const range of ['30d', '7d', '24h', '15m']) {
      await page.getByRole('button', { name: range, exact: true }).click();
      await page.getByRole('heading', { name: `Who and what, last ${range}` }).waitFor();
      // Calls, not ok, input, output, spend, share, then percentiles.
      await row.getByRole('cell').nth(7).getByText(/^[<\d][\d.]* m?s$/).waitFor();
      await row.getByRole('cell').nth(9).getByText(/^[<\d][\d.]* m?s$/).waitFor();
    }
    await page.getByRole('button', { name: 'Custom' }).click();
    await page.getByLabel('From').fill('2020-01-01T00:00');
    await page.getByRole('alert').getByText('ask for 400 days at most').waitFor();
    const local = (ms) => page.evaluate((at) => new Date(at - new Date().getTimezoneOffset() * 60_000).toISOString().slice(0, 16), ms);
    await page.getByLabel('From').fill(await local(Date.now() - 7_200_000));
    await page.getByLabel('To', { exact: true }).fill(await local(Date.now() + 120_000));
    await row.getByRole('cell').nth(1).getByText('5', { exact: true }).waitFor();
    assert.match(page.url(), /since=20\d\d-.*until=20\d\d-/);
    await row.getByRole('link', { name: 'slow' }).click();
    await page.getByRole('heading', { name: 'Calls' }).waitFor();
    assert.equal(await page.getByRole('region', { name: 'Calls' }).getByRole('row', { name: /slow/ }).count(), 5);
    assert.deepEqual(page.complaints, []);
  } finally {
    await page.context().close();
    await gateway.stop();
  }
});

test('a limit of the playground is made, holds, is changed and removed, and a mistake names its field', async () => {
  const gateway = await start();
  const page = await open();
  try {
    await signIn(page, gateway, 'budgets');
    await page.getByRole('button', { name: 'New limit' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('combobox', { name: 'For' }).selectOption('The playground');
    await dialog.getByLabel('Most').fill('1');
    await dialog.getByRole('button', { name: 'Create limit' }).click();
    await page.getByText('1 calls / minute').waitFor();
    const play = () => gateway.ask('/tollgate/v1/playground/v1/chat/completions', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ model: 'simulated', messages: [{ role: 'user', content: 'Hello' }] }) });
    const statuses = [];
    // A minute may end between two calls, but not between each two of four.
    for (let calls = 0; calls < 4; calls++) statuses.push((await play()).status);
    assert.ok(statuses.includes(200) && statuses.includes(429), String(statuses));
    assert.equal((await gateway.chat()).status, 200, 'clients are not held by it');
    await page.getByRole('button', { name: 'Edit limit of the playground' }).click();
    await dialog.getByLabel('Most').fill('600');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await page.getByText('600 calls / minute').waitFor();
    assert.equal((await play()).status, 200);
    await page.getByRole('button', { name: 'New budget' }).click();
    await dialog.getByLabel('Amount').fill('0');
    await dialog.getByRole('button', { name: 'Create budget' }).click();
    await dialog.getByRole('alert').getByText(/^usd: /).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Remove limit of the playground' }).click();
    await page.getByText('No limits yet').waitFor();
    assert.deepEqual(page.complaints, []);
  } finally {
    await page.context().close();
    await gateway.stop();
  }
});

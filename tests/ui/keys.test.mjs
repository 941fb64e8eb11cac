// Keys and budgets: made in the browser, used by an application.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { close, page as open, signIn, start } from './gateway.mjs';

after(close);

const CONFIG = `
models:
  paid: {provider: simulated}
prices:
  providers:
    simulated:
      models:
        paid: {per_request: 0.4}
auth: key
consumers:
  jack: {key: $env://JACK_KEY, models: ["*"]}
`;

test('a key is created, used, exceeds its budget, and the caller and the page say so', { timeout: 180_000 }, async () => {
  const gateway = await start(CONFIG, { env: { JACK_KEY: 'a-key-of-jack-0123456789' } });
  const page = await open();
  try {
    await signIn(page, gateway, 'consumers');
    await page.getByRole('button', { name: 'New key' }).click();
    const form = page.getByRole('dialog', { name: 'New key' });
    await form.getByRole('textbox', { name: 'Name', exact: true }).fill('my-app');
    await form.getByRole('combobox', { name: 'Whose it is' }).selectOption('Consumer jack');
    await form.getByRole('button', { name: 'Create key' }).click();
    const shown = page.getByRole('dialog', { name: 'Your new key' });
    const secret = await shown.getByTestId('secret').getByRole('group').innerText();
    assert.match(secret, /^tg-[0-9A-Za-z]{40,}$/);
    await shown.getByRole('button', { name: 'I have it' }).click();
    const row = page.locator('[data-key="my-app"]');
    await row.getByText(secret.slice(0, 8)).waitFor();
    assert.ok(!(await page.content()).includes(secret), 'it is shown once');

    await page.getByRole('link', { name: 'Budgets & limits' }).click();
    await page.getByRole('button', { name: 'New budget' }).click();
    const budget = page.getByRole('dialog', { name: 'New budget' });
    await budget.getByRole('combobox', { name: 'For' }).selectOption('Key my-app');
    await budget.getByRole('textbox', { name: 'Amount' }).fill('1');
    await budget.getByRole('combobox', { name: 'Per' }).selectOption('day');
    await budget.getByRole('button', { name: 'Create budget' }).click();
    const bar = page.getByRole('meter', { name: 'Spent of key my-app' });
    await bar.waitFor();

    const call = () => gateway.chat('paid', { authorization: `Bearer ${secret}` });
    const statuses = [];
    for (let calls = 0; calls < 6; calls++) {
      const answer = await call();
      statuses.push(answer.status);
      const body = await answer.json();
      if (answer.status === 429) {
        assert.match(JSON.stringify(body), /budget/i);
        assert.ok(answer.headers.get('x-tollgate-budget-reset') ?? answer.headers.get('retry-after'));
        break;
      }
    }
    assert.equal(statuses[0], 200);
    assert.equal(statuses.at(-1), 429, String(statuses));
    await page.locator('[data-budget^="key/"]').getByText(/exhausted|warned/).waitFor();

    await page.getByRole('link', { name: 'Consumers & keys' }).click();
    await row.getByRole('button', { name: 'Disable' }).click();
    await row.getByText('disabled', { exact: true }).waitFor();
    assert.equal((await call()).status, 401);
    await page.getByRole('button', { name: 'Undo' }).click();
    await row.getByText('active', { exact: true }).waitFor();
    await row.getByRole('button', { name: 'Rotate' }).click();
    const again = await page.getByRole('dialog', { name: 'Your new key' }).getByTestId('secret').getByRole('group').innerText();
    assert.notEqual(again, secret);
    assert.deepEqual(page.complaints, []);
  } finally {
    await page.context().close();
    await gateway.stop();
  }
});

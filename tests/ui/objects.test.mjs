// Routes and plugins: forms, JSON, checks, differences.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { close, page as open, signIn, start } from './gateway.mjs';

after(close);

test('a route is edited by form and JSON, a bad one is refused while typing, and undone after it is saved', async () => {
  const gateway = await start();
  const page = await open();
  try {
    const route = { name: 'first name', uri: '/anything', plugins: { 'limit-count': { count: 5, time_window: 60 } }, upstream: { nodes: { '127.0.0.1:1980': 1 } } };
    assert.equal((await gateway.ask('/apisix/admin/routes/1', { method: 'PUT', body: JSON.stringify(route) })).status, 201);
    await signIn(page, gateway, 'routes/routes/1');
    await page.getByTestId('valid').waitFor();
    const form = page.getByRole('region', { name: 'Form' });
    await form.getByLabel('name', { exact: true }).fill('second name');
    const json = page.getByTestId('json');
    assert.match(await json.inputValue(), /"second name"/, 'the JSON follows the form');
    await json.fill((await json.inputValue()).replace('"/anything"', '"/elsewhere"'));
    assert.equal(await form.getByLabel('uri', { exact: true }).inputValue(), '/elsewhere', 'the form follows the JSON');

    await json.fill((await json.inputValue()).replace('"/elsewhere"', '5'));
    await page.getByTestId('invalid').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Review and save' }).isEnabled(), false);
    await json.fill((await json.inputValue()).replace('"uri": 5', '"uri": "/elsewhere"').replace('"count": 5', '"count": 7'));
    await page.getByTestId('valid').waitFor();
    await page.getByRole('button', { name: 'Review and save' }).click();
    const dialog = page.getByRole('dialog', { name: 'What changes' });
    await dialog.getByText('first name').waitFor();
    await dialog.getByText('second name').waitFor();
    await dialog.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('cell', { name: 'second name' }).waitFor();
    const stored = async () => (await (await gateway.ask('/apisix/admin/routes/1')).json()).value;
    assert.equal((await stored()).plugins['limit-count'].count, 7);
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.getByText('Put back as it was').waitFor();
    assert.equal((await stored()).name, 'first name');
  } finally {
    await page.context().close();
    await gateway.stop();
  }
});

test('who saves what somebody else has changed meanwhile is told, and changes nothing', async () => {
  const gateway = await start();
  const page = await open();
  try {
    const put = (name) => gateway.ask('/apisix/admin/routes/1', { method: 'PUT', body: JSON.stringify({ name, uri: '/a', upstream: { nodes: { '127.0.0.1:1980': 1 } } }) });
    await put('mine');
    await signIn(page, gateway, 'routes/routes/1');
    await page.getByTestId('valid').waitFor();
    await put('theirs');
    await page.getByRole('region', { name: 'Form' }).getByLabel('name', { exact: true }).fill('again mine');
    await page.getByRole('button', { name: 'Review and save' }).click();
    await page.getByRole('dialog', { name: 'What changes' }).getByRole('button', { name: 'Save' }).click();
    await page.getByRole('status').getByText(/changed|modified|revision/i).waitFor();
    assert.equal((await (await gateway.ask('/apisix/admin/routes/1')).json()).value.name, 'theirs');
  } finally {
    await page.context().close();
    await gateway.stop();
  }
});

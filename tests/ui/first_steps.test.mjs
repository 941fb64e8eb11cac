// What somebody does in the first minutes.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { close, page as open, signIn, start } from './gateway.mjs';

after(close);

test('first run, first call, and it is seen on the Overview', async () => {
  const gateway = await start(null);
  const page = await open();
  try {
    assert.match(gateway.said(), /dashboard +http:\/\/127\.0\.0\.1:\d+\/ui\//);
    assert.match(gateway.said(), /admin\.key/);
    await signIn(page, gateway);
    await page.getByRole('heading', { name: 'No calls in the last 1h' }).waitFor();
    // The line that the page shows is run as it stands.
    const line = await page.getByRole('group', { name: 'Command' }).first().innerText();
    assert.match(line, /^curl -s http:\/\/127\.0\.0\.1:\d+\/v1\/chat\/completions /);
    const { execFileSync } = await import('node:child_process');
    const answer = JSON.parse(execFileSync('sh', ['-c', line], { encoding: 'utf8' }));
    assert.equal(answer.choices[0].message.role, 'assistant');
    await page.getByRole('cell', { name: 'simulated' }).first().waitFor();
    await page.getByRole('heading', { name: /No calls/ }).waitFor({ state: 'detached' });
    // The call's own story.
    await page.getByRole('link', { name: 'Calls', exact: true }).click();
    await page.getByRole('row').filter({ hasText: 'simulated' }).first().click();
    await page.getByRole('dialog').getByRole('heading', { name: 'Attempts' }).waitFor();
    assert.deepEqual(page.complaints, []);
  } finally {
    await page.context().close();
    await gateway.stop();
  }
});

test('a browser that comes to the admin port finds the dashboard, and a wrong key is told', async () => {
  const gateway = await start();
  const page = await open();
  try {
    await page.goto(gateway.admin);
    assert.equal(new URL(page.url()).pathname, '/ui/');
    await page.getByLabel('Admin key').fill('wrong');
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.getByRole('alert').waitFor();
    assert.equal((await fetch(gateway.admin, { redirect: 'manual' })).status, 404, 'programs are not sent there');
    const asset = (await (await fetch(gateway.ui)).text()).match(/\/ui\/assets\/[^"]+\.js/)[0];
    const file = await fetch(gateway.admin + asset);
    assert.match(file.headers.get('cache-control'), /immutable/);
    assert.equal((await fetch(gateway.ui)).headers.get('cache-control'), 'no-cache');
    assert.match((await fetch(gateway.ui)).headers.get('content-security-policy'), /default-src 'none'/);
    assert.equal((await fetch(`${gateway.ui}calls/some-id`)).headers.get('content-type'), 'text/html; charset=utf-8');
    assert.equal((await fetch(`${gateway.ui}assets/gone.js`)).status, 404);
  } finally {
    await page.context().close();
    await gateway.stop();
  }
});

test('the playground streams an answer, and shows what went over the wire in each dialect', async () => {
  const gateway = await start();
  const page = await open();
  try {
    await signIn(page, gateway, 'playground');
    for (const dialect of ['OpenAI Chat', 'OpenAI Responses', 'Anthropic', 'Gemini', 'Bedrock Converse', 'Cohere']) {
      await page.getByRole('combobox', { name: 'Dialect' }).selectOption(dialect);
      await page.getByLabel('Message').fill('Hello');
      await page.getByRole('button', { name: 'Send' }).click();
      await page.getByTestId('facts').getByText(/→/).waitFor();
      const said = await page.getByRole('log', { name: 'Conversation' }).locator('.turn.assistant p').last().innerText();
      assert.match(said, /hello/i, dialect);
      const raw = await page.getByRole('group', { name: 'Raw answer', exact: true }).innerText();
      assert.match(raw, /hello/i, dialect);
      await page.getByRole('button', { name: 'Clear' }).click();
    }
    await page.getByText('System prompt, tools, settings', { exact: true }).click();
    await page.getByRole('button', { name: 'Take an example tool' }).click();
    await page.getByRole('combobox', { name: 'Dialect' }).selectOption('Anthropic');
    await page.getByLabel('Message').fill('What is the weather?');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByText(/^get_weather\(\{/).waitFor();
    assert.deepEqual(page.complaints, []);
  } finally {
    await page.context().close();
    await gateway.stop();
  }
});

test('the address keeps filters, and keys of the keyboard go to pages', async () => {
  const gateway = await start();
  const page = await open();
  try {
    await signIn(page, gateway);
    await page.keyboard.press('g');
    await page.keyboard.press('c');
    await page.getByRole('heading', { name: 'Calls', level: 1 }).waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('consumer:jack');
    await page.keyboard.press('Enter');
    await page.waitForURL(/consumer=jack/);
    await page.getByRole('button', { name: /^consumer: jack/ }).click();
    await page.waitForURL((url) => !url.search.includes('consumer'));
    await page.getByRole('heading', { name: 'Calls', level: 1 }).click();
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
  } finally {
    await page.context().close();
    await gateway.stop();
  }
});

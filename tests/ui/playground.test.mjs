// A chat with any model, with nothing to enter.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { close, page as open, signIn, start } from './gateway.mjs';
import { models } from './provider.mjs';

after(close);

const DIALECTS = ['openai_chat', 'openai_responses', 'anthropic_messages', 'gemini_generate', 'bedrock_converse', 'cohere_chat'];
const config = (provider) => `
models:
  simulated: {provider: simulated}
  tools: {provider: peer}
  hot: {provider: peer}
  slow: {provider: peer}
providers:
  peer: {kind: openai-compatible, endpoint: "${provider.url}/v1"}
prices:
  models:
    simulated: {input: 0, output: 0, per_request: 0.4}
    tools: {input: 0, output: 0, per_request: 0.4}
auth: key
consumers:
  jack: {key: jack-key-0123456789, models: ["simulated"]}
`;

async function begin(body) {
  const provider = await models();
  const gateway = await start(config(provider));
  const page = await open();
  const go = (to) => page.evaluate((path) => { history.pushState(null, '', `/ui/${path}`); dispatchEvent(new PopStateEvent('popstate')); }, to);
  const say = async (text) => {
    await page.getByLabel('Message').fill(text);
    await page.getByRole('button', { name: 'Send' }).click();
  };
  try {
    await signIn(page, gateway, 'playground');
    await body({ gateway, page, go, say });
    assert.deepEqual(page.complaints, []);
  } finally {
    await page.context().close();
    await gateway.stop();
    provider.stop();
  }
}

test('whoever is signed in chats in every dialect without a key, streamed, and the ledger names them', { timeout: 180_000 }, () =>
  begin(async ({ gateway, page, go, say }) => {
    for (const dialect of DIALECTS) {
      await go(`playground?model=tools&dialect=${dialect}`);
      await say('Hello');
      await page.getByRole('log').getByText('Good morning', { exact: true }).waitFor();
      await page.getByTestId('facts').getByText('$0.4').waitFor();
      const raw = await page.getByRole('group', { name: 'Raw answer' }).last().innerText();
      assert.match(raw, dialect === 'bedrock_converse' ? /event contentBlockDelta\n\{/ : /data: \{/, `${dialect}: ${raw}`);
      assert.match(await page.getByRole('group', { name: 'Head of the answer' }).innerText(), /^200/);
      await page.getByRole('button', { name: 'Clear' }).click();
    }
    const { calls } = await (await gateway.ask('/tollgate/v1/usage/calls?limit=50')).json();
    // The list of models is a call too.
    const made = calls.filter((call) => call.model_asked === 'tools');
    assert.equal(made.length, DIALECTS.length);
    for (const call of made) assert.match(call.consumer, /^playground\//);
    assert.deepEqual((await (await gateway.ask('/tollgate/v1/keys')).json()).items, []);
  }));

test('a tool is called, given its result, and the chat goes on, in every dialect, streamed and whole', { timeout: 240_000 }, () =>
  begin(async ({ page, go, say }) => {
    await page.getByText('System prompt, tools, settings').click();
    await page.getByRole('button', { name: 'Take an example tool' }).click();
    for (const [at, dialect] of DIALECTS.entries()) {
      for (const stream of at % 2 ? [true, false] : [false, true]) {
        await go(`playground?model=tools&dialect=${dialect}`);
        await page.getByLabel('Stream').setChecked(stream);
        await say('What is the weather in Lisbon?');
        const call = page.locator('[data-call="get_weather"]');
        await call.waitFor();
        const shown = `${dialect}, ${stream ? 'streamed' : 'whole'}`;
        assert.match(await call.innerText(), /get_weather\(\{\s*"city": "Lisbon"\s*\}\)/, shown);
        await page.getByLabel('Result of get_weather').fill('sunny, 31 degrees');
        await page.getByRole('button', { name: 'Give result' }).click();
        await page.getByRole('log').getByText(/The tool says .*sunny, 31 degrees/).waitFor();
        await page.getByRole('button', { name: 'Clear' }).click();
      }
    }
  }));

test('an answer is stopped, an error is shown as it came, and a key of a consumer counts in place of the person', { timeout: 120_000 }, () =>
  begin(async ({ gateway, page, go, say }) => {
    await go('playground?model=slow');
    await say('Count');
    await page.getByRole('log').getByText(/and one and one/).waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByRole('log').getByText('(stopped)').waitFor();
    await go('playground?model=hot');
    await say('Is it?');
    await page.getByRole('log').getByText('this is too hot').waitFor();
    assert.match(await page.getByRole('group', { name: 'Raw answer' }).last().innerText(), /"code":\s*"too_hot"/);
    assert.match(await page.getByRole('group', { name: 'Head of the answer' }).innerText(), /^400/);

    await page.getByText('Call as a consumer').click();
    await page.getByLabel('Key of a consumer').fill('jack-key-0123456789');
    await say('And now?');
    await page.getByRole('log').getByText(/model .hot. (does not exist|is not)|no model|not/i).last().waitFor();
    assert.match(await page.getByRole('group', { name: 'Head of the answer' }).innerText(), /^404/);
    await go('playground?model=simulated');
    await say('Hello');
    await page.getByTestId('facts').getByText('$0.4').waitFor();
    const { calls } = await (await gateway.ask('/tollgate/v1/usage/calls?limit=1')).json();
    assert.equal(calls[0].consumer, 'jack');
  }));

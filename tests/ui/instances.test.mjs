// Taking an instance out of service while it is used.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { close, page as open, signIn, start } from './gateway.mjs';

after(close);

test('an instance is disabled under load, traffic moves, and comes back when it is enabled', async () => {
  const gateway = await start(`
models:
  chat:
    instances:
      - {name: left, provider: simulated}
      - {name: right, provider: simulated}
`);
  const page = await open();
  const answered = { left: 0, right: 0 };
  let going = true;
  const load = Array.from({ length: 2 }, async () => {
    while (going) {
      const answer = await gateway.chat('chat');
      assert.equal(answer.status, 200);
      await answer.arrayBuffer();
      answered[answer.headers.get('x-tollgate-instance')] += 1;
    }
  });
  /** Waits until an instance has answered so many more calls; fails if the other one has to do nothing. */
  const more = async (name, calls) => {
    const wanted = answered[name] + calls;
    while (answered[name] < wanted) await (await gateway.chat('chat')).arrayBuffer();
  };
  try {
    await more('left', 5);
    await more('right', 5);
    await signIn(page, gateway, 'models');
    const row = page.locator('[data-instance="left"]');
    await row.getByText('in service').waitFor();
    await row.getByRole('button', { name: 'Disable left' }).click();
    await row.getByText('disabled', { exact: true }).waitFor();
    // Calls that were under way may still end there; then none does.
    await more('right', 20);
    const left = answered.left;
    await more('right', 30);
    assert.equal(answered.left, left);
    await row.getByRole('button', { name: 'Enable left' }).click();
    await row.getByText('in service').waitFor();
    await more('left', 20);
    await page.getByRole('button', { name: 'Undo' }).last().click();
    await row.getByText('disabled', { exact: true }).waitFor();
    assert.deepEqual(page.complaints, []);
  } finally {
    going = false;
    await Promise.all(load);
    await page.context().close();
    await gateway.stop();
  }
});

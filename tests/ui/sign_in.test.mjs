// Signing in at an OpenID Connect provider, by the button.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, test } from 'node:test';
import { close, page as open, start } from './gateway.mjs';
import { people } from './provider.mjs';

after(close);

/** A port that is free: the provider must know where people come back to before the gateway runs. */
async function port() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
const config = (issuer, at) => `
models:
  simulated: {provider: simulated}
admin:
  oidc:
    issuer: "${issuer}"
    client_id: tollgate
    redirect_url: "http://127.0.0.1:${at}/tollgate/v1/session/oidc/callback"
    roles: {platform: editor}
`;

test('the button leads to the provider and back, with the role of the groups; who is refused is told why', async () => {
  const provider = await people();
  const at = await port();
  const gateway = await start(config(provider.url, at), { admin: `127.0.0.1:${at}` });
  const page = await open();
  try {
    const button = page.getByRole('link', { name: 'Sign in with your organisation' });
    await page.goto(`${gateway.ui}models?q=sim`);
    await button.click();
    await page.getByRole('link', { name: 'I am ann' }).click();
    // Where the person wanted to go.
    await page.getByRole('heading', { name: 'Models & instances' }).waitFor();
    assert.equal(new URL(page.url()).search, '?q=sim');
    const who = page.locator('.who');
    assert.match(await who.innerText(), /ann/);
    assert.equal(await who.getByTitle('editor').count(), 1);
    assert.equal((await (await gateway.ask('/tollgate/v1/status')).json()).features.oidc, true);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in to Tollgate' }).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: 'Sign in to Tollgate' }).waitFor();

    await button.click();
    await page.getByRole('link', { name: 'I am tim' }).click();
    await page.getByRole('alert').getByText('tim was not signed in: none of their groups has a role here').waitFor();
    await page.reload();
    await page.getByLabel('Admin key').waitFor();
    assert.equal(await page.getByRole('alert').count(), 0, 'it is said once');

    await button.click();
    await page.getByRole('link', { name: 'Cancel' }).click();
    await page.getByRole('alert').getByText(/the provider says .access_denied/).waitFor();

    assert.deepEqual(page.complaints, []);
  } finally {
    await page.context().close();
    await gateway.stop();
    provider.stop();
  }
});

test('a provider that does not answer leads back to the sign-in page, which says so', async () => {
  const at = await port();
  const gateway = await start(config(`http://127.0.0.1:${await port()}`, at), { admin: `127.0.0.1:${at}` });
  const page = await open();
  try {
    await page.goto(gateway.ui);
    await page.getByRole('link', { name: 'Sign in with your organisation' }).click();
    await page.getByRole('alert').getByText(/provider/).waitFor();
    assert.equal(new URL(page.url()).pathname, '/ui/');
  } finally {
    await page.context().close();
    await gateway.stop();
  }
});

test('there is no button where there is no provider', async () => {
  const gateway = await start();
  const page = await open();
  try {
    await page.goto(gateway.ui);
    await page.getByLabel('Admin key').waitFor();
    assert.equal(await page.getByRole('link', { name: 'Sign in with your organisation' }).count(), 0);
  } finally {
    await page.context().close();
    await gateway.stop();
  }
});

// Peers of a gateway: a provider of models that calls tools, fails and is slow when asked to; and one at which people sign in.
import { createHash, createSign, generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

async function listen(answer) {
  const server = createServer((request, response) => {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => answer(request, response, Buffer.concat(pieces).toString()));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, stop: () => { server.closeAllConnections(); server.close(); } };
}

/** OpenAI's chat. `hot` refuses, `slow` goes on for ever, others call the first tool that is offered and tell what it gave. */
export function models() {
  return listen((request, response, text) => {
    const asked = JSON.parse(text);
    if (asked.model === 'hot') {
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ error: { message: 'this is too hot', type: 'invalid_request_error', code: 'too_hot' } }));
      return;
    }
    const result = asked.messages.filter((one) => one.role === 'tool').at(-1);
    const tool = !result && asked.tools?.[0]?.function.name;
    const call = tool && { id: 'call_1', type: 'function', function: { name: tool, arguments: '{"city":"Lisbon"}' } };
    const content = result ? `The tool says ${result.content}` : tool ? null : 'Good morning';
    const usage = { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13 };
    const about = { id: 'chat_1', created: 1, model: asked.model };
    if (!asked.stream) {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ ...about, object: 'chat.completion', choices: [{ index: 0, finish_reason: call ? 'tool_calls' : 'stop', message: { role: 'assistant', content, ...(call ? { tool_calls: [call] } : {}) } }], usage }));
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const say = (delta, more = {}) => response.write(`data: ${JSON.stringify({ ...about, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: null, ...more }] })}\n\n`);
    if (asked.model === 'slow') {
      say({ role: 'assistant', content: 'One' });
      const going = setInterval(() => say({ content: ' and one' }), 20);
      response.on('close', () => clearInterval(going));
      return;
    }
    if (call) {
      say({ role: 'assistant', tool_calls: [{ index: 0, ...call, function: { name: tool, arguments: '' } }] });
      for (const piece of ['{"city":', '"Lisbon"}']) say({ tool_calls: [{ index: 0, function: { arguments: piece } }] });
    } else for (const word of content.split(/(?<= )/)) say({ content: word });
    say({}, { finish_reason: call ? 'tool_calls' : 'stop' });
    response.end(`data: ${JSON.stringify({ ...about, object: 'chat.completion.chunk', choices: [], usage })}\n\ndata: [DONE]\n\n`);
  });
}

/** An OpenID Connect provider with a page that asks who one is: `ann` is in `platform`, `tim` in nothing that counts. */
export async function people() {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const groups = { ann: ['platform'], tim: ['visitors'] };
  const codes = new Map();
  const base64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
  const provider = await listen((request, response, text) => {
    const url = new URL(request.url, provider.url);
    const json = (value, status = 200) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    const asked = Object.fromEntries(url.searchParams);
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        return json({ issuer: provider.url, authorization_endpoint: `${provider.url}/authorize`, token_endpoint: `${provider.url}/token`, jwks_uri: `${provider.url}/keys`, end_session_endpoint: `${provider.url}/leave` });
      case '/keys':
        return json({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'RS256', use: 'sig' }] });
      case '/authorize': {
        const back = (who) => {
          const to = new URL(asked.redirect_uri);
          to.searchParams.set('state', asked.state);
          if (who) {
            const code = randomUUID();
            codes.set(code, { ...asked, who });
            to.searchParams.set('code', code);
          } else to.searchParams.set('error', 'access_denied');
          return to.href.replaceAll('&', '&amp;');
        };
        return response.writeHead(200, { 'content-type': 'text/html' }).end(`<h1>Who are you?</h1>${Object.keys(groups).map((who) => `<a href="${back(who)}">I am ${who}</a> `).join('')}<a href="${back('')}">Cancel</a>`);
      }
      case '/token': {
        const form = Object.fromEntries(new URLSearchParams(text));
        const given = codes.get(form.code);
        codes.delete(form.code);
        if (!given || createHash('sha256').update(form.code_verifier).digest('base64url') !== given.code_challenge || form.redirect_uri !== given.redirect_uri) return json({ error: 'invalid_grant' }, 400);
        const now = Math.floor(Date.now() / 1000);
        const claims = { iss: provider.url, aud: given.client_id, sub: given.who, preferred_username: given.who, groups: groups[given.who], nonce: given.nonce, iat: now, exp: now + 300 };
        const signed = `${base64({ alg: 'RS256', kid: 'one' })}.${base64(claims)}`;
        return json({ access_token: 'access', token_type: 'Bearer', id_token: `${signed}.${createSign('RSA-SHA256').update(signed).sign(privateKey, 'base64url')}` });
      }
      case '/leave':
        return response.writeHead(302, { location: asked.post_logout_redirect_uri }).end();
      default:
        return json({}, 404);
    }
  });
  return provider;
}

// A gateway with something to see: models with two instances, one of which fails now and then, consumers, prices, objects.
import { start } from './gateway.mjs';

export const DEMO = `
models:
  gpt-5:
    instances:
      - {name: openai-us, provider: us, model: gpt-5, weight: 3}
      - {name: openai-eu, provider: eu, model: gpt-5, weight: 1}
    fallback: [claude-sonnet-4-5]
  claude-sonnet-4-5: {provider: claude}
  gpt-5-mini: {provider: us}
  simulated: {provider: simulated}
providers:
  us: {kind: simulated, endpoint: "simulated:?latency_ms=40&chunk_ms=2"}
  eu: {kind: simulated, endpoint: "simulated:?latency_ms=90&chunk_ms=3&fail=503&fail_every=3"}
  claude: {kind: simulated, endpoint: "simulated:?latency_ms=120&chunk_ms=4"}
prices:
  providers:
    simulated:
      models:
        gpt-5: {input: 1.25, output: 10}
        gpt-5-mini: {input: 0.25, output: 2}
        claude-sonnet-4-5: {input: 3, output: 15}
        simulated: {input: 0.10, output: 0.40}
consumers:
  team-search: {key: $env://SEARCH_KEY, models: ["*"]}
  team-web: {key: $env://WEB_KEY, models: ["*"]}
  batch-jobs: {key: $env://BATCH_KEY, models: ["gpt-5-mini", "simulated"]}
`;

export const KEYS = { SEARCH_KEY: 'search-key-0123456789', WEB_KEY: 'web-key-0123456789', BATCH_KEY: 'batch-key-0123456789' };

const QUESTIONS = ['Summarise the minutes of Monday in five points.', 'Which of our plans includes single sign-on?', 'Translate “the queue is full” into Portuguese.', 'Write a haiku about rate limits.', 'What changed between version 3 and 4 of the contract?'];

/** Makes calls of all sorts, a few at a time. */
export async function traffic(gateway, count) {
  count = Math.round(count);
  const kinds = [['gpt-5', 'SEARCH_KEY'], ['gpt-5', 'WEB_KEY'], ['claude-sonnet-4-5', 'WEB_KEY'], ['gpt-5-mini', 'BATCH_KEY'], ['simulated', 'SEARCH_KEY'], ['gpt-5', 'SEARCH_KEY'], ['gpt-5-mini', 'BATCH_KEY'], ['gpt-9', 'WEB_KEY']];
  const one = async (number) => {
    const [model, key] = kinds[(number * 7) % (number % 5 === 4 ? kinds.length : kinds.length - 1)];
    const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${KEYS[key]}` },
      body: JSON.stringify({ model, stream: number % 2 === 0, max_tokens: 60, messages: [{ role: 'user', content: QUESTIONS[number % QUESTIONS.length].repeat(1 + (number % 4)) }] }),
    });
    await answer.arrayBuffer();
  };
  for (let done = 0; done < count; done += 8) await Promise.all(Array.from({ length: Math.min(8, count - done) }, (_, at) => one(done + at)));
}

export async function demo() {
  const gateway = await start(DEMO, { env: KEYS });
  const put = async (path, value, method = 'PUT') => {
    const answer = await gateway.ask(path, { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) });
    return answer.ok ? answer.json() : null;
  };
  await put('/apisix/admin/routes/anything', { name: 'Answers from a provider', uri: '/anything', methods: ['POST'], plugins: { 'ai-proxy': { provider: 'openai', auth: { header: { Authorization: 'Bearer $env://OPENAI_API_KEY' } }, options: { model: 'gpt-5' } }, 'limit-count': { count: 100, time_window: 60 } } });
  await put('/apisix/admin/routes/docs', { name: 'Documentation', uri: '/docs/*', hosts: ['docs.example.com'], upstream: { nodes: { '127.0.0.1:1980': 1 } } });
  await put('/apisix/admin/consumers', { username: 'jack', desc: 'The reporting tool', plugins: { 'key-auth': { key: '$env://WEB_KEY' } } });
  // What this gateway does not have yet is left out: the pages say so.
  await put('/tollgate/v1/teams', { id: 'product', name: 'Product', parent: null, models: null }, 'POST');
  await put('/tollgate/v1/teams', { id: 'search', name: 'Search', parent: 'product', models: ['gpt-*', 'simulated'] }, 'POST');
  await put('/tollgate/v1/teams', { id: 'research', name: 'Research', parent: null, models: null }, 'POST');
  for (const [name, team] of [['search-service', 'search'], ['notebook', 'research'], ['ci', 'product']]) await put('/tollgate/v1/keys', { name, team }, 'POST');
  await put('/tollgate/v1/budgets', { for: 'all', usd: '2.500000', per: 'day', warn_at: [0.8], hard: true }, 'POST');
  await put('/tollgate/v1/budgets', { for: 'consumer/team-search', usd: '0.600000', per: 'month', warn_at: [0.3, 0.8], hard: false }, 'POST');
  await put('/tollgate/v1/budgets', { for: 'team/research', tokens: 500000, per: 'week', warn_at: [0.9], hard: false }, 'POST');
  await put('/tollgate/v1/limits', { for: 'all', requests: 6000, per: 'minute' }, 'POST');
  await put('/tollgate/v1/limits', { for: 'team/search', concurrent: 20 }, 'POST');
  return gateway;
}

/** Everything the dashboard asks of the gateway goes through here. */

export interface Session {
  name: string;
  role: 'admin' | 'editor' | 'viewer' | 'team_admin';
  teams: string[];
  csrf?: string;
  expires_at?: string | null;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code = '',
    readonly field = '',
    readonly body: unknown = null,
  ) {
    super(message);
  }
}

/** Who is signed in. A key is kept in memory only, and only where the gateway has no sessions. */
export const auth = $state<{ key: string; session: Session | null; known: boolean; methods: string[] }>({
  key: '',
  session: null,
  known: false,
  methods: ['key'],
});

/** How lines for a shell name the key of the Admin API. */
export const shell = $state({ key: '$admin_key' });

/** Lines for a shell read the key from its file, where the gateway says that there is one. */
export async function lookUpKeyFile() {
  const { key_file } = await get<{ key_file: string | null }>('/tollgate/v1/status');
  if (key_file) shell.key = `$(cat '${key_file.replaceAll("'", "'\\''")}')`;
}

export const mayWrite = () => auth.session !== null && auth.session.role !== 'viewer';

function headers(init: RequestInit): Headers {
  const all = new Headers(init.headers);
  if (auth.key) all.set('x-api-key', auth.key);
  else if (auth.session?.csrf && init.method && init.method !== 'GET') all.set('x-tollgate-csrf', auth.session.csrf);
  return all;
}

function textOf(status: number, body: unknown): { message: string; code: string; field: string } {
  const value = body as Record<string, unknown> | null;
  const error = value?.error;
  if (error && typeof error === 'object') {
    const { message, code, field } = error as Record<string, string>;
    return { message: message ?? '', code: code ?? '', field: field ?? '' };
  }
  const message =
    [value?.error_msg, value?.message, value?.description, typeof error === 'string' ? error : ''].find(
      (text) => typeof text === 'string' && text,
    ) ?? '';
  return { message: String(message), code: '', field: '' };
}

const HINTS: Record<number, string> = {
  401: 'You are signed out. Sign in again.',
  403: 'Your role does not allow this, or the gateway does not take calls from your address.',
  404: 'The gateway does not know this.',
  409: 'Somebody else has it in use, or it comes from a file. Change it there.',
  412: 'Somebody changed this meanwhile. Load it again, then repeat your change.',
  429: 'Too many requests. Wait a moment.',
  503: 'The gateway cannot do this now. Its log says why.',
};

/** Asks, and throws what went wrong as an `ApiError` that says what to do. */
export async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, { ...init, headers: headers(init), credentials: 'same-origin' });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiError(0, 'The gateway does not answer. Is it running, and can this machine reach it?');
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let body: unknown = null;
  try {
    body = JSON.parse(text);
  } catch {
    // Not JSON: the status says enough.
  }
  const { message, code, field } = textOf(answer.status, body);
  if (answer.status === 401 && auth.session && !path.endsWith('/session')) {
    auth.session = null;
    auth.key = '';
  }
  throw new ApiError(answer.status, message || HINTS[answer.status] || `The gateway answered ${answer.status}.`, code, field, body);
}

/** Makes a call on the playground: what it was answered is given as it came, also where that is an error. */
export async function play(path: string, init: RequestInit): Promise<Response> {
  const answer = await fetch(`/tollgate/v1/playground${path}`, { ...init, headers: headers(init), credentials: 'same-origin' });
  if (answer.headers.has('x-tollgate-playground-key')) return answer;
  // The gateway's own word: nobody is signed in, or the role may not.
  const error = textOf(answer.status, await answer.json().catch(() => null));
  if (answer.status === 401) auth.session = null;
  throw new ApiError(answer.status, error.message || HINTS[answer.status] || `The gateway answered ${answer.status}.`, error.code);
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await ask(path, { signal })).json() as Promise<T>;
}

/** Reads one thing with what `If-Match` needs. */
export async function read<T>(path: string): Promise<{ value: T; etag: string }> {
  const answer = await ask(path);
  const value = (await answer.json()) as T;
  const inside = (value as Record<string, unknown> | null)?.etag;
  return { value, etag: answer.headers.get('etag') ?? (typeof inside === 'string' ? inside : '') };
}

export async function send<T>(method: string, path: string, body?: unknown, etag?: string): Promise<T> {
  const init: RequestInit = { method, headers: {} };
  const head = init.headers as Record<string, string>;
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    head['content-type'] = 'application/json';
  }
  if (etag) head['if-match'] = etag;
  const answer = await ask(path, init);
  const text = await answer.text();
  return (text.trim() ? JSON.parse(text) : null) as T;
}

/** Follows events until `signal` ends it; comes back by itself when the connection breaks. */
export async function follow<T>(path: string, signal: AbortSignal, on: (event: T) => void, state?: (up: boolean) => void) {
  while (!signal.aborted) {
    try {
      const answer = await ask(path, { signal });
      const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
      if (!reader) return;
      state?.(true);
      let text = '';
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        text += value;
        let end: number;
        while ((end = text.indexOf('\n\n')) >= 0) {
          const data = text.slice(0, end).split('\n').filter((line) => line.startsWith('data:'));
          text = text.slice(end + 2);
          if (data.length) on(JSON.parse(data.map((line) => line.slice(5)).join('\n')) as T);
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status >= 400 && error.status < 500) throw error;
    }
    state?.(false);
    await new Promise((resolve) => setTimeout(resolve, 1500));
  }
}

const SESSION = '/tollgate/v1/session';

/** What the address of a gateway that was started by hand signs in with, once. */
export const link = $state({ wrong: refused() });

/** Why the gateway has sent somebody back who came from their provider; said once. */
function refused(): string {
  const told = document.cookie.split('; ').find((pair) => pair.startsWith('tollgate_refused='));
  if (!told) return '';
  document.cookie = 'tollgate_refused=; Path=/ui; Max-Age=0';
  try {
    return decodeURIComponent(told.slice('tollgate_refused='.length));
  } catch {
    return 'The sign-in was refused.';
  }
}

/** Whether somebody is signed in already, by cookie; or may be, by the address. */
export async function restore() {
  const code = new URLSearchParams(location.hash.slice(1)).get('code');
  if (code) {
    history.replaceState(null, '', location.pathname + location.search);
    try {
      auth.session = await send<Session>('POST', SESSION, { code });
    } catch (error) {
      link.wrong = (error as Error).message;
    }
  }
  if (!auth.session) await resume();
  auth.known = true;
}

async function resume() {
  try {
    auth.session = await get<Session>(SESSION);
  } catch (error) {
    const methods = error instanceof ApiError ? (error.body as { methods?: string[] } | null)?.methods : undefined;
    if (methods) auth.methods = methods;
  }
}

export async function signIn(key: string) {
  try {
    auth.session = await send<Session>('POST', SESSION, { key });
    auth.key = '';
  } catch (error) {
    // A gateway without sessions: the key goes along with every request, and is forgotten with the page.
    if (!(error instanceof ApiError) || (error.status !== 404 && error.status !== 405)) throw error;
    const answer = await fetch('/tollgate/v1/status', { headers: { 'x-api-key': key } });
    if (answer.status === 401) throw new ApiError(401, 'This key does not open the gateway.');
    if (!answer.ok) throw new ApiError(answer.status, HINTS[answer.status] ?? `The gateway answered ${answer.status}.`);
    auth.key = key;
    auth.session = { name: 'admin key', role: 'admin', teams: [] };
  }
}

export async function signOut() {
  try {
    const gone = auth.key ? null : await send<{ sign_out_at?: string } | null>('DELETE', SESSION);
    // The provider still knows the person: another one at this browser would be signed in as that one.
    if (gone?.sign_out_at) {
      location.href = gone.sign_out_at;
      return;
    }
  } finally {
    auth.key = '';
    auth.session = null;
  }
}

/** What all pages share: where we are, toasts, the theme. */

export type Params = Record<string, string>;

function parse() {
  const path = location.pathname.replace(/^\/ui\/?/, '').split('/').map(decodeURIComponent).filter(Boolean);
  return { path, params: Object.fromEntries(new URLSearchParams(location.search)) as Params };
}

/** The address, which holds every filter: a copied link shows the same. */
export const place = $state(parse());

function moved() {
  Object.assign(place, parse());
}
addEventListener('popstate', moved);

export function go(to: string) {
  history.pushState(null, '', to.startsWith('/ui') ? to : `/ui/${to}`);
  moved();
  scrollTo(0, 0);
}

/** Changes filters without a new entry in the history. */
export function filter(change: Params) {
  const params = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(change)) {
    if (value) params.set(name, value);
    else params.delete(name);
  }
  const query = params.toString();
  history.replaceState(null, '', location.pathname + (query ? `?${query}` : ''));
  moved();
}

/** Links of the dashboard change the page without loading it. */
export function link(node: HTMLAnchorElement) {
  const click = (event: MouseEvent) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(node.getAttribute('href') ?? '');
  };
  node.addEventListener('click', click);
  return { destroy: () => node.removeEventListener('click', click) };
}

export interface Toast {
  id: number;
  text: string;
  kind: 'ok' | 'bad';
  undo?: () => void | Promise<void>;
}

export const toasts = $state<Toast[]>([]);
let next = 1;

export function toast(text: string, kind: Toast['kind'] = 'ok', undo?: Toast['undo']) {
  const id = next++;
  toasts.push({ id, text, kind, undo });
  if (toasts.length > 4) toasts.shift();
  setTimeout(() => dismiss(id), kind === 'bad' || undo ? 12_000 : 5_000);
}

export function dismiss(id: number) {
  const at = toasts.findIndex((one) => one.id === id);
  if (at >= 0) toasts.splice(at, 1);
}

export const failed = (error: unknown) => toast(error instanceof Error ? error.message : String(error), 'bad');

export type Theme = 'system' | 'light' | 'dark';
const dark = matchMedia('(prefers-color-scheme: dark)');

function chosen(): Theme {
  try {
    const theme = localStorage.getItem('tollgate-theme');
    return theme === 'light' || theme === 'dark' ? theme : 'system';
  } catch {
    return 'system';
  }
}

export const theme = $state<{ choice: Theme; dark: boolean }>({ choice: chosen(), dark: false });

export function applyTheme(choice: Theme) {
  theme.choice = choice;
  theme.dark = choice === 'system' ? dark.matches : choice === 'dark';
  document.documentElement.dataset.theme = theme.dark ? 'dark' : 'light';
  try {
    if (choice === 'system') localStorage.removeItem('tollgate-theme');
    else localStorage.setItem('tollgate-theme', choice);
  } catch {
    // The choice holds for this page.
  }
}
dark.addEventListener('change', () => applyTheme(theme.choice));
applyTheme(theme.choice);

export async function copy(text: string, what = 'Copied') {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS browsers have no clipboard beyond localhost.
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  toast(what);
}

/** Loads something, again when asked; keeps what was there while it loads. */
export class Resource<T> {
  value = $state.raw<T | null>(null);
  error = $state.raw<Error | null>(null);
  loading = $state(true);
  private current = 0;

  constructor(private readonly loader: () => Promise<T>) {}

  async load() {
    const mine = ++this.current;
    this.loading = true;
    try {
      const value = await this.loader();
      if (mine !== this.current) return;
      this.value = value;
      this.error = null;
    } catch (error) {
      if (mine === this.current) this.error = error as Error;
    } finally {
      if (mine === this.current) this.loading = false;
    }
  }
}

/** Asks again and again while the page is seen; ends with the component that uses it. */
export function every(ms: number, run: () => void) {
  const timer = setInterval(() => {
    if (!document.hidden) run();
  }, ms);
  return () => clearInterval(timer);
}

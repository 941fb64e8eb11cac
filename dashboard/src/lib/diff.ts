/** What differs between two JSON values, by path. */
export interface Difference { path: string; from?: unknown; to?: unknown }

const plain = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

export function diff(from: unknown, to: unknown, path = ''): Difference[] {
  if (JSON.stringify(from) === JSON.stringify(to)) return [];
  if (plain(from) && plain(to)) {
    const names = [...new Set([...Object.keys(from), ...Object.keys(to)])].sort();
    return names.flatMap((name) => diff(from[name], to[name], path ? `${path}.${name}` : name));
  }
  return [{ path: path || '(all)', from, to }];
}

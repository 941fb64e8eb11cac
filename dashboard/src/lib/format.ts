/** How numbers and times are shown: short, aligned, the same everywhere. */

const whole = new Intl.NumberFormat('en-US');

export const num = (value: number | null | undefined) => (value == null ? '–' : whole.format(value));

/** `1,234` up to five digits, then `12.3 k`, `4.56 M`. */
export function short(value: number | null | undefined): string {
  if (value == null) return '–';
  const size = Math.abs(value);
  if (size < 1000) return size % 1 && size < 100 ? value.toFixed(size < 10 ? 2 : 1).replace(/\.?0+$/, '') : whole.format(Math.round(value));
  for (const [unit, letter] of [
    [1e9, 'B'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    if (size >= unit) {
      const scaled = value / unit;
      return `${scaled.toFixed(Math.abs(scaled) < 10 ? 2 : Math.abs(scaled) < 100 ? 1 : 0)} ${letter}`;
    }
  }
  return whole.format(value);
}

/** Dollars as the gateway tells them, a decimal text; small amounts keep their digits. */
export function usd(text: string | number | null | undefined, digits?: number): string {
  if (text == null || text === '') return '–';
  const value = Number(text);
  const places = digits ?? (value === 0 || Math.abs(value) >= 1 ? 2 : Math.abs(value) >= 0.01 ? 4 : 6);
  return `$${value.toLocaleString('en-US', { minimumFractionDigits: places, maximumFractionDigits: places })}`;
}

export const micro = (value: number | null | undefined) => (value == null ? '–' : usd(value / 1e6));

export function ms(value: number | null | undefined): string {
  if (value == null) return '–';
  if (value < 1) return '<1 ms';
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 60_000) return `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s`;
  return `${Math.floor(value / 60_000)} m ${Math.round((value % 60_000) / 1000)} s`;
}

export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

/** A time by the clock of whoever looks; the day only where it is another. */
export function time(value: string | number | null | undefined, seconds = true): string {
  if (value == null || value === '') return '–';
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) return String(value);
  const clock = date.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit', ...(seconds ? { second: '2-digit' } : {}) });
  return date.toDateString() === new Date().toDateString()
    ? clock
    : `${date.toLocaleDateString('en-CA')} ${clock}`;
}

export function ago(value: string | null | undefined): string {
  if (!value) return 'never';
  const seconds = (Date.now() - new Date(value).getTime()) / 1000;
  return seconds < 5 ? 'now' : seconds < 0 ? `in ${duration(-seconds)}` : `${duration(seconds)} ago`;
}

export function until(value: string | null | undefined): string {
  if (!value) return 'never';
  const seconds = (new Date(value).getTime() - Date.now()) / 1000;
  return seconds <= 0 ? 'now' : `in ${duration(seconds)}`;
}

export const percent = (part: number, all: number) => (all > 0 ? `${((100 * part) / all).toFixed(part && part / all < 0.1 ? 1 : 0)} %` : '–');

export const pretty = (value: unknown) => JSON.stringify(value, null, 2);

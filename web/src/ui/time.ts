// Times and days as people read them, in their own locale and time zone.

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const weekdayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long' });
const dayFormat = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long' });
const shortFormat = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const yearFormat = new Intl.DateTimeFormat(undefined, {
  day: 'numeric',
  month: 'long',
  year: 'numeric',
});
const fullFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'short' });
const relativeFormat = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });

export function clock(at: string | undefined): string {
  return at ? clockFormat.format(new Date(at)) : '';
}

export function full(at: string | undefined): string {
  return at ? fullFormat.format(new Date(at)) : '';
}

/** A key that is equal for two times of the same day. */
export function dayKey(at: string | undefined): string {
  return at ? new Date(at).toDateString() : '';
}

/** A day's heading: today, yesterday, a weekday, a date. */
export function day(at: string | undefined, now = new Date()): string {
  if (!at) return '';
  const date = new Date(at);
  const days = daysBetween(date, now);
  if (days <= 1 && days >= 0) return capital(relativeFormat.format(-days, 'day'));
  if (days > 0 && days < 7) return weekdayFormat.format(date);
  return (date.getFullYear() === now.getFullYear() ? dayFormat : yearFormat).format(date);
}

/** For a list: the time today, else the day. */
export function brief(at: string | undefined, now = new Date()): string {
  if (!at) return '';
  const date = new Date(at);
  return daysBetween(date, now) <= 0 ? clockFormat.format(date) : shortFormat.format(date);
}

/** For a notification: how long ago. */
export function ago(at: string | undefined, now = new Date()): string {
  if (!at) return '';
  const minutes = Math.floor((now.getTime() - Date.parse(at)) / 60_000);
  if (minutes < 1) return 'just now';
  if (minutes < 60) return relativeFormat.format(-minutes, 'minute');
  if (minutes < 24 * 60) return relativeFormat.format(-Math.floor(minutes / 60), 'hour');
  return relativeFormat.format(-Math.floor(minutes / 1_440), 'day');
}

function daysBetween(date: Date, now: Date): number {
  const start = (d: Date) => Date.UTC(d.getFullYear(), d.getMonth(), d.getDate());
  return Math.round((start(now) - start(date)) / 86_400_000);
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

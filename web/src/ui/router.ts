// Where the user is, in the address: `#/room/<id>` and `#/room/<id>/<seq>`.

import { useEffect, useState } from 'preact/hooks';

export interface Route {
  room?: string;
  /** A message to show. */
  seq?: number;
}

export function parse(hash: string): Route {
  const [, kind, id, seq] = hash.replace(/^#/, '').split('/');
  if (kind !== 'room' || !id) return {};
  let room: string;
  try {
    room = decodeURIComponent(id);
  } catch {
    return {};
  }
  return seq !== undefined && /^[1-9]\d{0,15}$/.test(seq) ? { room, seq: Number(seq) } : { room };
}

export function roomHash(room: string, seq?: number): string {
  return `#/room/${encodeURIComponent(room)}${seq === undefined ? '' : `/${seq}`}`;
}

export function go(hash: string): void {
  location.hash = hash;
}

/** The part of a notification's link that this page can follow. */
export function linkHash(link: string | undefined): string | undefined {
  const hash = link?.slice(Math.max(0, link.indexOf('#'))) ?? '';
  return parse(hash).room === undefined ? undefined : hash;
}

export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return parse(hash);
}

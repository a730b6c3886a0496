// Who the user is and where tokens come from.
//
// In development the gateway makes a token for any name. In production it never
// does: the embedding application hands one over, see web/README.md.

import type { TokenSource } from './connection';

/** Asks a development gateway whether it is one. */
export async function isDevelopment(base: string, fetcher: typeof fetch): Promise<boolean> {
  try {
    const response = await fetcher(`${base}dev/info`);
    if (!response.ok) return false;
    const info = (await response.json()) as { development?: boolean };
    return info.development === true;
  } catch {
    return false;
  }
}

/** Tokens of a development gateway for a chosen name. */
export function developmentTokens(base: string, user: string, fetcher: typeof fetch): TokenSource {
  return async () => {
    const response = await fetcher(`${base}dev/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ user }),
    });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    return ((await response.json()) as { token: string }).token;
  };
}

/** The user that a token is for. It is read, not verified: that is the gateway's. */
export function userOf(token: string): string | undefined {
  try {
    const payload = token.split('.')[1]?.replaceAll('-', '+').replaceAll('_', '/');
    if (payload === undefined) return undefined;
    const bytes = Uint8Array.from(atob(payload), (c) => c.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as { sub?: unknown };
    return typeof claims.sub === 'string' && claims.sub !== '' ? claims.sub : undefined;
  } catch {
    return undefined;
  }
}

/** A name as typed, as a user id that a gateway takes: lower case, no spaces, at most 64 bytes. */
export function userId(name: string): string {
  const id = name
    .trim()
    .toLowerCase()
    .replace(/\s+/g, '-')
    .replace(/[^\p{L}\p{N}._-]/gu, '');
  let fitting = '';
  for (const char of id) {
    if (new TextEncoder().encode(fitting + char).length > 64) break;
    fitting += char;
  }
  return fitting;
}

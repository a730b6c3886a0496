// A message's text as parts to render: plain text, links, mentions. Parts only:
// nothing here, or anywhere, makes HTML out of a string.

export type Part =
  | { kind: 'text'; text: string }
  | { kind: 'link'; text: string; href: string }
  | { kind: 'mention'; text: string; user: string };

const PATTERN = /(https?:\/\/[^\s<>"]+)|(?<![\p{L}\p{N}._-])@([\p{L}\p{N}._-]+)/gu;

/** Splits a text. Only `mentioned` users are mentions; other `@words` stay text. */
export function parts(text: string, mentioned: readonly string[]): Part[] {
  const result: Part[] = [];
  let from = 0;
  const plain = (to: number) => {
    if (to > from) result.push({ kind: 'text', text: text.slice(from, to) });
  };
  for (const match of text.matchAll(PATTERN)) {
    const part = match[1] !== undefined ? link(match[1]) : mention(match[2] ?? '', mentioned);
    if (!part) continue;
    plain(match.index);
    result.push(part);
    from = match.index + part.text.length;
  }
  plain(text.length);
  return result;
}

function link(found: string): Part | undefined {
  // A full stop or bracket after an address belongs to the sentence.
  const text = found.replace(/[.,;:!?'")\]}]+$/, '');
  try {
    return { kind: 'link', text, href: new URL(text).href };
  } catch {
    return undefined;
  }
}

function mention(found: string, mentioned: readonly string[]): Part | undefined {
  // `@ann.` at the end of a sentence mentions `ann`.
  for (let name = found; name !== ''; name = name.slice(0, -1)) {
    if (mentioned.includes(name)) return { kind: 'mention', text: `@${name}`, user: name };
    if (!/[._-]$/.test(name)) return undefined;
  }
  return undefined;
}

/** The `@word` that is being typed before the caret, if any. */
export function mentionAt(
  text: string,
  caret: number,
): { from: number; query: string } | undefined {
  const match = /(?:^|[\s(])@([\p{L}\p{N}._-]*)$/u.exec(text.slice(0, caret));
  if (!match) return undefined;
  const query = match[1] ?? '';
  return { from: caret - query.length - 1, query: query.toLowerCase() };
}

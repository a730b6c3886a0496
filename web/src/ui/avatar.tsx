// A user or room as initials on a colour that is always the same for that name.

export function Avatar(props: { name: string; size?: 'small' | 'large'; square?: boolean }) {
  const classes = ['avatar', `hue-${hue(props.name)}`];
  if (props.size) classes.push(`avatar-${props.size}`);
  if (props.square) classes.push('avatar-square');
  return (
    <span class={classes.join(' ')} aria-hidden="true">
      {initials(props.name)}
    </span>
  );
}

export function initials(name: string): string {
  const [first = '?', ...rest] = name.split(/[\s._-]+/).filter((word) => word !== '');
  // A number at the end tells nothing: only a second word counts.
  const second = rest.find((word) => /^\p{L}/u.test(word)) ?? '';
  return [first, second]
    .map((word) => [...word][0] ?? '')
    .join('')
    .toUpperCase();
}

/** One of twelve hues, by a small stable hash (FNV-1a). */
export function hue(name: string): number {
  let hash = 0x811c9dc5;
  for (const char of name) {
    hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  }
  return ((hash ^ (hash >>> 15)) >>> 0) % 12;
}

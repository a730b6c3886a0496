import { describe, expect, test } from 'vitest';
import { hue, initials } from '../src/ui/avatar';
import { linkHash, parse, roomHash } from '../src/ui/router';
import { mentionAt, parts } from '../src/ui/text';

describe('parts', () => {
  test('splits text, links and mentions and loses nothing', () => {
    const text = 'Hi @ann, see https://example.org/a?b=c. Or (http://x.test) @nobody <b>';
    const found = parts(text, ['ann']);
    expect(found.map((part) => part.text).join('')).toBe(text);
    expect(found.filter((part) => part.kind !== 'text').map((part) => part.text)).toEqual([
      '@ann',
      'https://example.org/a?b=c',
      'http://x.test',
    ]);
  });

  test('only http and https are links', () => {
    const kinds = parts('javascript:alert(1) data:text/html,x file:///etc', []);
    expect(kinds).toEqual([
      { kind: 'text', text: 'javascript:alert(1) data:text/html,x file:///etc' },
    ]);
  });

  test('a full stop after a name is not part of it', () => {
    expect(parts('@ann.', ['ann'])).toEqual([
      { kind: 'mention', text: '@ann', user: 'ann' },
      { kind: 'text', text: '.' },
    ]);
    expect(parts('@ann.lee', ['ann.lee'])[0]).toMatchObject({ user: 'ann.lee' });
    expect(parts('mail@ann', ['ann'])).toEqual([{ kind: 'text', text: 'mail@ann' }]);
  });
});

test('mentionAt finds the word being typed', () => {
  expect(mentionAt('hi @An', 6)).toEqual({ from: 3, query: 'an' });
  expect(mentionAt('@', 1)).toEqual({ from: 0, query: '' });
  expect(mentionAt('mail@an', 7)).toBeUndefined();
  expect(mentionAt('@ann hello', 10)).toBeUndefined();
});

test('routes', () => {
  expect(parse('#/room/a%2Fb')).toEqual({ room: 'a/b' });
  expect(parse(roomHash('a/b', 7))).toEqual({ room: 'a/b', seq: 7 });
  for (const other of ['', '#/', '#/room', '#/room/', '#/x/y', '#/room/%E0%A4%A']) {
    expect(parse(other)).toEqual({});
  }
  expect(parse('#/room/r/0x1')).toEqual({ room: 'r' });
  expect(linkHash('/#/room/r/3')).toBe('#/room/r/3');
  expect(linkHash('https://example.org/')).toBeUndefined();
  expect(linkHash(undefined)).toBeUndefined();
});

test('avatars', () => {
  expect(initials('ann lee')).toBe('AL');
  expect(initials('bob')).toBe('B');
  expect(initials('team-7')).toBe('T');
  expect(initials('')).toBe('?');
  for (const name of ['alice', 'bob', 'ändrew', '🎺', '']) {
    expect(hue(name)).toBe(hue(name));
    expect([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]).toContain(hue(name));
  }
});

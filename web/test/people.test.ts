import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Peer } from '../src/realtime/connection';
import { Presence } from '../src/realtime/presence';
import { TypingSender, TypingUsers } from '../src/realtime/typing';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const peer = (client: string, user: string): Peer => ({ client, user });

describe('Presence', () => {
  test('a user with two connections is here until the last one left', () => {
    const presence = new Presence();
    presence.join(peer('1', 'ann'));
    presence.join(peer('2', 'ann'));
    presence.join(peer('3', 'bob'));
    expect(presence.users).toEqual(['ann', 'bob']);
    presence.leave(peer('1', 'ann'));
    expect(presence.users).toEqual(['ann', 'bob']);
    presence.leave(peer('2', 'ann'));
    expect(presence.users).toEqual(['bob']);
  });

  test('joins and leaves that overtake the snapshot are not lost', async () => {
    const presence = new Presence();
    let answer: (peers: Peer[]) => void = () => undefined;
    const loading = presence.load(() => new Promise((resolve) => (answer = resolve)));
    presence.join(peer('2', 'bob'));
    presence.leave(peer('1', 'ann'));
    answer([peer('1', 'ann'), peer('3', 'cid')]);
    await loading;
    expect(presence.users).toEqual(['bob', 'cid']);
  });

  test('a failed snapshot leaves what is known', async () => {
    const presence = new Presence();
    presence.join(peer('1', 'ann'));
    await expect(presence.load(() => Promise.reject(new Error('no')))).rejects.toThrow();
    expect(presence.users).toEqual(['ann']);
  });
});

describe('typing', () => {
  test('is told at most once in two seconds per room, and anew after sending', () => {
    const told: string[] = [];
    const sender = new TypingSender((room) => told.push(room));
    sender.typed('r');
    sender.typed('r');
    sender.typed('s');
    expect(told).toEqual(['r', 's']);
    vi.advanceTimersByTime(2_000);
    sender.typed('r');
    expect(told).toEqual(['r', 's', 'r']);
    sender.sent('r');
    sender.typed('r');
    expect(told).toEqual(['r', 's', 'r', 'r']);
  });

  test('of others expires, is prolonged, and ends with their message', () => {
    const users = new TypingUsers(() => undefined);
    users.typing('r', 'ann');
    users.typing('r', 'bob');
    vi.advanceTimersByTime(4_000);
    users.typing('r', 'ann');
    vi.advanceTimersByTime(2_000);
    expect(users.in('r')).toEqual(['ann']);
    users.stopped('r', 'ann');
    expect(users.in('r')).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

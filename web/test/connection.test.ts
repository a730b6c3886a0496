import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { developmentTokens, isDevelopment, userId, userOf } from '../src/realtime/account';
import { Chores } from '../src/realtime/chores';
import { CallError, CalmState, socketUrl } from '../src/realtime/connection';
import type { Calm } from '../src/realtime/connection';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('the socket has the origin of the page', () => {
  expect(socketUrl({ protocol: 'http:', host: 'a:8000' })).toBe('ws://a:8000/connection/websocket');
  expect(socketUrl({ protocol: 'https:', host: 'a' })).toBe('wss://a/connection/websocket');
});

describe('CalmState', () => {
  const watch = () => {
    const shown: Calm[] = [];
    return { shown, calm: new CalmState((state) => shown.push(state), 1_000, 10_000) };
  };

  test('a blip is not shown', () => {
    const { shown, calm } = watch();
    calm.update('live');
    calm.update('connecting');
    vi.advanceTimersByTime(900);
    calm.update('live');
    vi.advanceTimersByTime(60_000);
    expect(shown).toEqual(['live']);
  });

  test('a longer silence is called connecting, then offline, and does not flicker', () => {
    const { shown, calm } = watch();
    calm.update('live');
    for (let i = 0; i < 30; i++) {
      calm.update('connecting');
      vi.advanceTimersByTime(1_000);
    }
    expect(shown).toEqual(['live', 'connecting', 'offline']);
    calm.update('live');
    expect(calm.shown).toBe('live');
    expect(vi.getTimerCount()).toBe(0);
  });

  test('closed for good is offline at once', () => {
    const { shown, calm } = watch();
    calm.update('closed');
    expect(shown).toEqual(['offline']);
  });
});

describe('Chores', () => {
  const lost = new CallError(1, 'timeout', false);
  const setUp = () => {
    const chores = new Chores(() => 100);
    const failures: number[] = [];
    return { chores, failures, failed: (error: CallError) => failures.push(error.code) };
  };

  test('are done until they succeed, across connections', async () => {
    const { chores, failures, failed } = setUp();
    const results = [lost, new CallError(100, 'away', true), undefined];
    let calls = 0;
    const action = () => {
      const result = results[calls++];
      return result ? Promise.reject(result) : Promise.resolve();
    };
    chores.run('k', action, failed);
    expect(calls).toBe(0);
    chores.setLive(true);
    await vi.advanceTimersByTimeAsync(50);
    expect(calls).toBe(1);
    chores.setLive(false);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(calls).toBe(1);
    chores.setLive(true);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(calls).toBe(3);
    expect(failures).toEqual([]);
  });

  test('end with an error that trying again does not help', async () => {
    const { chores, failures, failed } = setUp();
    chores.setLive(true);
    chores.run('k', () => Promise.reject(new CallError(103, 'permission denied', false)), failed);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(failures).toEqual([103]);
  });

  test('asked for while under way, are done once more', async () => {
    const { chores, failed } = setUp();
    chores.setLive(true);
    let calls = 0;
    const finish: (() => void)[] = [];
    const action = () => {
      calls += 1;
      return new Promise<void>((resolve) => finish.push(resolve));
    };
    chores.run('k', action, failed);
    chores.run('k', action, failed);
    chores.run('k', action, failed);
    expect(calls).toBe(1);
    finish[0]?.();
    await vi.advanceTimersByTimeAsync(0);
    expect(calls).toBe(2);
    finish[1]?.();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(calls).toBe(2);
  });
});

describe('account', () => {
  const token = (claims: object) =>
    `h.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.s`;

  test('reads the user of a token', () => {
    expect(userOf(token({ sub: 'jürgen' }))).toBe('jürgen');
    for (const broken of ['', 'abc', 'a.%%%.c', token({}), token({ sub: 1 })]) {
      expect(userOf(broken)).toBeUndefined();
    }
  });

  test('makes a user id of a name', () => {
    expect(userId('  Ann Lee ')).toBe('ann-lee');
    expect(userId('a,b#c:d')).toBe('abcd');
    expect(userId('x'.repeat(99))).toHaveLength(64);
    expect(userId('名'.repeat(99))).toHaveLength(21);
  });

  test('asks the gateway for the mode and for tokens', async () => {
    const answers: Record<string, Response> = {
      '/dev/info': Response.json({ development: true }),
      '/dev/token': Response.json({ token: 't' }),
    };
    const fetcher = ((url: string) => Promise.resolve(answers[url])) as unknown as typeof fetch;
    expect(await isDevelopment('/', fetcher)).toBe(true);
    expect(await developmentTokens('/', 'ann', fetcher)()).toBe('t');
    const none = () => Promise.resolve(new Response('', { status: 404 }));
    expect(await isDevelopment('/', none)).toBe(false);
    await expect(developmentTokens('/', 'ann', none)()).rejects.toThrow('404');
  });
});

// The session with the real SDK over real sockets, against the stand-in server.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { developmentTokens } from '../src/realtime/account';
import { connect } from '../src/realtime/connection';
import { unread } from '../src/realtime/rooms';
import { Session } from '../src/realtime/session';
import { startMock, WebSocket } from './mock-server.mjs';
import type { Mock } from './mock-server.mjs';

let mock: Mock;
let sessions: Session[] = [];
const stores = new Map<string, Map<string, string>>();

beforeEach(async () => {
  mock = await startMock();
});

afterEach(() => {
  for (const session of sessions) session.close();
  sessions = [];
  stores.clear();
  mock.close();
});

async function signIn(user: string): Promise<Session> {
  const link = await connect({
    url: `${mock.url.replace('http', 'ws')}/connection/websocket`,
    token: developmentTokens(`${mock.url}/`, user, fetch),
    websocket: WebSocket,
  });
  const values = stores.get(user) ?? new Map<string, string>();
  stores.set(user, values);
  const session = new Session({
    user,
    link,
    store: {
      getItem: (key) => values.get(key) ?? null,
      setItem: (key, value) => void values.set(key, value),
    },
    notice: (text) => {
      throw new Error(text);
    },
  });
  sessions.push(session);
  await vi.waitFor(() => expect(session.roomsLoaded).toBe(true));
  return session;
}

const texts = (session: Session, room: string) =>
  session.detail(room)?.timeline.messages.map((m) => m.text) ?? [];

async function shows(session: Session, room: string, expected: string[]): Promise<void> {
  await vi.waitFor(() => expect(texts(session, room)).toEqual(expected), { timeout: 10_000 });
}

/** Ann and Bob in a room, both with it open. */
async function together(): Promise<{ ann: Session; bob: Session; room: string }> {
  const [ann, bob] = await Promise.all([signIn('ann'), signIn('bob')]);
  const room = await ann.create('ROOM_KIND_GROUP', 'band', ['bob']);
  await vi.waitFor(() => expect(bob.rooms.get(room)).toBeDefined());
  ann.open(room);
  bob.open(room);
  await vi.waitFor(() => {
    expect(ann.detail(room)?.presence.users).toEqual(['ann', 'bob']);
    expect(bob.detail(room)?.timeline.loaded).toBe(true);
  });
  return { ann, bob, room };
}

describe('Session', () => {
  test('messages arrive in order, count as unread, and are read', async () => {
    const { ann, bob, room } = await together();
    ann.send(room, 'one');
    ann.send(room, 'two');
    await shows(bob, room, ['one', 'two']);
    await shows(ann, room, ['one', 'two']);
    expect(ann.outbox.drafts).toEqual([]);
    const state = bob.rooms.get(room);
    expect(state && unread(state)).toBe(2);
    bob.read(room, 2);
    expect(bob.rooms.totalUnread).toBe(0);
    await vi.waitFor(() => expect(ann.detail(room)?.members.get('bob')?.read_seq).toBe(2));
  });

  test('another device of the same user follows the read pointer', async () => {
    const { ann, bob, room } = await together();
    const phone = await signIn('bob');
    ann.send(room, 'one');
    await vi.waitFor(() => expect(phone.rooms.totalUnread).toBe(1));
    bob.read(room, 1);
    await vi.waitFor(() => expect(phone.rooms.totalUnread).toBe(0));
  });

  test('connections cut again and again lose and double nothing', async () => {
    const { ann, bob, room } = await together();
    const expected: string[] = [];
    for (let i = 0; i < 5; i++) {
      for (let j = 0; j < 4; j++) {
        const text = `${i}.${j}`;
        expected.push(text);
        ann.send(room, text);
        if (j === 1) mock.cut();
      }
      await shows(ann, room, expected);
    }
    await shows(bob, room, expected);
    expect(ann.outbox.drafts).toEqual([]);
  }, 30_000);

  test('what was unsent when the page was closed is sent by the next one', async () => {
    const { ann, bob, room } = await together();
    mock.cut();
    ann.send(room, 'last words');
    ann.close();
    await signIn('ann');
    await shows(bob, room, ['last words']);
  });

  test('a live session and a fresh one show the same', async () => {
    const { ann, bob, room } = await together();
    for (const text of ['one', 'two', 'three @bob']) ann.send(room, text);
    await shows(bob, room, ['one', 'two', 'three @bob']);
    await ann.edit(room, 1, 'uno');
    await ann.remove(room, 2);
    await shows(bob, room, ['uno', undefined as unknown as string, 'three @bob']);
    await vi.waitFor(() => expect(bob.inbox.counts.unseen).toBe(1));
    const fresh = await signIn('bob');
    fresh.open(room);
    await vi.waitFor(() => expect(fresh.detail(room)?.timeline.loaded).toBe(true));
    await vi.waitFor(() => expect(fresh.inbox.loaded).toBe(true));
    expect(fresh.detail(room)?.timeline.messages).toEqual(bob.detail(room)?.timeline.messages);
    expect(fresh.inbox.notifications).toEqual(bob.inbox.notifications);
    expect(fresh.inbox.counts).toEqual(bob.inbox.counts);
    expect(fresh.rooms.get(room)?.mentions).toBe(1);
  });

  test('older messages come page by page, a message far back at once', async () => {
    const { ann, bob, room } = await together();
    for (let i = 1; i <= 90; i++) ann.send(room, `m${i}`);
    await vi.waitFor(() => expect(texts(ann, room)).toHaveLength(90), { timeout: 10_000 });
    bob.close();
    const fresh = await signIn('bob');
    fresh.open(room);
    await vi.waitFor(() => expect(texts(fresh, room)).toHaveLength(50));
    expect(fresh.detail(room)?.timeline.hasMoreBefore).toBe(true);
    await fresh.loadOlder(room);
    expect(texts(fresh, room)).toEqual(Array.from({ length: 90 }, (_, i) => `m${i + 1}`));

    const reader = await signIn('bob');
    reader.open(room, 10);
    await vi.waitFor(() => expect(reader.detail(room)?.timeline.has(10)).toBe(true));
    expect(reader.detail(room)?.timeline.hasMoreAfter).toBe(true);
    await reader.jumpToLatest(room);
    expect(reader.detail(room)?.timeline.last).toBe(90);
  }, 20_000);

  test('typing is seen by the others and ends with the message', async () => {
    const { ann, bob, room } = await together();
    ann.typed(room);
    await vi.waitFor(() => expect(bob.typing.in(room)).toEqual(['ann']));
    expect(ann.typing.in(room)).toEqual([]);
    ann.send(room, 'done');
    await vi.waitFor(() => expect(bob.typing.in(room)).toEqual([]));
  });

  test('the inbox: seen, read, all read, archived, on every device', async () => {
    const { ann, bob, room } = await together();
    const phone = await signIn('bob');
    ann.send(room, '@bob one');
    ann.send(room, '@bob two');
    await vi.waitFor(() => expect(bob.inbox.counts.unread).toBe(2));
    await bob.markSeen();
    await vi.waitFor(() => expect(phone.inbox.counts).toMatchObject({ unread: 2, unseen: 0 }));
    const first = bob.inbox.notifications[0]?.id ?? '';
    await bob.markNotificationRead(first);
    await vi.waitFor(() => expect(phone.inbox.notifications[0]?.read_at).toBeDefined());
    await bob.archive(first);
    await vi.waitFor(() => expect(phone.inbox.notifications).toHaveLength(1));
    await bob.markAllRead();
    await vi.waitFor(() => expect(phone.inbox.counts.unread).toBe(0));
  });

  test('a room that was left is gone; a public one may be joined again', async () => {
    const [ann, bob] = await Promise.all([signIn('ann'), signIn('bob')]);
    const room = await ann.create('ROOM_KIND_PUBLIC', 'lobby', []);
    expect((await bob.publicRooms('LOB')).map((r) => r.id)).toEqual([room]);
    bob.open(room);
    await vi.waitFor(() => expect(bob.detail(room)?.preview?.name).toBe('lobby'));
    await bob.join(room);
    await vi.waitFor(() => expect(bob.detail(room)?.timeline.loaded).toBe(true));
    await vi.waitFor(() => expect(ann.rooms.get(room)?.room.member_count).toBe(2));
    bob.leaveView();
    await bob.leave(room);
    expect(bob.rooms.get(room)).toBeUndefined();
    await vi.waitFor(() => expect(ann.rooms.get(room)?.room.member_count).toBe(1));
  });
});

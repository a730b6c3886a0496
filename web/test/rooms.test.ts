import { describe, expect, test } from 'vitest';
import type { Message, RoomSummary } from '../src/realtime/contract';
import { Rooms, title, unread } from '../src/realtime/rooms';

const summary = (more: Partial<RoomSummary['room']> = {}, read_seq = 0): RoomSummary => ({
  room: { id: 'r', name: 'general', epoch: 'e', offset: 5, last_message_seq: 3, ...more },
  membership: { user: 'me', role: 'ROLE_MEMBER', read_seq },
});
const created = (seq: number, more: Partial<Message> = {}) => ({
  message_created: { room_id: 'r', seq, author: 'ann', text: 'hi', ...more },
});
const state = (rooms: Rooms) => {
  const room = rooms.get('r');
  if (!room) throw new Error('the room is gone');
  return room;
};

describe('Rooms', () => {
  test('unread is the newest seq less the read pointer, kept live', () => {
    const rooms = new Rooms('me');
    rooms.put(summary({}, 1));
    expect(unread(state(rooms))).toBe(2);
    rooms.apply('r', created(4), 6);
    rooms.apply('r', created(4), 6);
    expect(unread(state(rooms))).toBe(3);
    expect(rooms.totalUnread).toBe(3);
  });

  test('a read event of another device moves the pointer, never back', () => {
    const rooms = new Rooms('me');
    rooms.put(summary());
    rooms.apply('r', { read: { room_id: 'r', user: 'me', read_seq: 3 } }, undefined);
    rooms.apply('r', { read: { room_id: 'r', user: 'me', read_seq: 2 } }, undefined);
    rooms.apply('r', { read: { room_id: 'r', user: 'ann', read_seq: 9 } }, undefined);
    expect(state(rooms).readSeq).toBe(3);
    // Also one that is part of the log, and together with a fold.
    rooms.apply('r', created(4), 6);
    rooms.apply('r', { read: { room_id: 'r', user: 'me', read_seq: 4 } }, 7);
    expect(unread(state(rooms))).toBe(0);
    expect(state(rooms).offset).toBe(7);
  });

  test('mentions count until they are read', () => {
    const rooms = new Rooms('me');
    rooms.put(summary({}, 3));
    rooms.apply('r', created(4, { mentions: ['me'] }), 6);
    rooms.apply('r', created(5), 7);
    expect(state(rooms).mentions).toBe(1);
    rooms.markRead('r', 5);
    expect(state(rooms).mentions).toBe(0);
  });

  test('a summary older than the events folded does not undo them', () => {
    const rooms = new Rooms('me');
    rooms.put(summary());
    rooms.apply('r', created(4), 6);
    rooms.put(summary({}, 2));
    expect(state(rooms).lastSeq).toBe(4);
    expect(state(rooms).readSeq).toBe(2);
  });

  test('members are counted once per event', () => {
    const rooms = new Rooms('me');
    rooms.put(summary({ member_count: 2 }));
    const joined = { member_joined: { room_id: 'r', member: { user: 'bob' } } };
    rooms.apply('r', joined, 6);
    rooms.apply('r', joined, 6);
    expect(state(rooms).room.member_count).toBe(3);
  });

  test('a room that the caller was removed from is gone', () => {
    const rooms = new Rooms('me');
    rooms.put(summary());
    const left = { member_left: { room_id: 'r', member: { user: 'me' }, by: 'ann' } };
    expect(rooms.apply('r', left, 6)).toBe('left');
    expect(rooms.get('r')).toBeUndefined();
  });

  test('newest activity first', () => {
    const rooms = new Rooms('me');
    rooms.put(summary({ created_at: '2026-01-01T00:00:00Z' }));
    rooms.put(summary({ id: 's', created_at: '2026-01-02T00:00:00Z' }));
    expect(rooms.all.map((r) => r.room.id)).toEqual(['s', 'r']);
    rooms.apply('r', created(4, { created_at: '2026-01-03T00:00:00Z' }), 6);
    expect(rooms.all.map((r) => r.room.id)).toEqual(['r', 's']);
  });

  test('a direct room is called by the other user', () => {
    const room = { id: 'd', kind: 'ROOM_KIND_DIRECT' as const, direct_users: ['ann', 'me'] };
    expect(title(room, 'me')).toBe('ann');
    expect(title(room, 'ann')).toBe('me');
  });
});

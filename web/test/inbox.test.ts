import { describe, expect, test } from 'vitest';
import { Inbox } from '../src/realtime/inbox';

const n = (id: string, at = '2026-01-01T00:00:00Z') => ({ id, title: id, created_at: at });

describe('Inbox', () => {
  test('new notifications come on top, once, with their counters', () => {
    const inbox = new Inbox();
    inbox.reset({ notifications: [n('a')], counts: { unread: 1, unseen: 1, version: 1 } });
    const event = { created: n('b'), counts: { unread: 2, unseen: 2, version: 2 } };
    inbox.apply(event, 2);
    inbox.apply(event, 2);
    expect(inbox.notifications.map((x) => x.id)).toEqual(['b', 'a']);
    expect(inbox.counts).toEqual({ unread: 2, unseen: 2, version: 2 });
  });

  test('of two counters the greater version is true', () => {
    const inbox = new Inbox();
    inbox.count({ unread: 5, unseen: 1, version: 8 });
    inbox.count({ unread: 9, unseen: 9, version: 7 });
    expect(inbox.counts.unread).toBe(5);
    // Zero values are omitted on the wire.
    inbox.count({ version: 9 });
    expect(inbox.counts).toEqual({ unread: 0, unseen: 0, version: 9 });
  });

  test('state changes: seen, read, unread, archived', () => {
    const inbox = new Inbox();
    inbox.reset({ notifications: [n('b'), n('a')] });
    inbox.apply({ changed: { ids: ['a'], state: 'STATE_SEEN' } }, 1);
    expect(inbox.notifications[1]?.seen_at).toBeDefined();
    expect(inbox.notifications[1]?.read_at).toBeUndefined();
    inbox.apply({ changed: { ids: ['a'], state: 'STATE_READ' } }, 2);
    expect(inbox.notifications[1]?.read_at).toBeDefined();
    inbox.apply({ changed: { ids: ['a'], state: 'STATE_UNREAD' } }, 3);
    expect(inbox.notifications[1]?.read_at).toBeUndefined();
    inbox.apply({ changed: { ids: ['a'], state: 'STATE_ARCHIVED' } }, 4);
    expect(inbox.notifications.map((x) => x.id)).toEqual(['b']);
  });

  test('all read reaches to its time, not beyond', () => {
    const inbox = new Inbox();
    inbox.reset({ notifications: [n('new', '2026-01-03T00:00:00Z'), n('old')] });
    inbox.apply({ all_read: { until: '2026-01-02T00:00:00Z' } }, 1);
    expect(inbox.notifications.map((x) => x.read_at !== undefined)).toEqual([false, true]);
  });

  test('a page read before an event does not undo it', () => {
    const inbox = new Inbox();
    inbox.apply({ created: n('b') }, 2);
    inbox.apply({ changed: { ids: ['a'], state: 'STATE_ARCHIVED' } }, 3);
    inbox.reset({ notifications: [n('a')], epoch: 'e', offset: 1 });
    expect(inbox.notifications.map((x) => x.id)).toEqual(['b']);
  });

  test('older pages go to the end, without doubles', () => {
    const inbox = new Inbox();
    inbox.reset({ notifications: [n('c'), n('b')], next_cursor: 'x' });
    inbox.append({ notifications: [n('b'), n('a')] });
    expect(inbox.notifications.map((x) => x.id)).toEqual(['c', 'b', 'a']);
    expect(inbox.cursor).toBe('');
  });

  test('counters of another log replace those of a lost one', () => {
    const inbox = new Inbox();
    inbox.reset({ epoch: 'e', counts: { unread: 5, version: 50 } });
    inbox.reset({ epoch: 'f', counts: { unread: 1, version: 1 } });
    expect(inbox.counts.unread).toBe(1);
  });
});

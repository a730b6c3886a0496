import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CallError } from '../src/realtime/connection';
import type { MessageAnswer } from '../src/realtime/contract';
import { Outbox } from '../src/realtime/outbox';
import type { Draft, Store } from '../src/realtime/outbox';

const lost = new CallError(2, 'transport closed', false);
const away = new CallError(100, 'internal server error', true);
const denied = new CallError(103, 'permission denied', false);

class Memory implements Store {
  values = new Map<string, string>();
  getItem = (key: string) => this.values.get(key) ?? null;
  setItem = (key: string, value: string) => void this.values.set(key, value);
}

/** An outbox whose sends wait for the test's answer. */
function setUp(store: Store = new Memory(), limit = 100) {
  const sent: { draft: Draft; answer: (result: MessageAnswer | CallError) => Promise<void> }[] = [];
  const acknowledged: string[] = [];
  let id = 0;
  const outbox = new Outbox({
    key: 'k',
    store,
    limit,
    newId: () => `id${++id}`,
    send: (draft) =>
      new Promise((resolve, reject) => {
        sent.push({
          draft,
          answer: async (result) => {
            if (result instanceof CallError) reject(result);
            else resolve(result);
            await vi.advanceTimersByTimeAsync(0);
          },
        });
      }),
    acknowledged: (draft) => acknowledged.push(draft.clientMsgId),
    changed: () => undefined,
  });
  return { outbox, sent, acknowledged, store };
}

const answer = (draft: Draft): MessageAnswer => ({
  message: { room_id: draft.roomId, seq: 1, author: 'me', client_msg_id: draft.clientMsgId },
  offset: 1,
});

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('Outbox', () => {
  test('waits for a connection, then sends in order, one at a time per room', async () => {
    const { outbox, sent, acknowledged } = setUp();
    outbox.add('r', 'one');
    outbox.add('r', 'two');
    outbox.add('s', 'other room');
    expect(sent).toHaveLength(0);
    outbox.setLive(true);
    expect(sent.map((s) => s.draft.text)).toEqual(['one', 'other room']);
    await sent[0]?.answer(answer(sent[0].draft));
    expect(sent.map((s) => s.draft.text)).toEqual(['one', 'other room', 'two']);
    expect(acknowledged).toEqual(['id1']);
  });

  test('sends again under the same id after the connection was lost', async () => {
    const { outbox, sent } = setUp();
    outbox.setLive(true);
    outbox.add('r', 'one');
    outbox.setLive(false);
    await sent[0]?.answer(lost);
    expect(outbox.drafts).toMatchObject([{ clientMsgId: 'id1', state: 'sending' }]);
    outbox.setLive(true);
    expect(sent.map((s) => s.draft.clientMsgId)).toEqual(['id1', 'id1']);
  });

  test('a timeout on a living connection is tried again without a reconnect', async () => {
    const { outbox, sent } = setUp();
    outbox.setLive(true);
    outbox.add('r', 'one');
    await sent[0]?.answer(new CallError(1, 'timeout', false));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sent).toHaveLength(2);
  });

  test('survives a reload', () => {
    const first = setUp();
    first.outbox.add('r', 'one');
    const second = setUp(first.store);
    second.outbox.setLive(true);
    expect(second.sent[0]?.draft).toMatchObject({ text: 'one', clientMsgId: 'id1' });
  });

  test('a broken store is an empty one', () => {
    const store = new Memory();
    store.values.set('k', '[{"roomId":1},null,"x"]');
    expect(setUp(store).outbox.drafts).toEqual([]);
    store.values.set('k', 'not json');
    expect(setUp(store).outbox.drafts).toEqual([]);
  });

  test('seen in the room counts as acknowledged, whatever the call says', async () => {
    const { outbox, sent } = setUp();
    outbox.setLive(true);
    outbox.add('r', 'one');
    outbox.arrived('id1');
    expect(outbox.drafts).toEqual([]);
    await sent[0]?.answer(lost);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sent).toHaveLength(1);
  });

  test('a refusal is final until the user tries again, under the same id', async () => {
    const { outbox, sent } = setUp();
    outbox.setLive(true);
    outbox.add('r', 'one');
    await sent[0]?.answer(denied);
    expect(outbox.drafts).toMatchObject([{ state: 'failed', error: 'permission denied' }]);
    outbox.add('r', 'two');
    expect(sent[1]?.draft.text).toBe('two');
    await sent[1]?.answer(answer(sent[1].draft));
    outbox.retry('id1');
    expect(sent[2]?.draft.clientMsgId).toBe('id1');
    await sent[2]?.answer(denied);
    outbox.discard('id1');
    expect(outbox.drafts).toEqual([]);
  });

  test('a service that stays away makes it failed in the end', async () => {
    const { outbox, sent } = setUp();
    outbox.setLive(true);
    outbox.add('r', 'one');
    for (let i = 0; i < 8; i++) {
      expect(outbox.drafts[0]?.state).toBe('sending');
      await sent[i]?.answer(away);
      await vi.advanceTimersByTimeAsync(10_000);
    }
    expect(outbox.drafts[0]?.state).toBe('failed');
    expect(sent).toHaveLength(8);
  });

  test('is bounded', () => {
    const { outbox } = setUp(new Memory(), 2);
    expect(outbox.add('r', 'one')).toBe(true);
    expect(outbox.add('r', 'two')).toBe(true);
    expect(outbox.add('r', 'three')).toBe(false);
    expect(outbox.drafts).toHaveLength(2);
  });
});

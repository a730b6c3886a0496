import { describe, expect, test } from 'vitest';
import type { Message, MessagePage } from '../src/realtime/contract';
import { Timeline } from '../src/realtime/messages';

const message = (seq: number, text = `m${seq}`, more: Partial<Message> = {}): Message => ({
  room_id: 'r',
  seq,
  author: 'ann',
  text,
  ...more,
});
const page = (from: number, to: number, offset: number, more: MessagePage = {}): MessagePage => ({
  messages: Array.from({ length: to - from + 1 }, (_, i) => message(from + i)),
  epoch: 'e',
  offset,
  ...more,
});
const seqs = (timeline: Timeline) => timeline.messages.map((m) => m.seq);
const texts = (timeline: Timeline) => timeline.messages.map((m) => m.text);

describe('Timeline', () => {
  test('folds new messages after the page, each once', () => {
    const timeline = new Timeline();
    timeline.reset(page(1, 2, 2));
    timeline.apply({ message_created: message(3) }, 3);
    timeline.apply({ message_created: message(3) }, 3);
    timeline.apply({ message_created: message(2) }, 2);
    expect(seqs(timeline)).toEqual([1, 2, 3]);
  });

  test('keeps events that overtook the page', () => {
    const timeline = new Timeline();
    timeline.apply({ message_created: message(3) }, 3);
    timeline.apply({ message_updated: message(1, 'edited') }, 4);
    timeline.reset(page(1, 2, 2));
    expect(texts(timeline)).toEqual(['edited', 'm2', 'm3']);
  });

  test('of two versions the one with the greater offset is true, in any order', () => {
    const edits = [
      { event: { message_updated: message(1, 'first edit') }, offset: 2 },
      { event: { message_updated: message(1, 'second edit') }, offset: 3 },
    ];
    for (const order of [edits, [...edits].reverse()]) {
      const timeline = new Timeline();
      timeline.reset(page(1, 1, 1));
      for (const { event, offset } of order) timeline.apply(event, offset);
      expect(texts(timeline)).toEqual(['second edit']);
    }
  });

  test('an edit of a message outside the window is there when its page comes late', () => {
    const timeline = new Timeline();
    timeline.reset(page(51, 100, 100, { has_more_before: true }));
    timeline.apply({ message_updated: message(50, 'edited') }, 101);
    timeline.prepend(page(1, 50, 100));
    expect(timeline.messages[49]?.text).toBe('edited');
    expect(timeline.hasMoreBefore).toBe(false);
    expect(seqs(timeline)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
  });

  test('says when messages before an event are missing', () => {
    const timeline = new Timeline();
    timeline.reset(page(1, 2, 2));
    expect(timeline.apply({ message_created: message(5) }, 5)).toBe('gap');
    expect(seqs(timeline)).toEqual([1, 2]);
    timeline.append(page(3, 4, 4));
    expect(seqs(timeline)).toEqual([1, 2, 3, 4, 5]);
  });

  test('a window in the past does not take the newest message', () => {
    const timeline = new Timeline();
    timeline.reset(page(10, 20, 100, { has_more_before: true, has_more_after: true }));
    expect(timeline.apply({ message_created: message(101) }, 101)).toBe('folded');
    expect(timeline.last).toBe(20);
    expect(timeline.has(15)).toBe(true);
    expect(timeline.has(101)).toBe(false);
  });

  test('a page of another log replaces everything', () => {
    const timeline = new Timeline();
    timeline.reset(page(1, 3, 900));
    timeline.reset({ messages: [message(1, 'new log')], epoch: 'f', offset: 1 });
    expect(texts(timeline)).toEqual(['new log']);
  });

  test('a live fold and a reload end in the same state', () => {
    const live = new Timeline();
    live.reset({ epoch: 'e' });
    live.apply({ message_created: message(1) }, 1);
    live.apply({ message_created: message(2) }, 2);
    live.apply({ message_deleted: message(1, '', { deleted_at: 'now' }) }, 3);
    const reloaded = new Timeline();
    reloaded.reset({
      messages: [message(1, '', { deleted_at: 'now' }), message(2)],
      epoch: 'e',
      offset: 3,
    });
    expect(live.messages).toEqual(reloaded.messages);
  });
});

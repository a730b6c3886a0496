// The messages of one room: a window on its log, folded from pages and events.
//
// Pages and events may come in any order and more than once. Each message is kept
// with the offset at which it is known, and of two versions the one with the
// greater offset is true; so the result does not depend on who was faster, and a
// reload ends in the same state.

import type { Message, MessagePage, RoomEvent } from './contract';

interface Version {
  message: Message;
  offset: number;
}

/** Versions kept for messages outside the window; beyond it the oldest are dropped. */
const PATCHES = 1_000;

export class Timeline {
  /** Sequence numbers in the window, ascending and without a gap. */
  #window: number[] = [];
  #known = new Map<number, Version>();
  #hasMoreBefore = false;
  #hasMoreAfter = false;
  #loaded = false;
  #epoch: string | undefined;
  #cache: Message[] | undefined;

  get loaded(): boolean {
    return this.#loaded;
  }

  /** Older messages exist on the server. */
  get hasMoreBefore(): boolean {
    return this.#hasMoreBefore;
  }

  /** The window does not reach to the newest message. */
  get hasMoreAfter(): boolean {
    return this.#hasMoreAfter;
  }

  get first(): number {
    return this.#window[0] ?? 0;
  }

  get last(): number {
    return this.#window.at(-1) ?? 0;
  }

  /** The messages in the window, oldest first. The same array until something changes. */
  get messages(): readonly Message[] {
    this.#cache ??= this.#window.map((seq) => this.#at(seq).message);
    return this.#cache;
  }

  has(seq: number): boolean {
    return this.#window.length > 0 && seq >= this.first && seq <= this.last;
  }

  /** Whether a message with this author and client id is in the window. */
  holds(author: string, clientMsgId: string): boolean {
    return this.messages.some((m) => m.client_msg_id === clientMsgId && m.author === author);
  }

  /** Replaces the window with a page. Events newer than the page stay. */
  reset(page: MessagePage): void {
    const offset = page.offset ?? 0;
    // In another log the offsets begin anew: nothing known is comparable.
    if (this.#epoch !== undefined && this.#epoch !== page.epoch) this.#known.clear();
    this.#epoch = page.epoch;
    const newer = [...this.#known].filter(([, version]) => version.offset > offset);
    this.#known = new Map(newer);
    this.#window = (page.messages ?? []).map((m) => m.seq);
    this.#hasMoreBefore = page.has_more_before ?? false;
    this.#hasMoreAfter = page.has_more_after ?? false;
    this.#loaded = true;
    this.#merge(page);
    this.#extend();
  }

  /** Adds the page before the window. */
  prepend(page: MessagePage): void {
    const older = (page.messages ?? []).map((m) => m.seq).filter((seq) => seq < this.first);
    this.#merge(page);
    this.#window.unshift(...older);
    this.#hasMoreBefore = page.has_more_before ?? false;
    this.#cache = undefined;
  }

  /** Adds the page after the window. */
  append(page: MessagePage): void {
    const newer = (page.messages ?? []).map((m) => m.seq).filter((seq) => seq > this.last);
    this.#merge(page);
    this.#window.push(...newer);
    this.#hasMoreAfter = page.has_more_after ?? false;
    this.#cache = undefined;
    this.#extend();
  }

  /**
   * Folds an event, or the answer to a command, known at `offset`.
   * Returns `gap` when messages between the window and this one are missing.
   */
  apply(event: RoomEvent, offset: number): 'folded' | 'gap' {
    const message = event.message_created ?? event.message_updated ?? event.message_deleted;
    if (!message) return 'folded';
    this.#learn(message, offset);
    if (!event.message_created || !this.#loaded || this.#hasMoreAfter) return 'folded';
    this.#extend();
    return message.seq > this.last ? 'gap' : 'folded';
  }

  /** Takes what directly follows the window. */
  #extend(): void {
    if (this.#hasMoreAfter) return;
    let next = this.last + 1;
    // An empty window has no neighbour but the room's very first message.
    while (this.#known.has(next)) {
      this.#window.push(next);
      this.#cache = undefined;
      next += 1;
    }
  }

  #merge(page: MessagePage): void {
    for (const message of page.messages ?? []) this.#learn(message, page.offset ?? 0);
    this.#cache = undefined;
  }

  #learn(message: Message, offset: number): void {
    const known = this.#known.get(message.seq);
    if (known && known.offset > offset) return;
    this.#known.set(message.seq, { message, offset });
    this.#cache = undefined;
    if (this.#known.size > this.#window.length + PATCHES) this.#forget();
  }

  #forget(): void {
    for (const seq of this.#known.keys()) {
      if (this.has(seq)) continue;
      this.#known.delete(seq);
      return;
    }
  }

  #at(seq: number): Version {
    const version = this.#known.get(seq);
    if (!version) throw new Error(`message ${seq} is in the window but not known`);
    return version;
  }
}

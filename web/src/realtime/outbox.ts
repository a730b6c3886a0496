// Messages on their way to the server: kept until it acknowledged them, across
// reconnects and reloads, and sent again under the same id, which the server
// takes once.
//
// One message per room is in flight at a time, so that they arrive in the order
// in which they were written.

import { transient } from './chores';
import { CallError } from './connection';
import type { MessageAnswer } from './contract';

export interface Draft {
  roomId: string;
  clientMsgId: string;
  text: string;
  createdAt: string;
  state: 'sending' | 'failed';
  /** Why it failed, for people. */
  error?: string;
}

/** Where drafts outlive a reload. `sessionStorage` has this shape. */
export interface Store {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

export interface OutboxOptions {
  key: string;
  store: Store;
  send(draft: Draft): Promise<MessageAnswer>;
  acknowledged(draft: Draft, answer: MessageAnswer): void;
  changed(): void;
  newId?: () => string;
  limit?: number;
}

/** Server errors in a row after which a message is called failed. */
const SERVER_ERRORS = 8;

export class Outbox {
  #drafts: Draft[];
  #inFlight = new Set<string>();
  #errors = new Map<string, number>();
  #retries = new Map<string, ReturnType<typeof setTimeout>>();
  #live = false;

  constructor(private readonly options: OutboxOptions) {
    this.#drafts = load(options.store, options.key);
  }

  get drafts(): readonly Draft[] {
    return this.#drafts;
  }

  of(roomId: string): Draft[] {
    return this.#drafts.filter((draft) => draft.roomId === roomId);
  }

  get full(): boolean {
    return this.#drafts.length >= (this.options.limit ?? 100);
  }

  /** Takes a message; false: the queue is full and nothing was taken. */
  add(roomId: string, text: string): boolean {
    if (this.full) return false;
    const clientMsgId = (this.options.newId ?? (() => crypto.randomUUID()))();
    const createdAt = new Date().toISOString();
    this.#drafts = [...this.#drafts, { roomId, clientMsgId, text, createdAt, state: 'sending' }];
    this.#changed();
    this.#pump();
    return true;
  }

  /** Sends a failed message again, under its id. */
  retry(clientMsgId: string): void {
    this.#errors.delete(clientMsgId);
    this.#drafts = this.#drafts.map((draft) => {
      if (draft.clientMsgId !== clientMsgId || draft.state !== 'failed') return draft;
      const { roomId, text, createdAt } = draft;
      return { roomId, clientMsgId, text, createdAt, state: 'sending' };
    });
    this.#changed();
    this.#pump();
  }

  discard(clientMsgId: string): void {
    if (this.#remove(clientMsgId)) this.#changed();
  }

  /** The message was seen in the room: whatever became of the call, it arrived. */
  arrived(clientMsgId: string): void {
    if (this.#remove(clientMsgId)) {
      this.#changed();
      this.#pump();
    }
  }

  /** Tells whether calls can reach the server now. */
  setLive(live: boolean): void {
    this.#live = live;
    for (const timer of this.#retries.values()) clearTimeout(timer);
    this.#retries.clear();
    this.#pump();
  }

  close(): void {
    this.setLive(false);
  }

  #pump(): void {
    if (!this.#live) return;
    const busy = new Set([...this.#inFlight, ...this.#retries.keys()]);
    for (const draft of this.#drafts) {
      if (draft.state !== 'sending' || busy.has(draft.roomId)) continue;
      busy.add(draft.roomId);
      this.#inFlight.add(draft.roomId);
      void this.#send(draft);
    }
  }

  async #send(draft: Draft): Promise<void> {
    try {
      const answer = await this.options.send(draft);
      this.#inFlight.delete(draft.roomId);
      // The room first: the message must not be missing from both for a moment.
      this.options.acknowledged(draft, answer);
      this.#remove(draft.clientMsgId);
      this.#changed();
    } catch (cause) {
      this.#inFlight.delete(draft.roomId);
      this.#failed(draft, CallError.from(cause));
    }
    this.#pump();
  }

  #failed(draft: Draft, error: CallError): void {
    const errors = (this.#errors.get(draft.clientMsgId) ?? 0) + (error.lost ? 0 : 1);
    this.#errors.set(draft.clientMsgId, errors);
    const again = transient(error) && errors < SERVER_ERRORS;
    if (again) {
      if (!this.#live) return;
      const wait = Math.min(8_000, 300 * 2 ** errors) * (0.5 + Math.random() / 2);
      const timer = setTimeout(() => {
        this.#retries.delete(draft.roomId);
        this.#pump();
      }, wait);
      this.#retries.set(draft.roomId, timer);
      return;
    }
    this.#drafts = this.#drafts.map((other) =>
      other.clientMsgId === draft.clientMsgId
        ? { ...other, state: 'failed', error: error.message }
        : other,
    );
    this.#changed();
  }

  #remove(clientMsgId: string): boolean {
    const before = this.#drafts.length;
    this.#drafts = this.#drafts.filter((draft) => draft.clientMsgId !== clientMsgId);
    this.#errors.delete(clientMsgId);
    return this.#drafts.length < before;
  }

  #changed(): void {
    try {
      this.options.store.setItem(this.options.key, JSON.stringify(this.#drafts));
    } catch {
      // Storage is full or switched off: the queue still lives as long as the page.
    }
    this.options.changed();
  }
}

function load(store: Store, key: string): Draft[] {
  try {
    const value: unknown = JSON.parse(store.getItem(key) ?? '[]');
    return Array.isArray(value) ? value.filter(isDraft) : [];
  } catch {
    return [];
  }
}

function isDraft(value: unknown): value is Draft {
  const draft = value as Partial<Draft> | null;
  return (
    typeof draft?.roomId === 'string' &&
    typeof draft.clientMsgId === 'string' &&
    typeof draft.text === 'string' &&
    typeof draft.createdAt === 'string' &&
    (draft.state === 'sending' || draft.state === 'failed')
  );
}

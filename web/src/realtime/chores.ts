// What has to be done until it succeeds: reading a log again, moving a read
// pointer. Each chore has a key and is at most once under way; asked for again
// meanwhile, it is done once more afterwards.

import { CallError } from './connection';

interface Chore {
  action: () => Promise<void>;
  failed: (error: CallError) => void;
  running: boolean;
  again: boolean;
  attempts: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** A failure after which the same call may succeed. */
export function transient(error: CallError): boolean {
  // 100 is the gateway's word for an internal error, a service that is away included.
  return error.lost || error.temporary || error.code === 100;
}

export class Chores {
  #chores = new Map<string, Chore>();
  #live = false;

  constructor(private readonly delay: (attempt: number) => number = backoff) {}

  /**
   * Does `action` now, or when there is a connection, until it succeeds.
   * `failed` is told of an error that trying again does not help; then it is over.
   */
  run(key: string, action: () => Promise<void>, failed: (error: CallError) => void): void {
    const known = this.#chores.get(key);
    if (known?.running) {
      Object.assign(known, { action, failed, again: true });
      return;
    }
    clearTimeout(known?.timer);
    const chore: Chore = {
      action,
      failed,
      running: false,
      again: false,
      attempts: 0,
      timer: undefined,
    };
    this.#chores.set(key, chore);
    void this.#attempt(key, chore);
  }

  setLive(live: boolean): void {
    this.#live = live;
    for (const [key, chore] of this.#chores) {
      clearTimeout(chore.timer);
      chore.attempts = 0;
      if (live) void this.#attempt(key, chore);
    }
  }

  close(): void {
    this.setLive(false);
    this.#chores.clear();
  }

  async #attempt(key: string, chore: Chore): Promise<void> {
    if (!this.#live || chore.running) return;
    chore.running = true;
    chore.again = false;
    let error: CallError | undefined;
    try {
      await chore.action();
    } catch (cause) {
      error = CallError.from(cause);
    }
    chore.running = false;
    if (this.#chores.get(key) !== chore) return;
    if (chore.again) {
      chore.attempts = 0;
      return this.#attempt(key, chore);
    }
    if (error && transient(error)) {
      if (this.#live) {
        const wait = this.delay(chore.attempts++);
        chore.timer = setTimeout(() => void this.#attempt(key, chore), wait);
      }
      return;
    }
    this.#chores.delete(key);
    if (error) chore.failed(error);
  }
}

function backoff(attempt: number): number {
  return Math.min(15_000, 500 * 2 ** attempt) * (0.5 + Math.random() / 2);
}

// The caller's notifications and their counters: a fold over pages of `ListInbox`
// and the events of the personal channel.

import type { Counts, InboxEvent, InboxPage, Notification } from './contract';

interface Entry {
  event: InboxEvent;
  offset: number;
}

/** Events remembered so that a page read meanwhile can be brought up to date. */
const RECENT = 500;

export class Inbox {
  #notifications: Notification[] = [];
  #counts: Required<Counts> = { unread: 0, unseen: 0, version: 0 };
  #cursor = '';
  #epoch: string | undefined;
  #recent: Entry[] = [];
  #loaded = false;

  get loaded(): boolean {
    return this.#loaded;
  }

  /** Newest first. */
  get notifications(): readonly Notification[] {
    return this.#notifications;
  }

  get counts(): Readonly<Required<Counts>> {
    return this.#counts;
  }

  /** Cursor of the next older page; empty: there is none. */
  get cursor(): string {
    return this.#cursor;
  }

  /** Replaces the list with its newest page. */
  reset(page: InboxPage): void {
    if (this.#epoch !== undefined && page.epoch !== this.#epoch) {
      // Another log: its offsets and versions begin anew.
      this.#recent = [];
      this.#counts = { unread: 0, unseen: 0, version: 0 };
    }
    this.#epoch = page.epoch;
    this.#notifications = page.notifications ?? [];
    this.#cursor = page.next_cursor ?? '';
    this.#loaded = true;
    this.count(page.counts);
    this.#replay(page.offset ?? 0);
  }

  /** Adds an older page at the end. */
  append(page: InboxPage): void {
    const known = new Set(this.#notifications.map((n) => n.id));
    this.#notifications = [
      ...this.#notifications,
      ...(page.notifications ?? []).filter((n) => !known.has(n.id)),
    ];
    this.#cursor = page.next_cursor ?? '';
    this.count(page.counts);
    this.#replay(page.offset ?? 0);
  }

  /** Folds an event. Applying one again changes nothing. */
  apply(event: InboxEvent, offset: number): void {
    this.count(event.counts);
    if (this.#recent.some((entry) => entry.offset === offset)) return;
    this.#recent.push({ event, offset });
    if (this.#recent.length > RECENT) this.#recent.shift();
    this.#fold(event);
  }

  /** Counters are absolute: of two, the greater version is true. */
  count(counts: Counts | undefined): void {
    if (!counts || (counts.version ?? 0) < this.#counts.version) return;
    this.#counts = {
      unread: counts.unread ?? 0,
      unseen: counts.unseen ?? 0,
      version: counts.version ?? 0,
    };
  }

  #replay(offset: number): void {
    this.#recent.sort((a, b) => a.offset - b.offset);
    for (const entry of this.#recent) if (entry.offset > offset) this.#fold(entry.event);
  }

  #fold({ created, changed, all_read }: InboxEvent): void {
    if (created) {
      const rest = this.#notifications.filter((n) => n.id !== created.id);
      this.#notifications = created.archived_at ? rest : [created, ...rest];
    }
    if (changed) {
      const ids = new Set(changed.ids);
      if (changed.state === 'STATE_ARCHIVED') {
        this.#notifications = this.#notifications.filter((n) => !ids.has(n.id));
      } else {
        this.#map((n) => (ids.has(n.id) ? withState(n, changed.state) : n));
      }
    }
    if (all_read) {
      const until = all_read.until ? Date.parse(all_read.until) : Infinity;
      this.#map((n) => {
        const at = n.created_at ? Date.parse(n.created_at) : 0;
        return at <= until ? withState(n, 'STATE_READ') : n;
      });
    }
  }

  #map(change: (n: Notification) => Notification): void {
    this.#notifications = this.#notifications.map(change);
  }
}

function withState(n: Notification, state: string | undefined): Notification {
  // The event has no times of its own; that there is one is all that is shown.
  const now = new Date().toISOString();
  const { read_at, ...unreadNotification } = n;
  switch (state) {
    case 'STATE_SEEN':
      return { ...n, seen_at: n.seen_at ?? now };
    case 'STATE_READ':
      return { ...n, seen_at: n.seen_at ?? now, read_at: read_at ?? now };
    case 'STATE_UNREAD':
      return unreadNotification;
    default:
      return n;
  }
}

// The caller's rooms: names, newest message, unread counts. A fold over pages of
// `ListRooms` and the events of each room's channel.

import type { Member, Message, Room, RoomEvent, RoomSummary } from './contract';

export interface RoomState {
  room: Room;
  membership: Member;
  lastMessage: Message | undefined;
  /** Seq of the newest message; the unread count is this minus `readSeq`. */
  lastSeq: number;
  readSeq: number;
  /** Unread messages that mention the caller. */
  mentions: number;
  /** Offset up to which events are folded in. */
  offset: number;
}

export class Rooms {
  #rooms = new Map<string, RoomState>();
  #sorted: RoomState[] | undefined;

  constructor(private readonly user: string) {}

  get(id: string): RoomState | undefined {
    return this.#rooms.get(id);
  }

  /** Rooms by newest activity. */
  get all(): readonly RoomState[] {
    this.#sorted ??= [...this.#rooms.values()].sort(
      (a, b) => activity(b) - activity(a) || (a.room.id < b.room.id ? -1 : 1),
    );
    return this.#sorted;
  }

  get totalUnread(): number {
    return this.all.reduce((sum, room) => sum + unread(room), 0);
  }

  /** Takes a summary read by RPC, unless events newer than it were folded already. */
  put(summary: RoomSummary): RoomState {
    const { room } = summary;
    const offset = room.offset ?? 0;
    const known = this.#rooms.get(room.id);
    const membership = summary.membership ?? known?.membership ?? { user: this.user };
    const readSeq = Math.max(membership.read_seq ?? 0, known?.readSeq ?? 0);
    if (known && known.room.epoch === room.epoch && known.offset > offset) {
      // Read pointers are not part of the log: they only ever move forward.
      return this.#set({ ...known, membership, readSeq });
    }
    const lastSeq = room.last_message_seq ?? 0;
    return this.#set({
      room,
      membership,
      lastMessage: summary.last_message,
      lastSeq,
      readSeq,
      mentions: readSeq >= lastSeq ? 0 : (summary.unread_mentions ?? 0),
      offset,
    });
  }

  remove(id: string): void {
    this.#rooms.delete(id);
    this.#sorted = undefined;
  }

  /** Folds an event of the room's channel. `left`: the caller is no longer a member. */
  apply(id: string, event: RoomEvent, offset: number | undefined): 'folded' | 'left' {
    if (event.read?.user === this.user) this.markRead(id, event.read.read_seq ?? 0);
    const state = this.#rooms.get(id);
    if (!state || offset === undefined || offset <= state.offset) return 'folded';
    if (event.member_left?.member.user === this.user) {
      this.remove(id);
      return 'left';
    }
    this.#set(folded(state, event, offset, this.user));
    return 'folded';
  }

  /** Moves the read pointer forward, never back. */
  markRead(id: string, seq: number): void {
    const state = this.#rooms.get(id);
    if (!state || seq <= state.readSeq) return;
    const left = Math.max(0, state.lastSeq - seq);
    // Which of the earlier messages were mentions is not known here; never more than are unread.
    this.#set({ ...state, readSeq: seq, mentions: Math.min(state.mentions, left) });
  }

  #set(state: RoomState): RoomState {
    this.#rooms.set(state.room.id, state);
    this.#sorted = undefined;
    return state;
  }
}

function folded(state: RoomState, event: RoomEvent, offset: number, user: string): RoomState {
  const next = { ...state, offset };
  const created = event.message_created;
  if (created) {
    next.lastMessage = created;
    next.lastSeq = Math.max(state.lastSeq, created.seq);
    if (created.seq > state.readSeq && created.mentions?.includes(user)) next.mentions += 1;
  }
  const changed = event.message_updated ?? event.message_deleted;
  if (changed && changed.seq === state.lastMessage?.seq) next.lastMessage = changed;
  const joined = (event.member_joined ? 1 : 0) - (event.member_left ? 1 : 0);
  if (joined !== 0) {
    const count = Math.max(0, (state.room.member_count ?? 0) + joined);
    next.room = { ...state.room, member_count: count };
  }
  if (event.member_changed?.member.user === user) next.membership = event.member_changed.member;
  return next;
}

export function unread(room: RoomState): number {
  return Math.max(0, room.lastSeq - room.readSeq);
}

/** What to call a room: its name, or the other user of a direct one. */
export function title(room: Room, user: string): string {
  if (room.kind === 'ROOM_KIND_DIRECT') {
    return room.direct_users?.find((other) => other !== user) ?? room.name ?? user;
  }
  return room.name ?? room.id;
}

function activity(state: RoomState): number {
  const at = state.lastMessage?.created_at ?? state.room.created_at;
  return at ? Date.parse(at) : 0;
}

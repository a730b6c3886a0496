// Everything that a signed-in user sees, kept true by the connection: the rooms,
// the open room's messages, members and people, the inbox, the outbox.
//
// State is a fold over logs. Each log is read once by RPC, which tells a position,
// and followed from there; when the gateway says that something was missed, the
// log is read again. Nothing here knows a page.

import { Chores } from './chores';
import { CalmState, CallError } from './connection';
import type { Calm, Feed, Link, LinkState, Peer } from './connection';
import type {
  Counts,
  InboxEvent,
  InboxPage,
  Member,
  MessageAnswer,
  MessagePage,
  Room,
  RoomEvent,
  RoomKind,
  RoomSummary,
} from './contract';
import { Inbox } from './inbox';
import { Timeline } from './messages';
import { Outbox } from './outbox';
import type { Store } from './outbox';
import { Presence } from './presence';
import { Rooms } from './rooms';
import type { RoomState } from './rooms';
import { TypingSender, TypingUsers } from './typing';

/** Rooms followed at a time, below the gateway's default limit of channels. */
const FOLLOWED = 100;
/** Messages of a page. */
const PAGE = 50;
/** Members that are read; more are a crowd, not a list. */
const MEMBERS = 1_000;
/** Rooms whose messages stay in memory. */
const KEPT = 20;

/** What the page knows about a room beyond its line in the list. */
export interface RoomDetail {
  timeline: Timeline;
  presence: Presence;
  members: Map<string, Member>;
  /** Why its messages cannot be shown. */
  error: string | undefined;
  /** The room, while the caller may see it and is not a member. */
  preview: Room | undefined;
  /** Pages under way. */
  loading: number;
}

export interface SessionOptions {
  user: string;
  link: Link;
  store: Store;
  /** Something went wrong that people should know. */
  notice?: (text: string) => void;
}

export class Session {
  readonly user: string;
  readonly rooms: Rooms;
  readonly inbox = new Inbox();
  readonly outbox: Outbox;
  readonly typing: TypingUsers;
  #link: Link;
  #calm: CalmState;
  #typingSender: TypingSender;
  #details = new Map<string, RoomDetail>();
  #feeds = new Map<string, Feed>();
  #reads = new Map<string, number>();
  #chores = new Chores();
  #openRoom: string | undefined;
  #roomsLoaded = false;
  #closedReason = '';
  #closed = false;
  #listeners = new Set<() => void>();
  #notice: (text: string) => void;

  constructor(options: SessionOptions) {
    this.user = options.user;
    this.rooms = new Rooms(options.user);
    this.#link = options.link;
    this.#notice = options.notice ?? (() => undefined);
    this.#calm = new CalmState(() => this.#changed());
    this.typing = new TypingUsers(() => this.#changed());
    this.#typingSender = new TypingSender((room_id) => {
      // A lost hint is no loss.
      this.#link.call('chat.SendTyping', { room_id }).catch(() => undefined);
    });
    this.outbox = new Outbox({
      key: `fanfare.outbox.${options.user}`,
      store: options.store,
      send: ({ roomId, clientMsgId, text }) =>
        this.#link.call<MessageAnswer>('chat.SendMessage', {
          room_id: roomId,
          client_msg_id: clientMsgId,
          text,
        }),
      acknowledged: ({ roomId }, { message, offset }) =>
        this.#foldMessage(roomId, { message_created: message }, offset ?? 0),
      changed: () => this.#changed(),
    });
    this.#link.personal('inbox:', {
      live: (complete) => {
        if (!complete) this.#loadInbox();
      },
      publication: (data, offset) => this.#personal(data as InboxEvent & RoomEvent, offset),
    });
    this.#link.onState((state, reason) => this.#linkState(state, reason));
    this.#linkState(this.#link.state, '');
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get connection(): Calm {
    return this.#calm.shown;
  }

  /** Why the server closed the connection for good; empty: it did not. */
  get closedReason(): string {
    return this.#closedReason;
  }

  get roomsLoaded(): boolean {
    return this.#roomsLoaded;
  }

  reconnect(): void {
    this.#closedReason = '';
    this.#link.reopen();
  }

  close(): void {
    this.#closed = true;
    this.#chores.close();
    this.#calm.stop();
    this.outbox.close();
    this.typing.clear();
    this.#link.close();
  }

  // Rooms

  detail(id: string): RoomDetail | undefined {
    return this.#details.get(id);
  }

  /** Shows a room, at a message when `seq` is given. */
  open(id: string, seq?: number): void {
    this.#openRoom = id;
    const detail = this.#detailOf(id);
    detail.error = undefined;
    this.#chores.run(
      `open ${id}`,
      async () => {
        if (this.#openRoom !== id || !(await this.#enter(id, detail))) return;
        this.#loadPresence(id);
        this.#loadMembers(id);
        if (!detail.timeline.loaded || (seq !== undefined && !detail.timeline.has(seq))) {
          await this.#loadMessages(id, seq);
        }
      },
      (error) => {
        detail.error = error.message;
        this.#changed();
      },
    );
  }

  /** No room is shown. */
  leaveView(): void {
    this.#openRoom = undefined;
  }

  async loadOlder(id: string): Promise<void> {
    const { timeline, loading } = this.#detailOf(id);
    const before_seq = timeline.first;
    if (!timeline.hasMoreBefore || loading > 0) return;
    await this.#page(id, { before_seq }, (page) => {
      if (timeline.first === before_seq) timeline.prepend(page);
    });
  }

  async loadNewer(id: string): Promise<void> {
    const { timeline } = this.#detailOf(id);
    const after_seq = timeline.last;
    await this.#page(id, { after_seq }, (page) => {
      if (timeline.last === after_seq) timeline.append(page);
    });
  }

  /** Shows the newest messages, wherever the window was. */
  async jumpToLatest(id: string): Promise<void> {
    if (this.#detailOf(id).timeline.hasMoreAfter) await this.#loadMessages(id);
  }

  async create(kind: RoomKind, name: string, members: string[]): Promise<string> {
    const { room } = await this.#link.call<{ room: Room }>('chat.CreateRoom', {
      kind,
      name,
      members,
      client_room_id: crypto.randomUUID(),
    });
    return this.#added(room);
  }

  async openDirect(user: string): Promise<string> {
    const { room } = await this.#link.call<{ room: Room }>('chat.OpenDirectRoom', { user });
    return this.#added(room);
  }

  async join(id: string): Promise<string> {
    const { summary } = await this.#link.call<{ summary: RoomSummary }>('chat.JoinRoom', {
      room_id: id,
    });
    this.#put(summary);
    this.#follow(id);
    this.#details.delete(id);
    if (this.#openRoom === id) this.open(id);
    return id;
  }

  async leave(id: string): Promise<void> {
    await this.#link.call('chat.LeaveRoom', { room_id: id });
    this.#drop(id);
  }

  async addMember(id: string, user: string): Promise<void> {
    await this.#link.call('chat.AddMember', { room_id: id, user });
  }

  async publicRooms(query: string): Promise<Room[]> {
    const page = await this.#link.call<{ rooms?: Room[] }>('chat.ListPublicRooms', { query });
    return page.rooms ?? [];
  }

  // Messages

  /** Takes a message to be sent; false: too many are waiting already. */
  send(id: string, text: string): boolean {
    this.#typingSender.sent(id);
    return this.outbox.add(id, text);
  }

  async edit(id: string, seq: number, text: string): Promise<void> {
    const answer = await this.#link.call<MessageAnswer>('chat.EditMessage', {
      room_id: id,
      seq,
      text,
    });
    this.#foldMessage(id, { message_updated: answer.message }, answer.offset ?? 0);
  }

  async remove(id: string, seq: number): Promise<void> {
    const answer = await this.#link.call<MessageAnswer>('chat.DeleteMessage', {
      room_id: id,
      seq,
    });
    this.#foldMessage(id, { message_deleted: answer.message }, answer.offset ?? 0);
  }

  typed(id: string): void {
    if (this.#link.state === 'live') this.#typingSender.typed(id);
  }

  /** The user has seen the room up to this message. */
  read(id: string, seq: number): void {
    const room = this.rooms.get(id);
    if (!room || seq <= room.readSeq) return;
    this.rooms.markRead(id, seq);
    this.#reads.set(id, seq);
    this.#changed();
    this.#chores.run(
      `read ${id}`,
      async () => {
        await this.#link.call('chat.MarkRead', { room_id: id, seq: this.#reads.get(id) ?? seq });
      },
      // Not a member any more: there is nothing left to read.
      () => undefined,
    );
  }

  // Inbox

  async loadMoreNotifications(): Promise<void> {
    const { cursor } = this.inbox;
    if (!cursor) return;
    const page = await this.#link.call<InboxPage>('notify.ListInbox', { cursor });
    if (this.inbox.cursor === cursor) this.inbox.append(page);
    this.#changed();
  }

  async markSeen(): Promise<void> {
    const ids = this.inbox.notifications.filter((n) => !n.seen_at).map((n) => n.id);
    if (ids.length > 0) await this.#changeInbox('notify.MarkSeen', { ids });
  }

  async markNotificationRead(id: string, unread = false): Promise<void> {
    await this.#changeInbox('notify.MarkRead', unread ? { ids: [id], unread } : { ids: [id] });
  }

  async markAllRead(): Promise<void> {
    await this.#changeInbox('notify.MarkAllRead', {});
  }

  async archive(id: string): Promise<void> {
    await this.#changeInbox('notify.Archive', { ids: [id] });
  }

  // The connection

  #linkState(state: LinkState, reason: string): void {
    if (this.#closed) return;
    this.#calm.update(state);
    this.#closedReason = state === 'closed' ? reason || 'closed' : '';
    this.#chores.setLive(state === 'live');
    this.outbox.setLive(state === 'live');
    if (state === 'live') {
      // Being added to a room is told once and not logged: the list is the truth.
      this.#loadRooms();
      if (!this.inbox.loaded) this.#loadInbox();
    }
    this.#changed();
  }

  #loadRooms(): void {
    this.#chores.run(
      'rooms',
      async () => {
        const ids = new Set<string>();
        let cursor = '';
        do {
          const page = await this.#link.call<{ rooms?: RoomSummary[]; next_cursor?: string }>(
            'chat.ListRooms',
            { limit: 200, ...(cursor ? { cursor } : {}) },
          );
          for (const summary of page.rooms ?? []) {
            ids.add(summary.room.id);
            this.rooms.put(summary);
          }
          cursor = page.next_cursor ?? '';
        } while (cursor);
        for (const { room } of this.rooms.all.filter((state) => !ids.has(state.room.id))) {
          // Just joined, or left: the room itself knows.
          this.#reload(room.id);
        }
        this.#roomsLoaded = true;
        for (const { room } of this.rooms.all.slice(0, FOLLOWED)) this.#follow(room.id);
        this.#changed();
      },
      (error) => this.#complain('Your rooms could not be loaded', error),
    );
  }

  #loadInbox(): void {
    this.#chores.run(
      'inbox',
      async () => {
        this.inbox.reset(await this.#link.call<InboxPage>('notify.ListInbox', {}));
        this.#changed();
      },
      (error) => this.#complain('Notifications could not be loaded', error),
    );
  }

  #personal(data: InboxEvent & RoomEvent, offset: number | undefined): void {
    if (data.room_added) void this.#added(data.room_added).catch(() => undefined);
    else if (offset === undefined) this.inbox.count(data.counts);
    else this.inbox.apply(data, offset);
    this.#changed();
  }

  async #changeInbox(method: string, params: object): Promise<void> {
    try {
      const { counts } = await this.#link.call<{ counts?: Counts }>(method, params);
      // The list itself follows by the event, on this device as on the others.
      this.inbox.count(counts);
      this.#changed();
    } catch (cause) {
      this.#complain('That did not work', cause);
    }
  }

  // One room

  #getRoom(id: string): Promise<RoomSummary> {
    return this.#link
      .call<{ summary: RoomSummary }>('chat.GetRoom', { room_id: id })
      .then((answer) => answer.summary);
  }

  #put(summary: RoomSummary): void {
    this.rooms.put(summary);
    this.#changed();
  }

  /** A room that the caller is in since just now. */
  async #added(room: Room): Promise<string> {
    if (!this.rooms.get(room.id)) this.#put(await this.#getRoom(room.id));
    this.#follow(room.id);
    return room.id;
  }

  #follow(id: string): void {
    const state = this.rooms.get(id);
    if (!state || this.#feeds.has(id)) return;
    const { channel, epoch } = state.room;
    const since = epoch ? { epoch, offset: state.offset } : undefined;
    const feed = this.#link.follow(channel ?? `room:${id}`, since, {
      live: (complete) => {
        if (!complete) this.#reload(id);
        if (this.#openRoom === id) this.#loadPresence(id);
      },
      publication: (data, offset) => this.#roomEvent(id, data as RoomEvent, offset),
      join: (peer) => this.#peer(id, peer, true),
      leave: (peer) => this.#peer(id, peer, false),
      ended: () => {
        this.#feeds.delete(id);
        // Either the caller is no longer a member, or the state has to be read anew.
        setTimeout(() => this.#reload(id), 1_000);
      },
    });
    this.#feeds.set(id, feed);
  }

  /** Reads a room again after events were missed. */
  #reload(id: string): void {
    if (this.#closed) return;
    this.#chores.run(
      `reload ${id}`,
      async () => {
        const summary = await this.#getRoom(id);
        if (!summary.membership) return this.#drop(id);
        this.rooms.put(summary);
        this.#follow(id);
        const detail = this.#details.get(id);
        if (detail?.timeline.loaded) await this.#loadMessages(id);
        if (detail) this.#loadMembers(id);
        this.#changed();
      },
      () => this.#drop(id),
    );
  }

  /** Makes sure that the caller follows the room; false: they are not a member. */
  async #enter(id: string, detail: RoomDetail): Promise<boolean> {
    if (!this.rooms.get(id)) {
      const summary = await this.#getRoom(id);
      detail.preview = summary.membership ? undefined : summary.room;
      if (summary.membership) this.rooms.put(summary);
      this.#changed();
      if (detail.preview) return false;
    }
    this.#follow(id);
    return true;
  }

  #drop(id: string): void {
    this.#feeds.get(id)?.close();
    this.#feeds.delete(id);
    this.rooms.remove(id);
    const detail = this.#details.get(id);
    if (detail && this.#openRoom === id) detail.error = 'You are not a member of this room.';
    else this.#details.delete(id);
    this.#changed();
  }

  #roomEvent(id: string, event: RoomEvent, offset: number | undefined): void {
    if (event.typing) {
      if (event.typing.user !== this.user) this.typing.typing(id, event.typing.user);
      return;
    }
    this.#foldMembers(id, event);
    if (this.rooms.apply(id, event, offset) === 'left') {
      this.#drop(id);
      return;
    }
    if (offset !== undefined) this.#foldMessage(id, event, offset);
    this.#changed();
  }

  #foldMessage(id: string, event: RoomEvent, offset: number): void {
    const created = event.message_created;
    if (created) {
      this.typing.stopped(id, created.author);
      if (created.author === this.user && created.client_msg_id) {
        this.outbox.arrived(created.client_msg_id);
      }
    }
    const timeline = this.#details.get(id)?.timeline;
    if (timeline?.apply(event, offset) === 'gap') this.#closeGap(id);
    this.#changed();
  }

  #closeGap(id: string): void {
    this.#chores.run(
      `gap ${id}`,
      () => this.loadNewer(id),
      () => this.#reload(id),
    );
  }

  #foldMembers(id: string, event: RoomEvent): void {
    const members = this.#details.get(id)?.members;
    if (!members) return;
    const present = event.member_joined ?? event.member_changed;
    if (present) members.set(present.member.user, present.member);
    if (event.member_left) members.delete(event.member_left.member.user);
    if (event.read) {
      const { user, read_seq = 0 } = event.read;
      const member = members.get(user);
      if (member && read_seq > (member.read_seq ?? 0)) members.set(user, { ...member, read_seq });
    }
  }

  #peer(id: string, peer: Peer, here: boolean): void {
    const presence = this.#details.get(id)?.presence;
    if (here) presence?.join(peer);
    else presence?.leave(peer);
    this.#changed();
  }

  #detailOf(id: string): RoomDetail {
    const known = this.#details.get(id);
    const detail: RoomDetail = known ?? {
      timeline: new Timeline(),
      presence: new Presence(),
      members: new Map(),
      error: undefined,
      preview: undefined,
      loading: 0,
    };
    // Last used goes last; the first is forgotten.
    this.#details.delete(id);
    this.#details.set(id, detail);
    for (const other of this.#details.keys()) {
      if (this.#details.size <= KEPT) break;
      if (other !== id && other !== this.#openRoom) this.#details.delete(other);
    }
    return detail;
  }

  #loadMessages(id: string, around?: number): Promise<void> {
    const { timeline } = this.#detailOf(id);
    const anchor = around === undefined ? {} : { around_seq: around };
    return this.#page(id, anchor, (page) => timeline.reset(page));
  }

  async #page(id: string, anchor: object, take: (page: MessagePage) => void): Promise<void> {
    const detail = this.#detailOf(id);
    detail.loading += 1;
    this.#changed();
    try {
      take(
        await this.#link.call<MessagePage>('chat.ListMessages', {
          room_id: id,
          limit: PAGE,
          ...anchor,
        }),
      );
      for (const message of detail.timeline.messages) {
        if (message.author === this.user && message.client_msg_id) {
          this.outbox.arrived(message.client_msg_id);
        }
      }
    } finally {
      detail.loading -= 1;
      this.#changed();
    }
  }

  #loadPresence(id: string): void {
    this.#chores.run(
      `presence ${id}`,
      async () => {
        const feed = this.#feeds.get(id);
        if (feed) await this.#detailOf(id).presence.load(() => feed.presence());
        this.#changed();
      },
      // Not offered here: joins and leaves still come.
      () => undefined,
    );
  }

  #loadMembers(id: string): void {
    this.#chores.run(
      `members ${id}`,
      async () => {
        const members = new Map<string, Member>();
        let cursor = '';
        do {
          const page = await this.#link.call<{ members?: Member[]; next_cursor?: string }>(
            'chat.ListMembers',
            { room_id: id, limit: 200, ...(cursor ? { cursor } : {}) },
          );
          for (const member of page.members ?? []) members.set(member.user, member);
          cursor = page.next_cursor ?? '';
        } while (cursor && members.size < MEMBERS);
        this.#detailOf(id).members = members;
        this.#changed();
      },
      (error) => this.#complain('The members could not be loaded', error),
    );
  }

  #complain(what: string, cause: unknown): void {
    const error = CallError.from(cause);
    this.#notice(`${what}: ${error.message}`);
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

export type { RoomState };

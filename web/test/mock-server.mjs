// A stand-in for the gateway and its services, in memory, to work on the page
// alone: `npm run mock`, then http://localhost:8100. It speaks as much of the
// JSON protocol as the page uses and keeps nothing. Not a reference for anything.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { WebSocket, WebSocketServer } from 'ws';

export { WebSocket };

const DIST = new URL('../dist/', import.meta.url).pathname;
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.map': 'application/json',
};
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'";

export function startMock(port = 0) {
  const world = new World();
  const http = createServer((request, response) => void serve(world, request, response));
  const sockets = new WebSocketServer({ server: http, path: '/connection/websocket' });
  sockets.on('connection', (socket) => world.accept(socket));
  return new Promise((resolve) => {
    http.listen(port, () => {
      resolve({
        url: `http://localhost:${http.address().port}`,
        world,
        /** Cuts all connections, as a restart does. */
        cut: () => sockets.clients.forEach((client) => client.terminate()),
        close: () => {
          sockets.clients.forEach((client) => client.terminate());
          http.closeAllConnections();
          http.close();
        },
      });
    });
  });
}

async function serve(world, request, response) {
  const { pathname } = new URL(request.url, 'http://localhost');
  if (pathname === '/dev/info') return json(response, { development: true });
  if (pathname === '/dev/token') {
    let body = '';
    for await (const chunk of request) body += chunk;
    const claims = Buffer.from(JSON.stringify({ sub: JSON.parse(body).user })).toString(
      'base64url',
    );
    return json(response, { token: `e30.${claims}.x` });
  }
  const path = normalize(pathname === '/' ? '/index.html' : pathname);
  try {
    const body = await readFile(join(DIST, path));
    response.writeHead(200, {
      'content-type': TYPES[extname(path)] ?? 'application/octet-stream',
      'content-security-policy': CSP,
    });
    response.end(body);
  } catch {
    response.writeHead(404).end();
  }
}

function json(response, value) {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
}

class Failure extends Error {
  constructor(code, message, temporary = false) {
    super(message);
    this.reply = { code, message, temporary };
  }
}

class World {
  rooms = new Map();
  inboxes = new Map();
  clients = new Set();
  next = 1;

  accept(socket) {
    const client = { socket, id: `c${this.next++}`, user: '', channels: new Set() };
    this.clients.add(client);
    socket.on('message', (data) => {
      for (const line of String(data).split('\n')) {
        if (line.trim() !== '') this.command(client, JSON.parse(line));
      }
    });
    socket.on('close', () => {
      this.clients.delete(client);
      for (const channel of client.channels) this.push(channel, { leave: { info: info(client) } });
    });
  }

  command(client, command) {
    if (command.id === undefined) return;
    const reply = (body) => client.socket.send(JSON.stringify({ id: command.id, ...body }));
    try {
      if (command.connect) reply({ connect: this.connect(client, command.connect) });
      else if (command.subscribe) {
        const { channel } = command.subscribe;
        reply({ subscribe: this.subscribe(client, command.subscribe) });
        this.push(channel, { join: { info: info(client) } });
      } else if (command.unsubscribe) {
        client.channels.delete(command.unsubscribe.channel);
        this.push(command.unsubscribe.channel, { leave: { info: info(client) } });
        reply({ unsubscribe: {} });
      } else if (command.presence) {
        const here = [...this.clients].filter((c) => c.channels.has(command.presence.channel));
        reply({ presence: { presence: Object.fromEntries(here.map((c) => [c.id, info(c)])) } });
      } else if (command.rpc) {
        const [, name] = command.rpc.method.split('.');
        const target = command.rpc.method.startsWith('chat.') ? this.chat : this.notify;
        if (!target[name]) throw new Failure(104, 'method not found');
        reply({ rpc: { data: target[name].call(this, client.user, command.rpc.data ?? {}) } });
      } else reply({ error: { code: 108, message: 'not available' } });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      reply({ error: error.reply });
    }
  }

  connect(client, { token, subs = {} }) {
    client.user = JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).sub;
    const channel = `inbox:#${client.user}`;
    client.channels.add(channel);
    const log = this.inbox(client.user).log;
    return {
      client: client.id,
      version: 'mock',
      ping: 25,
      pong: true,
      subs: { [channel]: subscribed(log, subs[channel]) },
    };
  }

  subscribe(client, request) {
    const room = this.rooms.get(request.channel.slice('room:'.length));
    if (!room?.members.has(client.user)) throw new Failure(103, 'permission denied');
    client.channels.add(request.channel);
    return subscribed(room.log, request);
  }

  push(channel, push) {
    const text = JSON.stringify({ push: { channel, ...push } });
    for (const client of this.clients) if (client.channels.has(channel)) client.socket.send(text);
  }

  append(channel, log, data) {
    log.events.push(data);
    const offset = log.events.length;
    this.push(channel, { pub: { data, offset } });
    return offset;
  }

  inbox(user) {
    if (!this.inboxes.has(user)) {
      this.inboxes.set(user, { log: { epoch: `i-${user}`, events: [] }, items: [], version: 0 });
    }
    return this.inboxes.get(user);
  }

  counts(inbox) {
    return clean({
      unread: inbox.items.filter((n) => !n.read_at && !n.archived_at).length,
      unseen: inbox.items.filter((n) => !n.seen_at && !n.archived_at).length,
      version: inbox.version,
    });
  }

  inboxEvent(user, event) {
    const inbox = this.inbox(user);
    inbox.version += 1;
    const counts = this.counts(inbox);
    this.append(`inbox:#${user}`, inbox.log, { counts, ...event });
    return { counts };
  }

  tell(user, notification) {
    const n = { id: `n${this.next++}`, user, created_at: now(), ...notification };
    this.inbox(user).items.unshift(n);
    this.inboxEvent(user, { created: n });
  }

  room(user, id) {
    const room = this.rooms.get(id);
    const listed = room && ['ROOM_KIND_PUBLIC', 'ROOM_KIND_BROADCAST'].includes(room.room.kind);
    if (!room || (!room.members.has(user) && !listed)) throw new Failure(404, 'room not found');
    return room;
  }

  summary(user, { room, members, messages, log }) {
    const membership = members.get(user);
    const read = membership?.read_seq ?? 0;
    return clean({
      room: clean({
        ...room,
        channel: `room:${room.id}`,
        epoch: log.epoch,
        offset: log.events.length,
        last_message_seq: messages.length,
        member_count: members.size,
      }),
      membership,
      last_message: messages.at(-1),
      unread_count: messages.length - read,
      unread_mentions: messages.slice(read).filter((m) => m.mentions?.includes(user)).length,
    });
  }

  make(user, kind, name, users, extra = {}) {
    const id = `r${this.next++}`;
    const members = new Map();
    for (const member of new Set([user, ...users])) {
      members.set(
        member,
        clean({
          user: member,
          role: member === user ? 'ROLE_OWNER' : 'ROLE_MEMBER',
          joined_at: now(),
          read_seq: 0,
        }),
      );
    }
    const room = {
      room: { id, kind, name, created_at: now(), created_by: user, ...extra },
      members,
      messages: [],
      log: { epoch: `e-${id}`, events: [] },
    };
    this.rooms.set(id, room);
    const added = this.summary(user, room).room;
    for (const member of members.keys()) {
      this.push(`inbox:#${member}`, { pub: { data: { room_added: added } } });
    }
    return room;
  }

  event(room, event) {
    return this.append(`room:${room.room.id}`, room.log, event);
  }

  say(room, user, text, client_msg_id, created_at = now()) {
    const id = room.room.id;
    const mentions = [...text.matchAll(/@([\p{L}\p{N}_-]+)/gu)]
      .map((match) => match[1])
      .filter((name) => room.members.has(name));
    const message = clean({
      room_id: id,
      seq: room.messages.length + 1,
      id: `m${this.next++}`,
      author: user,
      client_msg_id,
      text,
      mentions: mentions.length > 0 ? mentions : undefined,
      created_at,
    });
    room.messages.push(message);
    const offset = this.event(room, { message_created: message });
    for (const mention of new Set(mentions)) {
      if (mention === user) continue;
      this.tell(mention, {
        category: 'mention',
        title: `${user} mentioned you in ${room.room.name}`,
        body: text,
        link: `#/room/${id}/${message.seq}`,
        actor: user,
      });
    }
    return { message, offset };
  }

  change(user, id, ids, state, set) {
    const inbox = this.inbox(user);
    inbox.items.filter((n) => ids.includes(n.id)).forEach(set);
    return this.inboxEvent(user, { changed: { ids, state } });
  }

  chat = {
    CreateRoom(user, { kind, name, members = [] }) {
      if (!name) throw new Failure(400, 'name is empty');
      return { room: this.summary(user, this.make(user, kind, name, members)).room };
    },
    OpenDirectRoom(user, { user: other }) {
      const pair = [user, other].sort();
      const known = [...this.rooms.values()].find(
        (r) => r.room.direct_users?.join() === pair.join(),
      );
      const room =
        known ?? this.make(user, 'ROOM_KIND_DIRECT', '', [other], { direct_users: pair });
      return { room: this.summary(user, room).room };
    },
    GetRoom(user, { room_id }) {
      return { summary: this.summary(user, this.room(user, room_id)) };
    },
    ListRooms(user) {
      const rooms = [...this.rooms.values()].filter((r) => r.members.has(user));
      return { rooms: rooms.map((r) => this.summary(user, r)) };
    },
    ListPublicRooms(user, { query = '' }) {
      const rooms = [...this.rooms.values()].filter(
        (r) =>
          ['ROOM_KIND_PUBLIC', 'ROOM_KIND_BROADCAST'].includes(r.room.kind) &&
          r.room.name.toLowerCase().includes(query.toLowerCase()),
      );
      return { rooms: rooms.map((r) => this.summary(user, r).room) };
    },
    JoinRoom(user, { room_id }) {
      const room = this.room(user, room_id);
      if (!room.members.has(user)) {
        const member = { user, role: 'ROLE_MEMBER', joined_at: now() };
        room.members.set(user, member);
        this.event(room, { member_joined: { room_id, member, by: user } });
      }
      return { summary: this.summary(user, room) };
    },
    LeaveRoom(user, { room_id }) {
      const room = this.room(user, room_id);
      const member = room.members.get(user);
      room.members.delete(user);
      this.event(room, { member_left: { room_id, member, by: user } });
      return {};
    },
    AddMember(user, { room_id, user: added }) {
      const room = this.room(user, room_id);
      const member = { user: added, role: 'ROLE_MEMBER', joined_at: now() };
      room.members.set(added, member);
      this.event(room, { member_joined: { room_id, member, by: user } });
      this.push(`inbox:#${added}`, {
        pub: { data: { room_added: this.summary(added, room).room } },
      });
      return { member };
    },
    ListMembers(user, { room_id }) {
      return { members: [...this.room(user, room_id).members.values()] };
    },
    SendMessage(user, { room_id, client_msg_id, text }) {
      const room = this.room(user, room_id);
      if (text === '/fail') throw new Failure(103, 'permission denied');
      const known = room.messages.find(
        (m) => m.author === user && m.client_msg_id === client_msg_id,
      );
      if (known) return { message: known, offset: room.log.events.length };
      return this.say(room, user, text, client_msg_id);
    },
    EditMessage(user, { room_id, seq, text }) {
      const room = this.room(user, room_id);
      const message = { ...room.messages[seq - 1], text, edited_at: now() };
      room.messages[seq - 1] = message;
      return { message, offset: this.event(room, { message_updated: message }) };
    },
    DeleteMessage(user, { room_id, seq }) {
      const room = this.room(user, room_id);
      const { text: _text, mentions: _mentions, ...rest } = room.messages[seq - 1];
      const message = { ...rest, deleted_at: now() };
      room.messages[seq - 1] = message;
      return { message, offset: this.event(room, { message_deleted: message }) };
    },
    ListMessages(user, { room_id, before_seq, after_seq, around_seq, limit = 50 }) {
      const { messages, log } = this.room(user, room_id);
      let from = Math.max(0, messages.length - limit);
      let to = messages.length;
      if (before_seq) [from, to] = [Math.max(0, before_seq - 1 - limit), before_seq - 1];
      if (after_seq) [from, to] = [after_seq, after_seq + limit];
      if (around_seq) [from, to] = [Math.max(0, around_seq - limit / 2), around_seq + limit / 2];
      return clean({
        messages: messages.slice(from, to),
        has_more_before: from > 0,
        has_more_after: to < messages.length,
        epoch: log.epoch,
        offset: log.events.length,
      });
    },
    MarkRead(user, { room_id, seq }) {
      const member = this.room(user, room_id).members.get(user);
      member.read_seq = Math.max(member.read_seq ?? 0, seq);
      this.push(`room:${room_id}`, {
        pub: { data: { read: { room_id, user, read_seq: member.read_seq } } },
      });
      return { read_seq: member.read_seq };
    },
    SendTyping(user, { room_id }) {
      this.push(`room:${room_id}`, { pub: { data: { typing: { room_id, user } } } });
      return {};
    },
  };

  notify = {
    ListInbox(user) {
      const inbox = this.inbox(user);
      return {
        notifications: inbox.items.filter((n) => !n.archived_at),
        counts: this.counts(inbox),
        channel: `inbox:#${user}`,
        epoch: inbox.log.epoch,
        offset: inbox.log.events.length,
      };
    },
    MarkSeen(user, { ids }) {
      return this.change(user, 'seen', ids, 'STATE_SEEN', (n) => (n.seen_at = now()));
    },
    MarkRead(user, { ids, unread }) {
      return this.change(user, 'read', ids, unread ? 'STATE_UNREAD' : 'STATE_READ', (n) => {
        n.seen_at ??= now();
        if (unread) delete n.read_at;
        else n.read_at = now();
      });
    },
    MarkAllRead(user) {
      for (const n of this.inbox(user).items) {
        n.seen_at ??= now();
        n.read_at ??= now();
      }
      return this.inboxEvent(user, { all_read: { until: now() } });
    },
    Archive(user, { ids }) {
      return this.change(user, 'archived', ids, 'STATE_ARCHIVED', (n) => (n.archived_at = now()));
    },
  };
}

function subscribed(log, request) {
  const result = { recoverable: true, positioned: true, epoch: log.epoch };
  const from = request?.offset ?? 0;
  if (!request?.recover) return clean({ ...result, offset: log.events.length });
  const recovered = request.epoch === log.epoch;
  const publications = recovered
    ? log.events.slice(from).map((data, index) => ({ data, offset: from + index + 1 }))
    : [];
  return clean({
    ...result,
    was_recovering: true,
    recovered,
    publications,
    offset: recovered ? from : log.events.length,
  });
}

function info(client) {
  return { client: client.id, user: client.user };
}

/** Zero values are omitted, as the gateway does. */
function clean(value) {
  return Object.fromEntries(
    Object.entries(value).filter(([, v]) => v !== undefined && v !== 0 && v !== '' && v !== false),
  );
}

function now() {
  return new Date().toISOString();
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const { url } = await startMock(Number(process.env.PORT ?? 8100));
  process.stdout.write(`mock server: ${url}\n`);
}

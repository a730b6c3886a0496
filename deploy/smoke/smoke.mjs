// Chats through several gateways at once, with the official SDK, and is notified by the server API.
//
//   node smoke.mjs GATEWAYS [STOP]     FANFARE_SMOKE_URL, FANFARE_SMOKE_API: where the balancer answers
//
// STOP is a shell command that stops one of the gateways: it is run while people chat, who must not notice.
//
// One user per gateway: the balancer knows no sticky sessions, so connections are opened until every
// gateway has one. Which gateway it is, the reply to `connect` says.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';

const url = process.env.FANFARE_SMOKE_URL ?? 'http://127.0.0.1:8080';
const api = process.env.FANFARE_SMOKE_API ?? 'http://127.0.0.1:9000';
const apiKey = process.env.FANFARE_API_KEY ?? 'development';
const gateways = Number(process.argv[2] ?? 2);
const stop = process.argv[3];
const messagesEach = 20;
const deadline = 30_000;

/** Rejects when `promise` takes too long: a smoke test that hangs says nothing. */
function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${deadline} ms`)), deadline);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function postJson(address, body, headers = {}) {
  const response = await fetch(address, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(deadline),
  });
  const text = await response.text();
  assert.equal(response.status, 200, `${address}: ${response.status} ${text}`);
  const answer = JSON.parse(text);
  assert.equal(answer.error, undefined, `${address}: ${text}`);
  return answer;
}

/** A signed-in connection and the name of its gateway. */
async function connect(user) {
  const { token } = await postJson(`${url}/dev/token`, { user });
  const client = new Centrifuge(`${url.replace(/^http/, 'ws')}/connection/websocket`, {
    token,
    websocket: WebSocket,
  });
  client.connect();
  await within(client.ready(), `${user} connects`);
  // The SDK keeps the name of the node for its own use and does not document it.
  const node = client._node;
  assert.ok(node, 'the reply to connect names the node');
  return { user, client, node };
}

/** One connection on each gateway. */
async function oneOnEach(count) {
  const found = new Map();
  for (let attempt = 0; found.size < count; attempt += 1) {
    assert.ok(attempt < 100, `only ${found.size} of ${count} gateways after ${attempt} connections`);
    const person = await connect(`person-${found.size + 1}-${process.pid}`);
    if (found.has(person.node)) person.client.disconnect();
    else found.set(person.node, person);
  }
  return [...found.values()];
}

async function call(person, method, params) {
  const { data } = await within(person.client.rpc(method, params), `${person.user} calls ${method}`);
  return data;
}

/** Sends a message, again if the connection breaks meanwhile: the id tells the service that it is the same one. */
async function send(person, room, text) {
  const message = { room_id: room.id, client_msg_id: randomUUID(), text };
  const sent = async () => {
    for (;;) {
      try {
        return await person.client.rpc('chat.SendMessage', message);
      } catch (error) {
        // The SDK's own errors are below 100: no answer, or no connection.
        if (!error.temporary && !(error.code < 100)) throw error;
        await person.client.ready();
      }
    }
  };
  await within(sent(), `${person.user} sends`);
}

/** Follows a channel; `until(n)` resolves with what arrived once `pick` has taken `n` things. */
function follow(person, room, pick) {
  const arrived = [];
  let check = () => {};
  const subscription = person.client.newSubscription(room.channel, {
    recoverable: true,
    since: { epoch: room.epoch, offset: room.offset ?? 0 },
  });
  subscription.on('publication', ({ data }) => {
    const taken = pick(data);
    if (taken !== undefined) arrived.push(taken);
    check();
  });
  subscription.subscribe();
  const until = (n) =>
    new Promise((resolve) => {
      check = () => arrived.length >= n && resolve(arrived);
      check();
    });
  return { ready: () => within(subscription.ready(), `${person.user} subscribes`), until, arrived };
}

async function chat(people, meanwhile) {
  const { room } = await call(people[0], 'chat.CreateRoom', {
    kind: 'ROOM_KIND_GROUP',
    name: 'smoke',
    members: people.slice(1).map((person) => person.user),
    client_room_id: randomUUID(),
  });
  const feeds = people.map((person) => follow(person, room, (event) => event.message_created?.seq));
  await Promise.all(feeds.map((feed) => feed.ready()));

  // All at once, through all gateways.
  let happened = meanwhile === undefined;
  const happens = Promise.resolve(meanwhile?.()).finally(() => (happened = true));
  const counts = people.map(async (person) => {
    let sent = 0;
    for (; sent < messagesEach || !happened; sent += 1) await send(person, room, `${sent} from ${person.user}`);
    return sent;
  });
  await within(happens, 'what happens meanwhile');
  const total = (await Promise.all(counts)).reduce((a, b) => a + b);

  const expected = Array.from({ length: total }, (_, i) => i + 1);
  for (const [i, feed] of feeds.entries()) {
    const arrived = await within(feed.until(total), `${people[i].user} reads ${total} messages`);
    assert.deepEqual(arrived, expected, `${people[i].user}: every message once, in order`);
  }
  console.log(`${total} messages, each to ${people.length} people, once and in order`);
}

/** One gateway is stopped while people chat: who was there goes elsewhere, and misses nothing. */
async function chatThroughStop(people) {
  const away = new Set();
  for (const { user, client } of people) client.on('connecting', ({ code }) => code === 3001 && away.add(user));
  await chat(people, () => promisify(execFile)('sh', ['-c', stop]));
  assert.ok(away.size > 0, 'a draining gateway sends its clients away with 3001');
  console.log(`the stopped gateway had sent ${away.size} of ${people.length} away`);
}

async function notification(person) {
  const title = `smoke ${randomUUID()}`;
  const rings = new Promise((resolve) => {
    person.client.on('publication', ({ data }) => {
      if (data.created?.title === title) resolve(data);
    });
  });
  await postJson(
    `${api}/api/rpc`,
    { method: 'notify.Notify', params: { users: [person.user], category: 'smoke', title, idempotency_key: randomUUID() } },
    { 'x-api-key': apiKey },
  );
  const { counts } = await within(rings, `${person.user} is notified`);
  assert.equal(counts.unread, 1, 'the event holds the count as it is after it');
  console.log('a notification by the server API arrived live');
}

async function page() {
  const answer = async (path, options = {}) => {
    const response = await fetch(`${url}${path}`, { ...options, signal: AbortSignal.timeout(deadline) });
    return { status: response.status, text: await response.text() };
  };
  const served = await answer('/');
  assert.equal(served.status, 200, 'the page is served');
  assert.match(served.text, /<html/i);
  // What is not for browsers is not on their port: there, any unknown path is the page.
  for (const [path, options] of [
    ['/metrics', {}],
    ['/api/info', { method: 'POST', headers: { 'x-api-key': apiKey }, body: '{}' }],
  ]) {
    const hidden = await answer(path, options);
    const harmless = hidden.status >= 400 || hidden.text === served.text;
    assert.ok(harmless, `${path} is served to browsers: ${hidden.status} ${hidden.text}`);
  }
  console.log('the page is served, the server API and the metrics are not');
}

await page();
const people = await oneOnEach(gateways);
console.log(`gateways: ${people.map((person) => person.node).join(', ')}`);
await chat(people);
await notification(people.at(-1));
if (stop) await chatThroughStop(people);
for (const { client } of people) client.disconnect();

// The official JavaScript SDK as a process: orders come as lines of JSON on standard
// input, answers and events leave as lines of JSON on standard output. The same
// language as ../python/client.py; e2e/src/sdk.rs speaks the other side.

import { createInterface } from 'node:readline';
import { Centrifuge as JsonCentrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import WebSocket from 'ws';

const [url, format, token] = process.argv.slice(2);
const protobuf = format === 'protobuf';

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
// Protobuf clients carry bytes, JSON clients carry values: the tests see values.
const encode = (value) => (protobuf ? new TextEncoder().encode(JSON.stringify(value)) : value);
const decode = (data) => (protobuf ? JSON.parse(new TextDecoder().decode(data)) : data);

const Centrifuge = protobuf ? ProtobufCentrifuge : JsonCentrifuge;
const centrifuge = new Centrifuge(url, {
  token,
  websocket: WebSocket,
  minReconnectDelay: 50,
  maxReconnectDelay: 500,
  timeout: 10_000,
});

const position = (channel, ctx) => ({
  channel,
  recovered: ctx.recovered,
  was_recovering: ctx.wasRecovering,
  epoch: ctx.streamPosition?.epoch,
  offset: ctx.streamPosition?.offset,
});

function listen(emitter, server, name) {
  const channel = (ctx) => (server ? ctx.channel : name);
  emitter.on('publication', (ctx) =>
    say({ event: 'publication', channel: channel(ctx), offset: ctx.offset ?? 0, data: decode(ctx.data) }),
  );
  emitter.on('subscribing', (ctx) =>
    say({ event: 'subscribing', channel: channel(ctx), code: ctx.code, reason: ctx.reason }),
  );
  emitter.on('subscribed', (ctx) => say({ event: 'subscribed', ...position(channel(ctx), ctx) }));
  emitter.on('unsubscribed', (ctx) =>
    say({ event: 'unsubscribed', channel: channel(ctx), code: ctx.code, reason: ctx.reason }),
  );
  emitter.on('error', (ctx) => say({ event: 'error', code: ctx.error.code, reason: ctx.error.message }));
}

listen(centrifuge, true);
centrifuge.on('connecting', (ctx) => say({ event: 'connecting', code: ctx.code, reason: ctx.reason }));
centrifuge.on('connected', (ctx) => say({ event: 'connected', client: ctx.client }));
centrifuge.on('disconnected', (ctx) => say({ event: 'disconnected', code: ctx.code, reason: ctx.reason }));

const orders = {
  connect: () => centrifuge.connect(),
  disconnect: () => centrifuge.disconnect(),
  subscribe({ channel, since }) {
    const subscription = centrifuge.newSubscription(channel, {
      ...(since && { since }),
      minResubscribeDelay: 50,
      maxResubscribeDelay: 500,
    });
    listen(subscription, false, channel);
    subscription.subscribe();
  },
  async rpc({ id, method, data }) {
    try {
      const result = await centrifuge.rpc(method, encode(data));
      say({ id, data: decode(result.data) });
    } catch (error) {
      say({ id, error: { code: error.code ?? 0, message: String(error.message), temporary: !!error.temporary } });
    }
  },
};

// The end of standard input is the end of the test.
const lines = createInterface({ input: process.stdin });
lines.on('close', () => process.exit(0));
lines.on('line', (line) => {
  const order = JSON.parse(line);
  orders[order.order](order);
});

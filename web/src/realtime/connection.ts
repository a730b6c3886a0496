// The connection to the gateway: the official SDK behind a small interface, so
// that everything else can be tested without a socket.
//
// Reconnecting, resubscribing, recovery and token refresh are the SDK's. This
// file adds the payload codec (the Protobuf build carries bytes, ours are JSON)
// and a state for people's eyes that does not flicker.

import { Centrifuge, UnauthorizedError } from 'centrifuge';
import type { ClientInfo, ServerPublicationContext, SubscribedContext } from 'centrifuge';
import type { Position } from './contract';

/** Close code of the gateway for a token that it does not accept. */
const INVALID_TOKEN = 3500;

export type LinkState = 'connecting' | 'live' | 'closed';

/** A connection of somebody in a channel. One user may have several. */
export interface Peer {
  client: string;
  user: string;
}

/** What a channel tells its reader. */
export interface FeedEvents {
  /** Publications from here on are live. `complete` is false when some were missed. */
  live(complete: boolean): void;
  publication(data: unknown, offset: number | undefined): void;
  join?(peer: Peer): void;
  leave?(peer: Peer): void;
  /** The server ended the subscription and it will not come back by itself. */
  ended?(code: number): void;
}

export interface Feed {
  presence(): Promise<Peer[]>;
  close(): void;
}

export interface Link {
  readonly state: LinkState;
  /** Calls a command; rejects with `CallError`. */
  call<T>(method: string, params: object): Promise<T>;
  /** Subscribes to a channel from a position on. */
  follow(channel: string, since: Position | undefined, events: FeedEvents): Feed;
  /** Listens to the channels that the server subscribes the user to. */
  personal(prefix: string, events: FeedEvents): void;
  onState(listener: (state: LinkState, reason: string) => void): void;
  /** Connects again after the server closed the connection for good. */
  reopen(): void;
  close(): void;
}

/** Why a command failed. Codes below 100 are the SDK's, the rest the server's. */
export class CallError extends Error {
  constructor(
    readonly code: number,
    message: string,
    readonly temporary: boolean,
  ) {
    super(message);
    this.name = 'CallError';
  }

  static from(cause: unknown): CallError {
    if (cause instanceof CallError) return cause;
    const { code, message, temporary } = cause as {
      code?: number;
      message?: string;
      temporary?: boolean;
    };
    return new CallError(code ?? 0, message ?? 'unknown error', temporary === true);
  }

  /** The command may never have arrived: the same call again, later, is right. */
  get lost(): boolean {
    return this.code < 100;
  }
}

/** The user's token, fetched anew whenever the SDK needs one; null: access ended. */
export type TokenSource = () => Promise<string | null>;

export interface LinkOptions {
  url: string;
  token: TokenSource;
  protobuf?: boolean;
  websocket?: unknown;
}

/** Opens a connection with the SDK. It reconnects on its own until closed. */
export async function connect(options: LinkOptions): Promise<Link> {
  const Client = options.protobuf
    ? ((await import('centrifuge/build/protobuf')).Centrifuge as unknown as typeof Centrifuge)
    : Centrifuge;
  const client = new Client(options.url, {
    name: 'fanfare-web',
    getToken: async () => {
      const token = await options.token();
      if (token === null) throw new UnauthorizedError('signed out');
      return token;
    },
    // Snappy after a restart of a gateway, gentle during an outage.
    minReconnectDelay: 300,
    maxReconnectDelay: 8_000,
    ...(options.websocket ? { websocket: options.websocket } : {}),
  });
  const link = new CentrifugeLink(client, options.protobuf ? bytesCodec : plainCodec);
  client.connect();
  return link;
}

/** The page's WebSocket address: same origin, `wss:` under `https:`. */
export function socketUrl(location: { protocol: string; host: string }, protobuf = false): string {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const query = protobuf ? '?cf_protocol=protobuf' : '';
  return `${scheme}//${location.host}/connection/websocket${query}`;
}

interface Codec {
  encode(value: object): unknown;
  decode(payload: unknown): unknown;
}

const plainCodec: Codec = { encode: (value) => value, decode: (payload) => payload };

const bytesCodec: Codec = {
  encode: (value) => new TextEncoder().encode(JSON.stringify(value)),
  decode: (payload) => {
    if (!(payload instanceof Uint8Array)) return payload;
    return payload.length === 0 ? {} : (JSON.parse(new TextDecoder().decode(payload)) as unknown);
  },
};

class CentrifugeLink implements Link {
  #state: LinkState = 'connecting';
  #mayRenew = false;
  #listeners: ((state: LinkState, reason: string) => void)[] = [];

  constructor(
    private readonly client: Centrifuge,
    private readonly codec: Codec,
  ) {
    client.on('connecting', (ctx) => this.#move('connecting', ctx.reason));
    client.on('connected', () => {
      this.#mayRenew = true;
      this.#move('live', '');
    });
    client.on('disconnected', (ctx) => {
      // A restarted development server may have another secret: one fresh token is worth a try.
      if (ctx.code === INVALID_TOKEN && this.#mayRenew) {
        this.#mayRenew = false;
        this.reopen();
        return;
      }
      this.#move('closed', ctx.reason);
    });
  }

  get state(): LinkState {
    return this.#state;
  }

  async call<T>(method: string, params: object): Promise<T> {
    try {
      const result = await this.client.rpc(method, this.codec.encode(params));
      return (this.codec.decode(result.data) ?? {}) as T;
    } catch (cause) {
      throw CallError.from(cause);
    }
  }

  follow(channel: string, since: Position | undefined, events: FeedEvents): Feed {
    // A leftover of an ended subscription would keep the name taken.
    const old = this.client.getSubscription(channel);
    if (old) this.client.removeSubscription(old);
    const subscription = this.client.newSubscription(channel, {
      recoverable: true,
      positioned: true,
      joinLeave: true,
      minResubscribeDelay: 300,
      maxResubscribeDelay: 8_000,
      ...(since ? { since } : {}),
    });
    subscription.on('subscribed', (ctx) => events.live(complete(ctx)));
    subscription.on('publication', (ctx) => this.#deliver(events, ctx));
    subscription.on('join', (ctx) => events.join?.(peer(ctx.info)));
    subscription.on('leave', (ctx) => events.leave?.(peer(ctx.info)));
    let closing = false;
    subscription.on('unsubscribed', (ctx) => {
      if (!closing) events.ended?.(ctx.code);
    });
    subscription.subscribe();
    return {
      presence: async () => {
        try {
          const { clients } = await subscription.presence();
          return Object.values(clients).map(peer);
        } catch (cause) {
          throw CallError.from(cause);
        }
      },
      close: () => {
        closing = true;
        subscription.unsubscribe();
        this.client.removeSubscription(subscription);
      },
    };
  }

  personal(prefix: string, events: FeedEvents): void {
    this.client.on('subscribed', (ctx) => {
      if (ctx.channel.startsWith(prefix)) events.live(complete(ctx));
    });
    this.client.on('publication', (ctx) => {
      if (ctx.channel.startsWith(prefix)) this.#deliver(events, ctx);
    });
  }

  onState(listener: (state: LinkState, reason: string) => void): void {
    this.#listeners.push(listener);
  }

  reopen(): void {
    this.client.setToken('');
    this.client.connect();
  }

  close(): void {
    this.client.disconnect();
  }

  #move(state: LinkState, reason: string): void {
    this.#state = state;
    for (const listener of this.#listeners) listener(state, reason);
  }

  #deliver(events: FeedEvents, ctx: Pick<ServerPublicationContext, 'data' | 'offset'>): void {
    // An offset of zero means none: the publication is not part of the log.
    events.publication(this.codec.decode(ctx.data), ctx.offset || undefined);
  }
}

/** Whether nothing is missing before the next publication. */
function complete(ctx: Pick<SubscribedContext, 'wasRecovering' | 'recovered'>): boolean {
  return ctx.wasRecovering && ctx.recovered;
}

function peer(info: ClientInfo): Peer {
  return { client: info.client, user: info.user };
}

export type Calm = 'connecting' | 'live' | 'offline';

/**
 * The state of a connection for people's eyes. A blip shorter than `grace` is not
 * shown at all; a silence longer than `patience` is called what it is.
 */
export class CalmState {
  #shown: Calm = 'connecting';
  #timers: ReturnType<typeof setTimeout>[] = [];

  constructor(
    private readonly changed: (shown: Calm) => void,
    private readonly grace = 1_200,
    private readonly patience = 10_000,
  ) {
    this.#timers.push(setTimeout(() => this.#show('offline'), patience));
  }

  get shown(): Calm {
    return this.#shown;
  }

  update(state: LinkState): void {
    if (state === 'connecting') {
      // Every failed attempt says `connecting` again: only the first one counts.
      if (this.#timers.length > 0 || this.#shown === 'offline') return;
      this.#timers = [
        setTimeout(() => this.#show('connecting'), this.grace),
        setTimeout(() => this.#show('offline'), this.patience),
      ];
      return;
    }
    this.stop();
    this.#show(state === 'live' ? 'live' : 'offline');
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
  }

  #show(shown: Calm): void {
    if (shown === 'offline') this.stop();
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.changed(shown);
  }
}

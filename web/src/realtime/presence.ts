// Who is here: connections in one channel, from a snapshot and from joins and
// leaves, which may overtake it.

import type { Peer } from './connection';

type Change = { peer: Peer; here: boolean };

export class Presence {
  #clients = new Map<string, string>();
  /** What happened since each snapshot under way was asked for. */
  #since: Change[][] = [];

  /** The users here, each once, by name. */
  get users(): string[] {
    return [...new Set(this.#clients.values())].sort();
  }

  join(peer: Peer): void {
    this.#note({ peer, here: true });
  }

  leave(peer: Peer): void {
    this.#note({ peer, here: false });
  }

  /** Asks for a snapshot and takes it, with what happened meanwhile on top. */
  async load(ask: () => Promise<Peer[]>): Promise<void> {
    const changes: Change[] = [];
    this.#since.push(changes);
    try {
      const peers = await ask();
      this.#clients = new Map(peers.map((peer) => [peer.client, peer.user]));
      for (const change of changes) this.#apply(change);
    } finally {
      this.#since = this.#since.filter((other) => other !== changes);
    }
  }

  #note(change: Change): void {
    for (const changes of this.#since) changes.push(change);
    this.#apply(change);
  }

  #apply({ peer, here }: Change): void {
    if (here) this.#clients.set(peer.client, peer.user);
    else this.#clients.delete(peer.client);
  }
}

// Who is typing: what the caller tells, at most once in a while, and what others
// told, for a little while.

/** Says that the caller is typing, at most once in `interval` milliseconds per room. */
export class TypingSender {
  #last = new Map<string, number>();

  constructor(
    private readonly send: (roomId: string) => void,
    private readonly interval = 2_000,
    private readonly now: () => number = Date.now,
  ) {}

  typed(roomId: string): void {
    const last = this.#last.get(roomId);
    if (last !== undefined && this.now() - last < this.interval) return;
    this.#last.set(roomId, this.now());
    this.send(roomId);
  }

  /** A message was sent: the next key press is news again. */
  sent(roomId: string): void {
    this.#last.delete(roomId);
  }
}

/** The users typing in each room. Nobody says when they stop: it expires. */
export class TypingUsers {
  #rooms = new Map<string, Map<string, ReturnType<typeof setTimeout>>>();

  constructor(
    private readonly changed: () => void,
    private readonly lifetime = 5_000,
  ) {}

  in(roomId: string): string[] {
    return [...(this.#rooms.get(roomId)?.keys() ?? [])].sort();
  }

  typing(roomId: string, user: string): void {
    const users = this.#rooms.get(roomId) ?? new Map<string, ReturnType<typeof setTimeout>>();
    this.#rooms.set(roomId, users);
    clearTimeout(users.get(user));
    users.set(
      user,
      setTimeout(() => this.stopped(roomId, user), this.lifetime),
    );
    this.changed();
  }

  /** They sent their message, or left. */
  stopped(roomId: string, user: string): void {
    const users = this.#rooms.get(roomId);
    const timer = users?.get(user);
    if (!users || timer === undefined) return;
    clearTimeout(timer);
    users.delete(user);
    this.changed();
  }

  clear(): void {
    for (const users of this.#rooms.values())
      for (const timer of users.values()) clearTimeout(timer);
    this.#rooms.clear();
  }
}

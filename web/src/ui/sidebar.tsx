// The rooms: find, open, join. With the bell above and the user below.

import { useEffect, useRef, useState } from 'preact/hooks';
import type { Message, Room } from '../realtime/contract';
import { title, unread } from '../realtime/rooms';
import type { RoomState } from '../realtime/rooms';
import type { Session } from '../realtime/session';
import { Avatar } from './avatar';
import { Bell } from './bell';
import { useTheme } from './hooks';
import { Icon, Logo } from './icons';
import { attempt } from './notices';
import { go, roomHash } from './router';
import { brief } from './time';

export function Sidebar(props: {
  session: Session;
  open: string | undefined;
  onNew: () => void;
  onSignOut: () => void;
}) {
  const { session } = props;
  const [query, setQuery] = useState('');
  const list = useRef<HTMLUListElement>(null);
  const wanted = query.trim().toLowerCase();
  const rooms = session.rooms.all.filter((state) =>
    title(state.room, session.user).toLowerCase().includes(wanted),
  );

  /** Arrow keys walk through the rooms, from the search field too. */
  const walk = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const links = [...(list.current?.querySelectorAll('a') ?? [])];
    if (step === undefined || links.length === 0) return;
    event.preventDefault();
    const at = links.indexOf(document.activeElement as HTMLAnchorElement);
    links[Math.min(links.length - 1, Math.max(0, at + step))]?.focus();
  };

  return (
    <aside class="sidebar" aria-label="Rooms">
      <header class="sidebar-header">
        <Logo />
        <h1>Fanfare</h1>
        <Bell session={session} />
        <button
          type="button"
          class="icon-button"
          data-testid="create-room"
          aria-label="New conversation"
          title="New conversation"
          onClick={props.onNew}
        >
          <Icon name="plus" />
        </button>
      </header>
      <label class="search">
        <Icon name="search" />
        <input
          type="search"
          data-testid="room-search"
          placeholder="Find or join a room"
          aria-label="Find or join a room"
          value={query}
          onInput={(event) => setQuery(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === 'Escape') setQuery('');
            walk(event);
          }}
        />
      </label>
      <nav class="rooms" aria-label="Your rooms">
        <ul ref={list} data-testid="room-list" onKeyDown={walk}>
          {rooms.map((state) => (
            <RoomItem
              key={state.room.id}
              state={state}
              user={session.user}
              open={state.room.id === props.open}
            />
          ))}
        </ul>
        {!session.roomsLoaded && <RoomSkeleton />}
        {session.roomsLoaded && rooms.length === 0 && wanted === '' && (
          <p class="rooms-empty">No rooms yet.</p>
        )}
        {wanted !== '' && (
          <PublicRooms
            session={session}
            query={query.trim()}
            onJoined={(id) => {
              setQuery('');
              go(roomHash(id));
            }}
          />
        )}
      </nav>
      <Me session={session} onSignOut={props.onSignOut} />
    </aside>
  );
}

function RoomItem(props: { state: RoomState; user: string; open: boolean }) {
  const { state, user } = props;
  const name = title(state.room, user);
  const count = unread(state);
  return (
    <li>
      <a
        class={count > 0 ? 'room-item room-item-unread' : 'room-item'}
        href={roomHash(state.room.id)}
        data-testid="room-item"
        data-room={state.room.id}
        aria-current={props.open ? 'page' : undefined}
      >
        <Avatar name={name} square={state.room.kind !== 'ROOM_KIND_DIRECT'} />
        <span class="room-item-name">{name}</span>
        <time class="room-item-time">
          {brief(state.lastMessage?.created_at ?? state.room.created_at)}
        </time>
        <span class="room-item-preview">{preview(state, user)}</span>
        {count > 0 && (
          <span class="badges">
            {state.mentions > 0 && (
              <span class="badge badge-mention" aria-label={`${state.mentions} mentions`}>
                @
              </span>
            )}
            <span class="badge" data-testid="unread" aria-label={`${count} unread`}>
              {count > 99 ? '99+' : count}
            </span>
          </span>
        )}
      </a>
    </li>
  );
}

function preview(state: RoomState, user: string): string {
  const message = state.lastMessage;
  if (!message) return 'No messages yet';
  const who = message.author === user ? 'You' : message.author;
  const direct = state.room.kind === 'ROOM_KIND_DIRECT' && message.author !== user;
  return direct ? said(message) : `${who}: ${said(message)}`;
}

function said(message: Message): string {
  return message.deleted_at ? 'Message deleted' : (message.text ?? '');
}

function RoomSkeleton() {
  return (
    <div class="skeletons" aria-hidden="true">
      {[0, 1, 2].map((n) => (
        <div key={n} class="skeleton" />
      ))}
    </div>
  );
}

/** Rooms that anybody may join and the user has not. */
function PublicRooms(props: { session: Session; query: string; onJoined: (id: string) => void }) {
  const { session, query } = props;
  const [rooms, setRooms] = useState<Room[]>([]);
  useEffect(() => {
    let current = true;
    const timer = setTimeout(() => {
      void session.publicRooms(query).then(
        (found) => current && setRooms(found),
        () => undefined,
      );
    }, 200);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [session, query]);
  const others = rooms.filter((room) => !session.rooms.get(room.id));
  return (
    <section aria-label="Public rooms">
      <h2 class="rooms-heading">Public rooms</h2>
      {others.length === 0 && <p class="rooms-empty">None with this name.</p>}
      <ul>
        {others.map((room) => (
          <PublicRoom key={room.id} session={session} room={room} onJoined={props.onJoined} />
        ))}
      </ul>
    </section>
  );
}

export function PublicRoom(props: {
  session: Session;
  room: Room;
  onJoined: (id: string) => void;
}) {
  const { room } = props;
  const count = room.member_count ?? 0;
  return (
    <li class="public-room" data-testid="public-room" data-room={room.id}>
      <Avatar name={room.name ?? room.id} square />
      <span class="public-room-name">{room.name ?? room.id}</span>
      <span class="public-room-size">{count === 1 ? '1 member' : `${count} members`}</span>
      <button
        type="button"
        class="button button-small"
        data-testid="join-room"
        onClick={() =>
          void attempt(props.session.join(room.id)).then((id) => id && props.onJoined(id))
        }
      >
        Join
      </button>
    </li>
  );
}

const CONNECTION = { live: 'Live', connecting: 'Connecting…', offline: 'Offline' } as const;

function Me(props: { session: Session; onSignOut: () => void }) {
  const { user, connection } = props.session;
  const [look, toggleLook] = useTheme();
  return (
    <footer class="me">
      <Avatar name={user} />
      <div class="me-who">
        <span class="me-name" data-testid="me">
          {user}
        </span>
        <span
          class={`connection connection-${connection}`}
          data-testid="connection-state"
          data-state={connection}
          role="status"
        >
          {CONNECTION[connection]}
        </span>
      </div>
      <button
        type="button"
        class="icon-button"
        data-testid="theme-toggle"
        aria-label="Switch between dark and light"
        title="Dark or light"
        onClick={toggleLook}
      >
        <Icon name={look === 'dark' ? 'sun' : 'moon'} />
      </button>
      <button
        type="button"
        class="icon-button"
        data-testid="sign-out"
        aria-label="Sign out"
        title="Sign out"
        onClick={props.onSignOut}
      >
        <Icon name="out" />
      </button>
    </footer>
  );
}

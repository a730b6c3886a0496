// The signed-in page: rooms at the left, the open room beside them. On a phone one
// of the two at a time.

import { useEffect, useState } from 'preact/hooks';
import { title } from '../realtime/rooms';
import type { Session } from '../realtime/session';
import { useSession } from './hooks';
import { Logo } from './icons';
import { NewRoom } from './newroom';
import { RoomView } from './room';
import { useRoute } from './router';
import { Sidebar } from './sidebar';

export function Shell(props: {
  session: Session;
  development: boolean;
  onSignOut: (problem?: string) => void;
}) {
  const { session } = props;
  useSession(session);
  const route = useRoute();
  const [making, setMaking] = useState(false);

  useEffect(() => {
    if (route.room === undefined) session.leaveView();
    else session.open(route.room, route.seq);
  }, [session, route.room, route.seq]);

  const open = route.room === undefined ? undefined : session.rooms.get(route.room);
  const unread = session.rooms.totalUnread;
  useEffect(() => {
    const place = open ? `${title(open.room, session.user)} · Fanfare` : 'Fanfare';
    document.title = unread > 0 ? `(${unread}) ${place}` : place;
  });

  return (
    <div class={route.room === undefined ? 'shell' : 'shell shell-room'}>
      <Sidebar
        session={session}
        open={route.room}
        onNew={() => setMaking(true)}
        onSignOut={() => props.onSignOut()}
      />
      {route.room === undefined ? (
        <Welcome onNew={() => setMaking(true)} empty={session.rooms.all.length === 0} />
      ) : (
        <RoomView key={route.room} session={session} id={route.room} target={route.seq} />
      )}
      {making && <NewRoom session={session} onClose={() => setMaking(false)} />}
      <Banner session={session} />
    </div>
  );
}

/** Shown only when it matters: what happens to the connection, in one line. */
function Banner({ session }: { session: Session }) {
  if (session.closedReason !== '') {
    return (
      <div class="banner banner-problem" role="alert">
        <span>Disconnected by the server: {session.closedReason}.</span>
        <button type="button" class="link-button" onClick={() => session.reconnect()}>
          Connect again
        </button>
      </div>
    );
  }
  if (session.connection === 'live' || !session.roomsLoaded) return null;
  return (
    <div class="banner" role="status">
      {session.connection === 'connecting'
        ? 'Reconnecting…'
        : 'Offline. What you write is kept and sent when the connection is back.'}
    </div>
  );
}

function Welcome(props: { onNew: () => void; empty: boolean }) {
  return (
    <main class="welcome">
      <Logo />
      <h2>{props.empty ? 'A quiet place, for now' : 'Pick up where you left off'}</h2>
      <p>
        {props.empty
          ? 'Create a room, join a public one, or write to somebody.'
          : 'Choose a room at the left, or start a new one.'}
      </p>
      <button type="button" class="button button-primary" onClick={props.onNew}>
        New conversation
      </button>
    </main>
  );
}

// The open room: its head, messages, who is typing, the composer, the people.

import { useEffect, useState } from 'preact/hooks';
import type { Room } from '../realtime/contract';
import { title } from '../realtime/rooms';
import type { RoomDetail, RoomState, Session } from '../realtime/session';
import { Avatar } from './avatar';
import { Composer } from './composer';
import { Dialog } from './dialog';
import { Icon } from './icons';
import { attempt, notice } from './notices';
import { People } from './people';
import { go } from './router';
import { TimelineView } from './timeline';

export function RoomView(props: { session: Session; id: string; target: number | undefined }) {
  const { session, id } = props;
  const [people, setPeople] = useState(false);
  const [leaving, setLeaving] = useState(false);
  const [editing, setEditing] = useState<number>();
  const state = session.rooms.get(id);
  const detail = session.detail(id);

  useEffect(() => {
    const close = (event: KeyboardEvent) => {
      if (event.key === 'Escape') setPeople(false);
    };
    addEventListener('keydown', close);
    return () => removeEventListener('keydown', close);
  }, []);

  if (!state || !detail || detail.error !== undefined) {
    return <Elsewhere session={session} id={id} detail={detail} />;
  }

  const editLast = () => {
    const own = detail.timeline.messages.findLast(
      (m) => m.author === session.user && !m.deleted_at,
    );
    setEditing(own?.seq);
  };

  return (
    <main class={people ? 'room room-people' : 'room'} aria-label={title(state.room, session.user)}>
      <Head
        session={session}
        state={state}
        detail={detail}
        peopleShown={people}
        onPeople={() => setPeople(!people)}
      />
      <TimelineView
        session={session}
        state={state}
        detail={detail}
        target={props.target}
        editing={editing}
        onEdit={setEditing}
      />
      <TypingLine users={session.typing.in(id)} />
      {mayWrite(state) ? (
        <Composer
          session={session}
          room={state.room}
          members={[...detail.members.keys()]}
          onEditLast={editLast}
        />
      ) : (
        <p class="composer-note">Only the owner and admins write here.</p>
      )}
      {people && (
        <People
          session={session}
          state={state}
          detail={detail}
          onClose={() => setPeople(false)}
          onLeave={() => setLeaving(true)}
        />
      )}
      {leaving && (
        <Dialog title="Leave this room?" onClose={() => setLeaving(false)}>
          <p>You will not get its messages any more.</p>
          <div class="dialog-actions">
            <button type="button" class="button" onClick={() => setLeaving(false)}>
              Stay
            </button>
            <button
              type="button"
              class="button button-danger"
              onClick={() =>
                void attempt(session.leave(id).then(() => true)).then((left) => {
                  setLeaving(false);
                  if (!left) return;
                  go('#/');
                  notice(`You left ${title(state.room, session.user)}.`);
                })
              }
            >
              Leave
            </button>
          </div>
        </Dialog>
      )}
    </main>
  );
}

function mayWrite(state: RoomState): boolean {
  const { role } = state.membership;
  return (
    state.room.kind !== 'ROOM_KIND_BROADCAST' || role === 'ROLE_OWNER' || role === 'ROLE_ADMIN'
  );
}

const KIND_ICON = {
  ROOM_KIND_DIRECT: 'message',
  ROOM_KIND_GROUP: 'lock',
  ROOM_KIND_PUBLIC: 'hash',
  ROOM_KIND_BROADCAST: 'megaphone',
} as const;

function Head(props: {
  session: Session;
  state: RoomState;
  detail: RoomDetail;
  peopleShown: boolean;
  onPeople: () => void;
}) {
  const { session, state, detail } = props;
  const name = title(state.room, session.user);
  const here = detail.presence.users;
  return (
    <header class="room-header">
      <a class="icon-button back" href="#/" aria-label="Back to the rooms" data-testid="back">
        <Icon name="back" />
      </a>
      <Avatar name={name} square={state.room.kind !== 'ROOM_KIND_DIRECT'} />
      <div class="room-what">
        <h2 class="room-title" data-testid="room-title">
          {name}
        </h2>
        <p class="room-subtitle">
          <Icon name={KIND_ICON[state.room.kind ?? 'ROOM_KIND_GROUP']} />
          {subtitle(state, here, name)}
        </p>
      </div>
      <button
        type="button"
        class="people-button"
        data-testid="presence"
        data-users={here.join(' ')}
        aria-expanded={props.peopleShown}
        aria-label={`Who is here: ${here.join(', ') || 'nobody'}`}
        title="Who is here"
        onClick={props.onPeople}
      >
        <span class="stack">
          {here.slice(0, 3).map((user) => (
            <Avatar key={user} name={user} size="small" />
          ))}
        </span>
        <span class="people-count">{here.length} here</span>
        <Icon name="people" />
      </button>
    </header>
  );
}

function subtitle(state: RoomState, here: string[], name: string): string {
  if (state.room.kind === 'ROOM_KIND_DIRECT') return here.includes(name) ? 'Here now' : 'Away';
  const count = state.room.member_count ?? 0;
  return count === 1 ? '1 member' : `${count} members`;
}

function TypingLine({ users }: { users: string[] }) {
  return (
    <div class="typing" data-testid="typing" role="status" aria-live="polite">
      {users.length > 0 && (
        <>
          <span class="typing-dots" aria-hidden="true">
            <i />
            <i />
            <i />
          </span>
          {who(users)}
        </>
      )}
    </div>
  );
}

function who(users: string[]): string {
  const [first, second] = users;
  if (users.length === 1) return `${first} is typing…`;
  if (users.length === 2) return `${first} and ${second} are typing…`;
  return 'Several people are typing…';
}

/** A room that is loading, that one may join, or that is not there. */
function Elsewhere(props: { session: Session; id: string; detail: RoomDetail | undefined }) {
  const { session, id, detail } = props;
  const preview: Room | undefined = detail?.preview;
  return (
    <main class="room room-elsewhere">
      <header class="room-header">
        <a class="icon-button back" href="#/" aria-label="Back to the rooms">
          <Icon name="back" />
        </a>
        <h2 class="room-title">{preview?.name ?? ''}</h2>
      </header>
      <div class="welcome">
        {preview ? (
          <>
            <Avatar name={preview.name ?? preview.id} size="large" square />
            <h2>{preview.name}</h2>
            <p>You are not a member of this room yet.</p>
            <button
              type="button"
              class="button button-primary"
              data-testid="join-room"
              onClick={() => void attempt(session.join(id))}
            >
              Join
            </button>
          </>
        ) : detail?.error !== undefined ? (
          <>
            <h2>This room is not available</h2>
            <p data-testid="room-error">{detail.error}</p>
            <a class="button" href="#/">
              Back to your rooms
            </a>
          </>
        ) : (
          <p role="status">Loading…</p>
        )}
      </div>
    </main>
  );
}

// Who is in the room, and who of them is here now.

import { useState } from 'preact/hooks';
import { userId } from '../realtime/account';
import type { Member } from '../realtime/contract';
import type { RoomDetail, RoomState, Session } from '../realtime/session';
import { Avatar } from './avatar';
import { Icon } from './icons';
import { attempt } from './notices';
import { go, roomHash } from './router';

export function People(props: {
  session: Session;
  state: RoomState;
  detail: RoomDetail;
  onClose: () => void;
  onLeave: () => void;
}) {
  const { session, state, detail } = props;
  const here = new Set(detail.presence.users);
  const members = [...detail.members.values()].sort((a, b) => (a.user < b.user ? -1 : 1));
  const away = members.filter((member) => !here.has(member.user));
  const present = [...here].map((user) => detail.members.get(user) ?? { user });
  const direct = state.room.kind === 'ROOM_KIND_DIRECT';
  const { role } = state.membership;
  return (
    <aside class="people" aria-label="People">
      <header class="panel-header">
        <h2>People</h2>
        <button type="button" class="icon-button" aria-label="Close" onClick={props.onClose}>
          <Icon name="close" />
        </button>
      </header>
      <Group heading={`Here now · ${present.length}`} session={session} members={present} here />
      {away.length > 0 && (
        <Group heading={`Away · ${away.length}`} session={session} members={away} />
      )}
      {!direct && (role === 'ROLE_OWNER' || role === 'ROLE_ADMIN') && (
        <Invite session={session} id={state.room.id} />
      )}
      {!direct && (
        <button type="button" class="link-button people-leave" onClick={props.onLeave}>
          Leave this room
        </button>
      )}
    </aside>
  );
}

function Group(props: { heading: string; session: Session; members: Member[]; here?: boolean }) {
  return (
    <section>
      <h3 class="rooms-heading">{props.heading}</h3>
      <ul data-testid={props.here ? 'presence-list' : 'away-list'}>
        {props.members.map(({ user, role }) => (
          <li key={user}>
            <button
              type="button"
              class={props.here ? 'person person-here' : 'person'}
              data-testid="person"
              data-user={user}
              disabled={user === props.session.user}
              title={user === props.session.user ? undefined : `Message ${user}`}
              onClick={() =>
                void attempt(props.session.openDirect(user)).then((id) => id && go(roomHash(id)))
              }
            >
              <Avatar name={user} size="small" />
              <span class="person-name">
                {user}
                {user === props.session.user && <small> you</small>}
              </span>
              {role === 'ROLE_OWNER' && <small class="role">owner</small>}
              {role === 'ROLE_ADMIN' && <small class="role">admin</small>}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Invite({ session, id }: { session: Session; id: string }) {
  const [name, setName] = useState('');
  const user = userId(name);
  return (
    <form
      class="invite"
      onSubmit={(event) => {
        event.preventDefault();
        if (user === '') return;
        void attempt(session.addMember(id, user).then(() => true)).then((done) => {
          if (done) setName('');
        });
      }}
    >
      <input
        data-testid="invite-input"
        aria-label="Invite somebody"
        placeholder="Invite by name"
        value={name}
        autocapitalize="none"
        autocomplete="off"
        onInput={(event) => setName(event.currentTarget.value)}
      />
      <button class="button button-small" data-testid="invite-submit" disabled={user === ''}>
        Add
      </button>
    </form>
  );
}

// Starting a conversation: a room of one's own, or a word to somebody.

import { useEffect, useState } from 'preact/hooks';
import { userId } from '../realtime/account';
import type { Room, RoomKind } from '../realtime/contract';
import type { Session } from '../realtime/session';
import { Dialog } from './dialog';
import { attempt } from './notices';
import { go, roomHash } from './router';
import { PublicRoom } from './sidebar';

type Tab = 'create' | 'direct' | 'browse';

const TABS: { id: Tab; label: string }[] = [
  { id: 'create', label: 'New room' },
  { id: 'direct', label: 'Direct message' },
  { id: 'browse', label: 'Public rooms' },
];

export function NewRoom({ session, onClose }: { session: Session; onClose: () => void }) {
  const [tab, setTab] = useState<Tab>('create');
  const opened = (id: string | undefined) => {
    if (id === undefined) return;
    onClose();
    go(roomHash(id));
  };
  return (
    <Dialog title="New conversation" onClose={onClose} testid="new-room">
      <div
        class="tabs"
        role="tablist"
        onKeyDown={(event) => {
          const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
          if (step === undefined) return;
          const at = TABS.findIndex((other) => other.id === tab);
          const next = TABS[(at + step + TABS.length) % TABS.length];
          if (!next) return;
          setTab(next.id);
          document.getElementById(`tab-${next.id}`)?.focus();
        }}
      >
        {TABS.map(({ id, label }) => (
          <button
            key={id}
            id={`tab-${id}`}
            type="button"
            role="tab"
            class="tab"
            data-testid={`tab-${id}`}
            aria-selected={tab === id}
            tabIndex={tab === id ? 0 : -1}
            onClick={() => setTab(id)}
          >
            {label}
          </button>
        ))}
      </div>
      <div role="tabpanel" aria-labelledby={`tab-${tab}`}>
        {tab === 'create' && <Create session={session} onOpened={opened} />}
        {tab === 'direct' && <Direct session={session} onOpened={opened} />}
        {tab === 'browse' && <Browse session={session} onOpened={opened} />}
      </div>
    </Dialog>
  );
}

interface Props {
  session: Session;
  onOpened: (id: string | undefined) => void;
}

const KINDS: { kind: RoomKind; label: string; hint: string }[] = [
  { kind: 'ROOM_KIND_PUBLIC', label: 'Public', hint: 'Anybody may find and join it' },
  { kind: 'ROOM_KIND_GROUP', label: 'Private', hint: 'By invitation only' },
  { kind: 'ROOM_KIND_BROADCAST', label: 'Broadcast', hint: 'Anybody reads, admins write' },
];

function Create({ session, onOpened }: Props) {
  const [name, setName] = useState('');
  const [kind, setKind] = useState<RoomKind>('ROOM_KIND_PUBLIC');
  const [members, setMembers] = useState('');
  const [busy, setBusy] = useState(false);
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        const invited = members
          .split(/[\s,;]+/)
          .map(userId)
          .filter((user) => user !== '' && user !== session.user);
        setBusy(true);
        void attempt(session.create(kind, name.trim(), [...new Set(invited)])).then((id) => {
          setBusy(false);
          onOpened(id);
        });
      }}
    >
      <label class="field">
        <span>Name</span>
        <input
          data-testid="room-name-input"
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
          placeholder="general"
          maxLength={80}
          autocomplete="off"
          autofocus
        />
      </label>
      <fieldset class="choices">
        <legend>Who may join</legend>
        {KINDS.map((choice) => (
          <label key={choice.kind} class="choice">
            <input
              type="radio"
              name="kind"
              value={choice.kind}
              data-testid={`kind-${choice.label.toLowerCase()}`}
              checked={kind === choice.kind}
              onChange={() => setKind(choice.kind)}
            />
            <span class="choice-label">{choice.label}</span>
            <span class="choice-hint">{choice.hint}</span>
          </label>
        ))}
      </fieldset>
      <label class="field">
        <span>
          Invite <small>optional</small>
        </span>
        <input
          data-testid="room-members-input"
          value={members}
          onInput={(event) => setMembers(event.currentTarget.value)}
          placeholder="bob, carol"
          autocapitalize="none"
          autocomplete="off"
          spellcheck={false}
        />
      </label>
      <button
        class="button button-primary"
        data-testid="room-create-submit"
        disabled={busy || name.trim() === ''}
      >
        Create room
      </button>
    </form>
  );
}

function Direct({ session, onOpened }: Props) {
  const [name, setName] = useState('');
  const user = userId(name);
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        void attempt(session.openDirect(user)).then(onOpened);
      }}
    >
      <label class="field">
        <span>To</span>
        <input
          data-testid="direct-user-input"
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
          placeholder="bob"
          autocapitalize="none"
          autocomplete="off"
          spellcheck={false}
          autofocus
        />
      </label>
      <button
        class="button button-primary"
        data-testid="direct-submit"
        disabled={user === '' || user === session.user}
      >
        {user === session.user ? 'That is you' : 'Open conversation'}
      </button>
    </form>
  );
}

function Browse({ session, onOpened }: Props) {
  const [query, setQuery] = useState('');
  const [rooms, setRooms] = useState<Room[] | undefined>();
  useEffect(() => {
    let current = true;
    const timer = setTimeout(
      () =>
        void attempt(session.publicRooms(query.trim())).then((found) => {
          if (current && found) setRooms(found);
        }),
      rooms ? 200 : 0,
    );
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [query]);
  const others = rooms?.filter((room) => !session.rooms.get(room.id));
  return (
    <div class="form">
      <label class="field">
        <span>Find</span>
        <input
          type="search"
          value={query}
          onInput={(event) => setQuery(event.currentTarget.value)}
          autofocus
        />
      </label>
      <ul class="browse">
        {others?.map((room) => (
          <PublicRoom key={room.id} session={session} room={room} onJoined={onOpened} />
        ))}
      </ul>
      {others?.length === 0 && (
        <p class="rooms-empty">No public room that you are not in already.</p>
      )}
    </div>
  );
}

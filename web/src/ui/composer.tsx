// Writing a message: Enter sends, Shift+Enter breaks the line, `@` offers members.

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Room } from '../realtime/contract';
import { title } from '../realtime/rooms';
import type { Session } from '../realtime/session';
import { Avatar } from './avatar';
import { Icon } from './icons';
import { notice } from './notices';
import { mentionAt } from './text';

/** As in the contract: `SendMessageRequest.text`. */
const MAX_TEXT = 8_000;
const OFFERED = 6;

export function Composer(props: {
  session: Session;
  room: Room;
  members: string[];
  onEditLast: () => void;
}) {
  const { session, room } = props;
  const key = `fanfare.draft.${session.user}.${room.id}`;
  const [text, setText] = useState(() => sessionStorage.getItem(key) ?? '');
  const [caret, setCaret] = useState(text.length);
  const [choice, setChoice] = useState(0);
  const [dismissed, setDismissed] = useState(-1);
  const field = useRef<HTMLTextAreaElement>(null);

  const mention = mentionAt(text, caret);
  const offers =
    mention && mention.from !== dismissed
      ? props.members
          .filter((user) => user !== session.user && user.toLowerCase().startsWith(mention.query))
          .sort()
          .slice(0, OFFERED)
      : [];

  useEffect(() => {
    // On a phone the focus would raise the keyboard over the messages.
    if (matchMedia('(hover: hover)').matches) field.current?.focus();
  }, []);

  useLayoutEffect(() => {
    const element = field.current;
    if (!element) return;
    element.style.height = 'auto';
    element.style.height = `${Math.min(element.scrollHeight, 200)}px`;
  }, [text]);

  const change = (value: string, position: number) => {
    setText(value);
    setCaret(position);
    setChoice(0);
    if (value === '') sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, value);
  };

  const complete = (user: string) => {
    const element = field.current;
    if (!mention || !element) return;
    const before = `${text.slice(0, mention.from)}@${user} `;
    change(before + text.slice(caret), before.length);
    requestAnimationFrame(() => {
      element.focus();
      element.setSelectionRange(before.length, before.length);
    });
  };

  const send = () => {
    const value = text.trim();
    if (value === '') return;
    if ([...value].length > MAX_TEXT) {
      notice(`A message has at most ${MAX_TEXT} characters.`);
      return;
    }
    if (!session.send(room.id, value)) {
      notice('Too many messages are waiting to be sent.');
      return;
    }
    change('', 0);
  };

  const pressed = (event: KeyboardEvent) => {
    if (event.isComposing) return;
    if (offers.length > 0) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const chosen = offers[choice];
      if (step !== undefined) setChoice((choice + step + offers.length) % offers.length);
      else if ((event.key === 'Enter' || event.key === 'Tab') && chosen) complete(chosen);
      else if (event.key === 'Escape') setDismissed(mention?.from ?? -1);
      else return;
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      send();
    }
    if (event.key === 'ArrowUp' && text === '') {
      event.preventDefault();
      props.onEditLast();
    }
  };

  const name = title(room, session.user);
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      {offers.length > 0 && (
        <ul class="offers" id="mention-offers" role="listbox" aria-label="Members">
          {offers.map((user, index) => (
            <li
              key={user}
              id={`offer-${index}`}
              role="option"
              class="offer"
              data-testid="mention-offer"
              aria-selected={index === choice}
              onPointerDown={(event) => {
                event.preventDefault();
                complete(user);
              }}
            >
              <Avatar name={user} size="small" />
              {user}
            </li>
          ))}
        </ul>
      )}
      <div class="composer-box">
        <textarea
          ref={field}
          data-testid="composer"
          rows={1}
          value={text}
          placeholder={`Message ${name}`}
          aria-label={`Message ${name}`}
          role="combobox"
          aria-expanded={offers.length > 0}
          aria-controls="mention-offers"
          aria-autocomplete="list"
          aria-activedescendant={offers.length > 0 ? `offer-${choice}` : undefined}
          enterkeyhint="send"
          onInput={(event) => {
            const { value, selectionStart } = event.currentTarget;
            change(value, selectionStart);
            if (value.trim() !== '') session.typed(room.id);
          }}
          onSelect={(event) => setCaret(event.currentTarget.selectionStart)}
          onKeyDown={pressed}
        />
        <button
          class="send"
          data-testid="send"
          aria-label="Send"
          title="Send (Enter)"
          disabled={text.trim() === ''}
        >
          <Icon name="send" />
        </button>
      </div>
    </form>
  );
}

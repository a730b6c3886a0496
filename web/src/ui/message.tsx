// One message: its text, what its author may do with it, and one on its way.

import { useEffect, useRef, useState } from 'preact/hooks';
import type { Message } from '../realtime/contract';
import type { Draft } from '../realtime/outbox';
import type { Session } from '../realtime/session';
import { Avatar } from './avatar';
import { Dialog } from './dialog';
import { Icon } from './icons';
import { attempt } from './notices';
import { parts } from './text';
import { clock, full } from './time';

export function MessageRow(props: {
  session: Session;
  message: Message;
  /** It stands under a name of its own. */
  lead: boolean;
  editing: boolean;
  moderator: boolean;
  onEdit: (seq: number | undefined) => void;
}) {
  const { session, message, lead } = props;
  const [deleting, setDeleting] = useState(false);
  const own = message.author === session.user;
  const deleted = message.deleted_at !== undefined;
  const forMe = !deleted && message.mentions?.includes(session.user) === true;
  const classes = ['message'];
  if (lead) classes.push('message-lead');
  if (forMe) classes.push('message-for-me');
  return (
    <article
      class={classes.join(' ')}
      data-testid="message"
      data-seq={message.seq}
      data-author={message.author}
      aria-label={`${message.author}, ${clock(message.created_at)}`}
    >
      {lead ? (
        <Avatar name={message.author} />
      ) : (
        <time class="message-side-time" title={full(message.created_at)}>
          {clock(message.created_at)}
        </time>
      )}
      <div class="message-main">
        {lead && (
          <header class="message-header">
            <span class="message-author">{message.author}</span>
            <time title={full(message.created_at)}>{clock(message.created_at)}</time>
          </header>
        )}
        {props.editing && !deleted ? (
          <Editor
            session={session}
            message={message}
            onDone={() => {
              props.onEdit(undefined);
              document.querySelector<HTMLElement>('[data-testid=composer]')?.focus();
            }}
          />
        ) : deleted ? (
          <p class="message-text message-deleted" data-testid="message-text">
            Message deleted
          </p>
        ) : (
          <p class="message-text" data-testid="message-text">
            <Text message={message} user={session.user} />
            {message.edited_at && (
              <small class="message-edited" title={full(message.edited_at)}>
                edited
              </small>
            )}
          </p>
        )}
      </div>
      {!deleted && !props.editing && (own || props.moderator) && (
        <div class="message-actions">
          {own && (
            <button
              type="button"
              class="icon-button icon-button-small"
              data-testid="edit"
              aria-label="Edit"
              title="Edit"
              onClick={() => props.onEdit(message.seq)}
            >
              <Icon name="edit" />
            </button>
          )}
          <button
            type="button"
            class="icon-button icon-button-small"
            data-testid="delete"
            aria-label="Delete"
            title="Delete"
            onClick={() => setDeleting(true)}
          >
            <Icon name="trash" />
          </button>
        </div>
      )}
      {deleting && (
        <Dialog title="Delete this message?" onClose={() => setDeleting(false)}>
          <p class="quote">{message.text}</p>
          <div class="dialog-actions">
            <button type="button" class="button" onClick={() => setDeleting(false)}>
              Keep
            </button>
            <button
              type="button"
              class="button button-danger"
              data-testid="delete-confirm"
              onClick={() => {
                setDeleting(false);
                void attempt(session.remove(message.room_id, message.seq));
              }}
            >
              Delete
            </button>
          </div>
        </Dialog>
      )}
    </article>
  );
}

function Text({ message, user }: { message: Message; user: string }) {
  return (
    <>
      {parts(message.text ?? '', message.mentions ?? []).map((part) => {
        if (part.kind === 'text') return part.text;
        if (part.kind === 'link') {
          return (
            <a href={part.href} target="_blank" rel="noopener noreferrer nofollow">
              {part.text}
            </a>
          );
        }
        return (
          <span class={part.user === user ? 'mention mention-me' : 'mention'} data-testid="mention">
            {part.text}
          </span>
        );
      })}
    </>
  );
}

function Editor(props: { session: Session; message: Message; onDone: () => void }) {
  const { session, message } = props;
  const [text, setText] = useState(message.text ?? '');
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    field.current?.focus();
    field.current?.setSelectionRange(text.length, text.length);
  }, []);
  const save = () => {
    const next = text.trim();
    if (next === '' || next === message.text) return props.onDone();
    void attempt(session.edit(message.room_id, message.seq, next).then(() => true)).then(
      (saved) => saved && props.onDone(),
    );
  };
  return (
    <div class="editor">
      <textarea
        ref={field}
        data-testid="edit-input"
        aria-label="Edit message"
        rows={Math.min(8, text.split('\n').length)}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Escape') {
            event.stopPropagation();
            props.onDone();
          }
          if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            save();
          }
        }}
      />
      <div class="editor-actions">
        <button type="button" class="button button-small" onClick={props.onDone}>
          Cancel
        </button>
        <button type="button" class="button button-small button-primary" onClick={save}>
          Save
        </button>
      </div>
    </div>
  );
}

/** A message that the server has not acknowledged yet. */
export function PendingRow(props: { session: Session; draft: Draft; lead: boolean }) {
  const { session, draft, lead } = props;
  const failed = draft.state === 'failed';
  return (
    <article
      class={lead ? 'message message-lead message-pending' : 'message message-pending'}
      data-testid="pending-message"
      data-state={draft.state}
    >
      {lead ? <Avatar name={session.user} /> : <span />}
      <div class="message-main">
        {lead && (
          <header class="message-header">
            <span class="message-author">{session.user}</span>
            <time>{clock(draft.createdAt)}</time>
          </header>
        )}
        <p class="message-text" data-testid="message-text">
          {draft.text}
          {!failed && <small class="message-edited message-sending">sending</small>}
        </p>
        {failed && (
          <p class="message-failed" role="alert">
            <span>Not sent: {draft.error}</span>
            <button
              type="button"
              class="link-button"
              data-testid="retry"
              onClick={() => session.outbox.retry(draft.clientMsgId)}
            >
              Try again
            </button>
            <button
              type="button"
              class="link-button"
              data-testid="discard"
              onClick={() => session.outbox.discard(draft.clientMsgId)}
            >
              Discard
            </button>
          </p>
        )}
      </div>
    </article>
  );
}

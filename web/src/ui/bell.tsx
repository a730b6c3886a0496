// The bell and its panel: what happened while one was elsewhere.

import { useEffect, useRef, useState } from 'preact/hooks';
import type { Notification } from '../realtime/contract';
import type { Session } from '../realtime/session';
import { Avatar } from './avatar';
import { Icon } from './icons';
import { attempt } from './notices';
import { go, linkHash } from './router';
import { ago, full } from './time';

export function Bell({ session }: { session: Session }) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const { unseen, unread } = session.inbox.counts;

  useEffect(() => {
    if (!open) return;
    const outside = (event: Event) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener('pointerdown', outside);
    return () => document.removeEventListener('pointerdown', outside);
  }, [open]);

  // Shown is seen, also what arrives while the panel is open.
  useEffect(() => {
    if (open && unseen > 0) void session.markSeen();
  }, [open, unseen, session]);

  return (
    <div
      class="bell"
      ref={root}
      onKeyDown={(event) => {
        if (event.key !== 'Escape' || !open) return;
        setOpen(false);
        button.current?.focus();
      }}
    >
      <button
        type="button"
        ref={button}
        class="icon-button"
        data-testid="bell"
        aria-haspopup="dialog"
        aria-expanded={open}
        aria-label={unread > 0 ? `Notifications, ${unread} unread` : 'Notifications'}
        title="Notifications"
        onClick={() => setOpen(!open)}
      >
        {/* A new element for each new count: its animation starts again. */}
        <span key={unseen} class={unseen > 0 ? 'bell-icon bell-ring' : 'bell-icon'}>
          <Icon name="bell" />
        </span>
        {unseen > 0 && (
          <span class="badge bell-count" data-testid="bell-count">
            {unseen > 99 ? '99+' : unseen}
          </span>
        )}
      </button>
      {open && <Panel session={session} onClose={() => setOpen(false)} />}
    </div>
  );
}

function Panel({ session, onClose }: { session: Session; onClose: () => void }) {
  const panel = useRef<HTMLDivElement>(null);
  useEffect(() => panel.current?.focus(), []);
  const { notifications, counts, cursor } = session.inbox;
  return (
    <div
      class="panel"
      role="dialog"
      aria-label="Notifications"
      data-testid="bell-panel"
      tabIndex={-1}
      ref={panel}
    >
      <header class="panel-header">
        <h2>Notifications</h2>
        {counts.unread > 0 && (
          <button
            type="button"
            class="link-button"
            data-testid="mark-all-read"
            onClick={() => void session.markAllRead()}
          >
            Mark all read
          </button>
        )}
        <button
          type="button"
          class="icon-button panel-close"
          aria-label="Close notifications"
          onClick={onClose}
        >
          <Icon name="close" />
        </button>
      </header>
      {notifications.length === 0 ? (
        <div class="panel-empty">
          <Icon name="bell" />
          <p>{session.inbox.loaded ? 'You are all caught up.' : 'Loading…'}</p>
        </div>
      ) : (
        <ul class="notifications">
          {notifications.map((notification) => (
            <Item
              key={notification.id}
              session={session}
              notification={notification}
              onClose={onClose}
            />
          ))}
        </ul>
      )}
      {cursor !== '' && (
        <button
          type="button"
          class="button panel-more"
          onClick={() => void attempt(session.loadMoreNotifications())}
        >
          Show older
        </button>
      )}
    </div>
  );
}

function Item(props: { session: Session; notification: Notification; onClose: () => void }) {
  const { session, notification: n } = props;
  const unread = !n.read_at;
  const open = () => {
    if (unread) void session.markNotificationRead(n.id);
    const hash = linkHash(n.link);
    if (hash !== undefined) {
      go(hash);
      props.onClose();
    } else if (n.link && /^https?:\/\//.test(n.link)) {
      window.open(n.link, '_blank', 'noopener,noreferrer');
    }
  };
  return (
    <li
      class={unread ? 'notification notification-unread' : 'notification'}
      data-testid="notification"
      data-id={n.id}
      data-unread={unread}
    >
      <button type="button" class="notification-open" onClick={open}>
        <Avatar name={n.actor || n.category || '?'} />
        <span class="notification-text">
          <span class="notification-title">{n.title}</span>
          {n.body && <span class="notification-body">{n.body}</span>}
          <time class="notification-time" title={full(n.created_at)}>
            {ago(n.created_at)}
          </time>
        </span>
      </button>
      <span class="notification-actions">
        <button
          type="button"
          class="icon-button icon-button-small"
          aria-label={unread ? 'Mark as read' : 'Mark as unread'}
          title={unread ? 'Mark as read' : 'Mark as unread'}
          onClick={() => void session.markNotificationRead(n.id, !unread)}
        >
          <Icon name={unread ? 'check' : 'unread'} />
        </button>
        <button
          type="button"
          class="icon-button icon-button-small"
          data-testid="archive"
          aria-label="Archive"
          title="Archive"
          onClick={() => void session.archive(n.id)}
        >
          <Icon name="archive" />
        </button>
      </span>
    </li>
  );
}

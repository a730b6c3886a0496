// The messages of a room: grouped by author and day, kept in place while older
// ones are loaded above, followed at the end.

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Message } from '../realtime/contract';
import type { RoomDetail, RoomState, Session } from '../realtime/session';
import { useAttention } from './hooks';
import { Icon } from './icons';
import { MessageRow, PendingRow } from './message';
import { attempt } from './notices';
import { day, dayKey } from './time';

/** Messages of one author closer than this stand under one name. */
const GROUP_MS = 5 * 60_000;
/** Nearer than this to an edge counts as at the edge. */
const EDGE = 120;

export function TimelineView(props: {
  session: Session;
  state: RoomState;
  detail: RoomDetail;
  target: number | undefined;
  editing: number | undefined;
  onEdit: (seq: number | undefined) => void;
}) {
  const { session, state, detail, target } = props;
  const id = state.room.id;
  const { timeline } = detail;
  const { messages } = timeline;
  const drafts = session.outbox
    .of(id)
    .filter((draft) => !timeline.holds(session.user, draft.clientMsgId));

  const scroller = useRef<HTMLDivElement>(null);
  const place = useRef({ atEnd: true, first: 0, height: 0, drafts: 0 });
  const [atEnd, setAtEnd] = useState(true);
  const attention = useAttention();
  // Where reading was left when the room was opened: it stays while one reads on.
  const [mark] = useState(state.readSeq);

  // Keep the eye where it is: at the end when it was there, else on the same message.
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element || !timeline.loaded) return;
    const before = place.current;
    const grewAbove = before.first > 0 && timeline.first < before.first;
    if (grewAbove) element.scrollTop += element.scrollHeight - before.height;
    else if ((before.atEnd && !timeline.hasMoreAfter) || drafts.length > before.drafts) {
      element.scrollTop = element.scrollHeight;
    }
    place.current = {
      atEnd: before.atEnd,
      first: timeline.first,
      height: element.scrollHeight,
      drafts: drafts.length,
    };
  });

  // Go to the message in the address, once it is there.
  const shown = target !== undefined && timeline.has(target);
  useEffect(() => {
    if (!shown) return;
    const row = scroller.current?.querySelector(`[data-seq="${target}"]`);
    row?.scrollIntoView({ block: 'center' });
    row?.classList.add('message-target');
    const timer = setTimeout(() => row?.classList.remove('message-target'), 2_500);
    return () => clearTimeout(timer);
  }, [shown, target]);

  const scrolled = () => {
    const element = scroller.current;
    if (!element) return;
    const below = element.scrollHeight - element.scrollTop - element.clientHeight;
    place.current.atEnd = below < EDGE;
    place.current.height = element.scrollHeight;
    setAtEnd(below < EDGE);
    if (element.scrollTop < 4 * EDGE && timeline.hasMoreBefore && detail.loading === 0) {
      void attempt(session.loadOlder(id));
    }
    if (below < 4 * EDGE && timeline.hasMoreAfter && detail.loading === 0) {
      void attempt(session.loadNewer(id));
    }
  };

  // A short first page may not fill the screen: then nothing would ever scroll.
  useEffect(scrolled, [messages.length]);

  const seen = attention && atEnd && timeline.loaded && !timeline.hasMoreAfter;
  useEffect(() => {
    if (seen && timeline.last > 0) session.read(id, timeline.last);
  }, [seen, timeline.last, id, session]);

  // The window got smaller or larger (a keyboard on a phone): stay at the end.
  useEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const observer = new ResizeObserver(() => {
      if (place.current.atEnd) element.scrollTop = element.scrollHeight;
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const jump = () => {
    place.current.atEnd = true;
    setAtEnd(true);
    void attempt(session.jumpToLatest(id)).then(() => {
      const element = scroller.current;
      element?.scrollTo({ top: element.scrollHeight });
    });
  };

  const other = state.room.kind === 'ROOM_KIND_DIRECT' ? otherRead(state, detail, session) : 0;
  const lastOwn = messages.findLast((m) => m.author === session.user)?.seq;

  return (
    <div class="timeline-frame">
      <div
        class="timeline"
        ref={scroller}
        role="log"
        aria-label="Messages"
        aria-live="polite"
        aria-busy={detail.loading > 0}
        tabIndex={0}
        data-testid="timeline"
        onScroll={scrolled}
      >
        <div class="timeline-space" />
        {timeline.loaded && !timeline.hasMoreBefore && (
          <p class="timeline-begin">
            {messages.length === 0 ? 'Nothing here yet. Say hello.' : 'This is where it all began.'}
          </p>
        )}
        {detail.loading > 0 && messages.length === 0 && (
          <p class="timeline-begin" role="status">
            Loading…
          </p>
        )}
        {messages.map((message, index) => {
          const before = messages[index - 1];
          const newDay = dayKey(before?.created_at) !== dayKey(message.created_at);
          const firstNew =
            mark > 0 &&
            message.seq > mark &&
            (before?.seq ?? 0) <= mark &&
            message.author !== session.user;
          return (
            <div key={message.seq} class="timeline-item">
              {newDay && (
                <div class="day" role="separator">
                  <span>{day(message.created_at)}</span>
                </div>
              )}
              {firstNew && (
                <div class="new-mark" role="separator" data-testid="new-mark">
                  <span>New</span>
                </div>
              )}
              <MessageRow
                session={session}
                message={message}
                lead={newDay || firstNew || !follows(before, message)}
                editing={props.editing === message.seq}
                moderator={
                  state.membership.role === 'ROLE_OWNER' || state.membership.role === 'ROLE_ADMIN'
                }
                onEdit={props.onEdit}
              />
              {message.seq === lastOwn && other >= message.seq && messages.at(-1) === message && (
                <p class="seen">Seen</p>
              )}
            </div>
          );
        })}
        {drafts.map((draft, index) => (
          <PendingRow
            key={draft.clientMsgId}
            session={session}
            draft={draft}
            lead={index === 0 && messages.at(-1)?.author !== session.user}
          />
        ))}
      </div>
      {(!atEnd || timeline.hasMoreAfter) && timeline.loaded && (
        <button type="button" class="jump" data-testid="jump" onClick={jump}>
          <Icon name="down" />
          {state.lastSeq > state.readSeq ? `${state.lastSeq - state.readSeq} new` : 'Latest'}
        </button>
      )}
    </div>
  );
}

function follows(before: Message | undefined, message: Message): boolean {
  if (!before || before.author !== message.author) return false;
  const apart = Date.parse(message.created_at ?? '') - Date.parse(before.created_at ?? '');
  return apart < GROUP_MS;
}

function otherRead(state: RoomState, detail: RoomDetail, session: Session): number {
  const other = state.room.direct_users?.find((user) => user !== session.user);
  return (other && detail.members.get(other)?.read_seq) || 0;
}

// Small hooks that more than one screen uses.

import { useEffect, useReducer, useState } from 'preact/hooks';
import type { Session } from '../realtime/session';

/** Renders again whenever anything in the session changed. */
export function useSession(session: Session): void {
  const [, again] = useReducer((n: number) => n + 1, 0);
  useEffect(() => session.onChange(() => again(undefined)), [session]);
}

/** Whether somebody can be looking at the page. */
export function useAttention(): boolean {
  const now = () => document.visibilityState === 'visible' && document.hasFocus();
  const [attention, setAttention] = useState(now);
  useEffect(() => {
    const changed = () => setAttention(now());
    addEventListener('focus', changed);
    addEventListener('blur', changed);
    document.addEventListener('visibilitychange', changed);
    return () => {
      removeEventListener('focus', changed);
      removeEventListener('blur', changed);
      document.removeEventListener('visibilitychange', changed);
    };
  }, []);
  return attention;
}

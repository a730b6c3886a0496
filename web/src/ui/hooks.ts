// Small hooks that more than one screen uses.

import { useEffect, useReducer, useState } from 'preact/hooks';
import type { Session } from '../realtime/session';
import { theme, toggleTheme } from './theme';
import type { Theme } from './theme';

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

/** Dark or light, and the switch between them. */
export function useTheme(): [Theme, () => void] {
  const [look, setLook] = useState(theme());
  useEffect(() => {
    const system = matchMedia('(prefers-color-scheme: dark)');
    const changed = () => setLook(theme());
    system.addEventListener('change', changed);
    return () => system.removeEventListener('change', changed);
  }, []);
  return [look, () => setLook(toggleTheme())];
}

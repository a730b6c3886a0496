// Short notes at the lower edge: what went wrong, what was done.

import { useEffect, useState } from 'preact/hooks';
import { CallError } from '../realtime/connection';

let listener: ((text: string) => void) | undefined;

export function notice(text: string): void {
  listener?.(text);
}

/** Runs an action and tells the user when it fails. */
export function attempt<T>(action: Promise<T>): Promise<T | undefined> {
  return action.catch((cause: unknown) => {
    const error = CallError.from(cause);
    notice(error.lost ? 'Not connected. Please try again in a moment.' : error.message);
    return undefined;
  });
}

export function Notices() {
  const [text, setText] = useState('');
  useEffect(() => {
    listener = setText;
    return () => {
      listener = undefined;
    };
  }, []);
  useEffect(() => {
    if (text === '') return;
    const timer = setTimeout(() => setText(''), 5_000);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <div class="notices" role="status" aria-live="polite">
      {text !== '' && <p class="notice">{text}</p>}
    </div>
  );
}

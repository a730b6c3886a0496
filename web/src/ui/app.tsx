// The page as a whole: who signs in, and then the session's screens.

import { useEffect, useState } from 'preact/hooks';
import { developmentTokens, isDevelopment, userOf } from '../realtime/account';
import { connect, socketUrl } from '../realtime/connection';
import type { TokenSource } from '../realtime/connection';
import { Session } from '../realtime/session';
import { Notices, notice } from './notices';
import { Shell } from './shell';
import { SignIn } from './signin';

declare global {
  interface Window {
    /** Set by an embedding application: a token, or a function that fetches one. */
    fanfareToken?: string | (() => Promise<string | null> | string | null);
  }
}

/** Each tab is a session of its own, so that two tabs can be two users. */
const USER_KEY = 'fanfare.user';
const LAST_NAME_KEY = 'fanfare.last-name';

type Phase =
  | { kind: 'starting' }
  | { kind: 'signed-out'; problem: string }
  | { kind: 'signed-in'; session: Session };

const base = new URL('.', location.href).pathname;
const protobuf = new URLSearchParams(location.search).has('protobuf');

export function App() {
  const [phase, setPhase] = useState<Phase>({ kind: 'starting' });
  const [development, setDevelopment] = useState(false);

  const signIn = async (user: string, token: TokenSource) => {
    setPhase({ kind: 'starting' });
    const link = await connect({ url: socketUrl(location, protobuf), token, protobuf });
    setPhase({
      kind: 'signed-in',
      session: new Session({ user, link, store: sessionStorage, notice }),
    });
  };

  const signInByName = (user: string) => {
    sessionStorage.setItem(USER_KEY, user);
    localStorage.setItem(LAST_NAME_KEY, user);
    void signIn(user, developmentTokens(base, user, fetch.bind(window)));
  };

  useEffect(() => {
    void (async () => {
      const given = window.fanfareToken;
      if (given !== undefined) {
        const source: TokenSource = async () => (typeof given === 'function' ? given() : given);
        const user = userOf((await source()) ?? '');
        if (user !== undefined) return signIn(user, source);
        return setPhase({ kind: 'signed-out', problem: 'The token names no user.' });
      }
      const mode = await isDevelopment(base, fetch.bind(window));
      setDevelopment(mode);
      const user = sessionStorage.getItem(USER_KEY);
      if (mode && user) signInByName(user);
      else setPhase({ kind: 'signed-out', problem: '' });
    })();
  }, []);

  const signOut = (problem = '') => {
    if (phase.kind === 'signed-in') phase.session.close();
    sessionStorage.removeItem(USER_KEY);
    setPhase({ kind: 'signed-out', problem });
  };

  return (
    <>
      {phase.kind === 'signed-out' && (
        <SignIn
          development={development}
          lastName={localStorage.getItem(LAST_NAME_KEY) ?? ''}
          problem={phase.problem}
          onName={signInByName}
          onToken={(token) => void signIn(userOf(token) ?? '', () => Promise.resolve(token))}
        />
      )}
      {phase.kind === 'signed-in' && (
        <Shell
          key={phase.session.user}
          session={phase.session}
          development={development}
          onSignOut={signOut}
        />
      )}
      <Notices />
    </>
  );
}

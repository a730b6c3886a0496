// The first screen: a name in development, a token in production.

import { useState } from 'preact/hooks';
import { userId, userOf } from '../realtime/account';
import { useTheme } from './hooks';
import { Icon, Logo } from './icons';

export function SignIn(props: {
  development: boolean;
  lastName: string;
  problem: string;
  onName: (user: string) => void;
  onToken: (token: string) => void;
}) {
  const [look, toggleLook] = useTheme();
  return (
    <main class="signin">
      <button
        type="button"
        class="icon-button signin-theme"
        aria-label="Switch between dark and light"
        onClick={toggleLook}
      >
        <Icon name={look === 'dark' ? 'sun' : 'moon'} />
      </button>
      <div class="signin-card">
        <Logo />
        <h1>Fanfare</h1>
        <p class="signin-lead">Rooms, messages and notifications, live.</p>
        {props.problem !== '' && (
          <p class="problem" role="alert">
            {props.problem}
          </p>
        )}
        {props.development ? (
          <NameForm last={props.lastName} onName={props.onName} />
        ) : (
          <TokenForm onToken={props.onToken} />
        )}
      </div>
    </main>
  );
}

function NameForm(props: { last: string; onName: (user: string) => void }) {
  const [name, setName] = useState(props.last);
  const user = userId(name);
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        if (user !== '') props.onName(user);
      }}
    >
      <label class="field">
        <span>Your name</span>
        <input
          data-testid="name-input"
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
          placeholder="alice"
          autocomplete="nickname"
          autocapitalize="none"
          spellcheck={false}
          maxLength={40}
          autofocus
        />
      </label>
      <button class="button button-primary" data-testid="sign-in" disabled={user === ''}>
        {user === '' || user === name ? 'Continue' : `Continue as ${user}`}
      </button>
      <p class="hint">
        Development mode: any name signs in, without a password. Open a second tab to be somebody
        else.
      </p>
    </form>
  );
}

function TokenForm(props: { onToken: (token: string) => void }) {
  const [token, setToken] = useState('');
  const user = userOf(token.trim());
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        if (user !== undefined) props.onToken(token.trim());
      }}
    >
      <label class="field">
        <span>Access token</span>
        <textarea
          data-testid="token-input"
          rows={4}
          value={token}
          onInput={(event) => setToken(event.currentTarget.value)}
          spellcheck={false}
          autocomplete="off"
          placeholder="eyJhbGciOi…"
        />
      </label>
      <button class="button button-primary" data-testid="sign-in" disabled={user === undefined}>
        {user === undefined ? 'Continue' : `Continue as ${user}`}
      </button>
      <p class="hint">Your application hands out this token; it is kept in this tab only.</p>
    </form>
  );
}

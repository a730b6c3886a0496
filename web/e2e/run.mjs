// Two people in two browsers use the page of a running system.
//
//   npm run e2e -- --base http://localhost:8000 [--base2 URL] [--restart COMMAND] [--shots DIR] [--protobuf]
//
// With `--base2` the second person is on that gateway. `--restart` is a shell command
// that restarts a gateway and returns when it listens again. Exits with 1 when a step
// fails, after a line that names it and a screenshot of what was on the screens.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { openBrowser, Person, PHONE } from './browser.mjs';

const { values: args } = parseArgs({
  options: {
    base: { type: 'string' },
    base2: { type: 'string' },
    restart: { type: 'string' },
    shots: { type: 'string' },
    protobuf: { type: 'boolean', default: false },
  },
});
if (!args.base) {
  process.stderr.write('usage: npm run e2e -- --base URL [--base2 URL] [--shots DIR]\n');
  process.exit(2);
}
const base = args.base.replace(/\/$/, '');
const base2 = (args.base2 ?? args.base).replace(/\/$/, '');
const options = { shots: args.shots, protobuf: args.protobuf };

// Names of their own, so that the story can be told again on a system that has run.
const run = Date.now().toString(36).slice(-5);
const [ALICE, BOB] = [`alice-${run}`, `bob-${run}`];
const ROOM = `launch-${run}`;

const browser = await openBrowser();
const people = [];
let current = '';

async function step(name, body) {
  current = name;
  const start = performance.now();
  await body();
  process.stdout.write(`ok  ${name} (${Math.round(performance.now() - start)} ms)\n`);
}

async function story() {
  const alice = await Person.open(browser, ALICE, base, options);
  const bob = await Person.open(browser, BOB, base2, options);
  people.push(alice, bob);
  let room;

  await step('both sign in by a name', async () => {
    await alice.find('name-input').waitFor();
    await alice.shot('sign-in');
    await Promise.all([alice.signIn(), bob.signIn()]);
  });

  await step('alice creates a public room, bob finds and joins it', async () => {
    room = await alice.createRoom(ROOM);
    await bob.joinRoom(room, ROOM);
  });

  await step('each sees that the other is here', async () => {
    for (const person of [alice, bob]) {
      await person.page.waitForFunction(
        (names) => {
          const users = document.querySelector('[data-testid=presence]')?.dataset.users ?? '';
          return names.every((name) => users.split(' ').includes(name));
        },
        [ALICE, BOB],
      );
    }
  });

  await step('a message appears on both sides, once', async () => {
    await alice.say('Good morning! The stage is set.');
    await alice.sees('Good morning! The stage is set.');
    await bob.sees('Good morning! The stage is set.');
    await bob.say('Morning. Sound check at ten?');
    await alice.sees('Morning. Sound check at ten?');
    for (const person of [alice, bob]) {
      const texts = (await person.messages()).map((message) => message.text);
      assert.deepEqual(texts, ['Good morning! The stage is set.', 'Morning. Sound check at ten?']);
    }
  });

  await step('text is text, whatever it looks like', async () => {
    const text = '<img src=x onerror="window.hacked=1"><b>bold</b>';
    await bob.say(text);
    await alice.sees(text);
    assert.equal(await alice.page.evaluate(() => window.hacked), undefined);
  });

  await step('alice sees that bob is typing, and that it stops', async () => {
    // For longer than the two seconds that lie between two such events, as his
    // last one may have been just now.
    await bob.find('composer').pressSequentially('Nearly ready, wait', { delay: 150 });
    await alice
      .find('typing')
      .filter({ hasText: `${BOB} is typing` })
      .waitFor();
    await bob.find('composer').fill('');
    await alice
      .find('typing')
      .filter({ hasText: `${BOB} is typing` })
      .waitFor({ state: 'detached' });
  });

  await step('messages while bob is elsewhere show as unread', async () => {
    await bob.goHome();
    await alice.say('Ten it is.');
    await alice.say('Bring the brass section');
    const badge = bob.room(room).getByTestId('unread');
    await badge.filter({ hasText: /^2$/ }).waitFor();
  });

  await step('a mention, completed by the keyboard, rings the bell', async () => {
    await alice.find('composer').pressSequentially('Ready when you are @bob');
    await alice.find('mention-offer').first().waitFor();
    await alice.find('composer').press('Enter');
    await alice.find('composer').press('Enter');
    await bob.find('bell-count').waitFor();
    await bob.shot('bell-rings');
    await bob.find('bell').click();
    const notification = bob.find('notification').first();
    await notification.waitFor();
    assert.equal(await notification.getAttribute('data-unread'), 'true');
    await bob.find('bell-count').waitFor({ state: 'detached' });
    await bob.shot('bell-panel');
  });

  await step('a click on the notification leads to the message and reads it', async () => {
    await bob.find('notification').first().getByRole('button').first().click();
    await bob.sees('Ready when you are');
    await bob.find('mention').first().waitFor();
    await bob.room(room).getByTestId('unread').waitFor({ state: 'detached' });
    await bob.find('bell').click();
    await bob.page.waitForSelector('[data-testid=notification][data-unread=false]');
    await bob.page.keyboard.press('Escape');
    await bob.find('bell-panel').waitFor({ state: 'detached' });
  });

  await step('alice edits one message and deletes another; bob sees both', async () => {
    await alice.message('Ten it is.').first().hover();
    await alice.message('Ten it is.').getByTestId('edit').click();
    await alice.find('edit-input').fill('Ten sharp it is.');
    await alice.find('edit-input').press('Enter');
    await bob.sees('Ten sharp it is.');
    await alice.message('Bring the brass section').first().hover();
    await alice.message('Bring the brass section').getByTestId('delete').click();
    await alice.find('delete-confirm').click();
    await bob.sees('Message deleted');
  });

  await step('after a reload everything is as it was', async () => {
    const before = await bob.messages();
    await bob.page.reload();
    await bob.live();
    await bob.sees('Ten sharp it is.');
    assert.deepEqual(await bob.messages(), before);
  });

  await step('a direct message reaches bob, whose bell rings again', async () => {
    await alice.find('create-room').click();
    await alice.find('tab-direct').click();
    await alice.find('direct-user-input').fill(BOB);
    await alice.find('direct-submit').click();
    await alice.find('room-title').filter({ hasText: BOB }).waitFor();
    await alice.say('Psst. Surprise encore?');
    const item = bob.find('room-item').filter({ hasText: ALICE }).filter({ hasText: 'Psst' });
    await item.getByTestId('unread').waitFor();
    await item.click();
    await bob.sees('Psst. Surprise encore?');
    await alice.openRoom(room);
  });

  await step('offline, a message is kept; online again, it arrives once', async () => {
    await alice.page.context().setOffline(true);
    await alice.say('Written in a tunnel');
    await alice.find('pending-message').waitFor();
    await alice.page.context().setOffline(false);
    await bob.openRoom(room);
    await bob.sees('Written in a tunnel');
    await alice.sees('Written in a tunnel');
    await alice.find('pending-message').waitFor({ state: 'detached' });
    assert.equal(await bob.message('Written in a tunnel').count(), 1);
    assert.equal(await alice.message('Written in a tunnel').count(), 1);
  });

  await step('a restart of the gateway loses and doubles nothing', async () => {
    if (!args.restart) return;
    const shell = spawn(args.restart, { shell: true, stdio: 'inherit' });
    const ended = once(shell, 'exit');
    const texts = Array.from({ length: 12 }, (_, i) => `Restart ${String(i + 1).padStart(2, '0')}`);
    for (const text of texts) {
      await alice.say(text);
      await alice.page.waitForTimeout(150);
    }
    assert.equal((await ended)[0], 0, 'the restart command failed');
    for (const person of [alice, bob]) {
      await person.sees(texts.at(-1));
      const shown = (await person.messages()).map((message) => message.text);
      assert.deepEqual(
        shown.filter((text) => text.startsWith('Restart ')),
        texts,
      );
    }
    await alice.find('pending-message').first().waitFor({ state: 'detached' });
    await Promise.all([alice.live(), bob.live()]);
  });

  await step('pictures: desktop and phone, light and dark', async () => {
    if (!args.shots) return;
    await alice.find('presence').click();
    await alice.shot('room-desktop-light');
    await alice.page.emulateMedia({ colorScheme: 'dark' });
    await alice.shot('room-desktop-dark');
    await bob.page.setViewportSize(PHONE);
    await bob.shot('room-phone-light');
    await bob.page.emulateMedia({ colorScheme: 'dark' });
    await bob.shot('room-phone-dark');
    await bob.goHome();
    await bob.shot('rooms-phone-dark');
  });

  await step('nothing went wrong on the way', () => {
    for (const person of people) assert.deepEqual(person.problems, []);
  });
}

let failed = false;
try {
  await story();
} catch (error) {
  failed = true;
  process.stderr.write(`FAILED  ${current}\n${error.stack ?? error}\n`);
  for (const person of people) {
    if (person.problems.length > 0) process.stderr.write(`${person.name}: ${person.problems}\n`);
    await person.shot(`failed-${person.name}`).catch(() => undefined);
  }
} finally {
  await browser.close();
}
process.exit(failed ? 1 : 0);

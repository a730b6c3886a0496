// Two people open the page of docs/quickstart.md in headless Chromium and chat; then a
// shell command publishes, and both see it.
//
//   node quickstart.mjs PAGE COMMAND

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { openBrowser } from '../../web/e2e/browser.mjs';

const [file, command] = process.argv.slice(2);
const browser = await openBrowser();
try {
  const open = async () => {
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(15_000);
    page.on('pageerror', (error) => assert.fail(String(error)));
    await page.goto(pathToFileURL(file).href);
    return page;
  };
  const sees = (page, text) => page.locator('li').filter({ hasText: text }).waitFor();
  const one = await open();
  const two = await open();
  await one.locator('input').fill('Good morning!');
  await one.locator('input').press('Enter');
  await sees(one, 'Good morning!');
  // Who comes later sees what was said before.
  await sees(two, 'Good morning!');
  const answer = execFileSync('sh', ['-ec', command], { encoding: 'utf8' });
  const published = JSON.parse(answer).result;
  assert.ok(published.offset > 0, answer);
  await sees(one, 'curl');
  await sees(two, 'curl');
  for (const page of [one, two]) assert.equal(await page.locator('li').count(), 2);
} finally {
  await browser.close();
}

import { defineConfig } from 'vitest/config';

// The gateway to develop against: `npm run dev` serves the page with hot reload
// and passes everything else on to it.
const gateway = process.env['FANFARE_GATEWAY'] ?? 'http://localhost:8000';

export default defineConfig({
  base: './',
  build: {
    target: 'es2022',
    // `light-dark()` stays as it is written.
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    // The content security policy has no room for data: scripts or styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: true,
  },
  server: {
    proxy: {
      '/connection': { target: gateway, ws: true },
      '/dev/token': gateway,
      '/dev/info': gateway,
    },
  },
  test: {
    include: ['test/**/*.test.ts'],
  },
});

import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['dist', 'node_modules'] },
  {
    files: ['src/**/*.ts', 'src/**/*.tsx', 'test/**/*.ts', 'vite.config.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      // Text reaches the page only as text: no HTML from strings, anywhere.
      'no-restricted-properties': [
        'error',
        { property: 'innerHTML', message: 'render text, not HTML' },
        { property: 'outerHTML', message: 'render text, not HTML' },
        { property: 'insertAdjacentHTML', message: 'render text, not HTML' },
      ],
      'no-restricted-syntax': [
        'error',
        {
          selector: 'JSXAttribute[name.name="dangerouslySetInnerHTML"]',
          message: 'render text, not HTML',
        },
      ],
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  {
    // `realtime` knows no page: it runs under any JavaScript runtime.
    files: ['src/realtime/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: [{ group: ['preact', 'preact/*', '../ui/*'], message: 'no UI in realtime' }] },
      ],
      'no-restricted-globals': ['error', 'document', 'window', 'localStorage', 'sessionStorage'],
    },
  },
);

// The page's icons: 20 units square, drawn with the text's colour.

const paths = {
  back: 'M12.5 4.5 7 10l5.500 5.500',
  bell: 'M10 3a4.500 4.500 0 0 0-4.500 4.500c0 4-1.750 5.250-1.750 5.250h12.500s-1.750-1.250-1.750-5.250A4.500 4.500 0 0 0 10 3zM8.500 15.750a1.600 1.600 0 0 0 3 0',
  check: 'm4.500 10.500 3.500 3.500 7.500-8',
  close: 'm5.500 5.500 9 9m0-9-9 9',
  edit: 'm4 16 .700-3.200L13 4.500a1.400 1.400 0 0 1 2 0l.500.500a1.400 1.400 0 0 1 0 2L7.200 15.300z',
  hash: 'M7.750 3.500 6.250 16.500m7.500-13-1.500 13M4 7.500h12.500M3.500 12.500H16',
  lock: 'M5.500 9h9v7h-9zM7.250 9V6.750a2.750 2.750 0 0 1 5.500 0V9',
  megaphone: 'M4 8v4h2.500l7.500 3.500v-11L6.500 8zm2.500 4 1 4h1.750l-.750-3.250',
  message: 'M4 4.500h12v9H9.500L6 16.500v-3H4z',
  moon: 'M15.800 11.800A6.500 6.500 0 0 1 8.200 4.200a6.500 6.500 0 1 0 7.600 7.600z',
  out: 'M8 4H4.500v12H8m4-9.500L15.500 10 12 13.500M15 10H8',
  people:
    'M7.500 9.500a2.750 2.750 0 1 0 0-5.500 2.750 2.750 0 0 0 0 5.500zM2.500 16c0-2.750 2.250-4.500 5-4.500s5 1.750 5 4.500M13 4.250a2.600 2.600 0 0 1 0 5M14.500 11.750c1.750.500 3 2 3 4.250',
  plus: 'M10 4.500v11M4.500 10h11',
  retry: 'M15.500 8A6 6 0 1 0 16 11m0-6.500V8h-3.500',
  search: 'M9 14.500a5.500 5.500 0 1 0 0-11 5.500 5.500 0 0 0 0 11zm4-1.500 3.500 3.500',
  send: 'M10 16V4.500M5 9.500l5-5 5 5',
  sun: 'M10 13.250a3.250 3.250 0 1 0 0-6.500 3.250 3.250 0 0 0 0 6.500zM10 2.500V4m0 12v1.500M2.500 10H4m12 0h1.500M4.700 4.700l1 1m8.600 8.600 1 1m0-10.600-1 1m-8.600 8.600-1 1',
  trash: 'M4 6h12M8 6V4h4v2m2.500 0-.600 10H6.100L5.500 6m3 3v4m3-4v4',
  unread: 'M10 13.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7z',
  archive: 'M3.500 4.500h13V8h-13zM4.500 8v7.500h11V8M8.500 11h3',
  down: 'M10 4v11.500M5 10.500l5 5 5-5',
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg
      class="icon"
      viewBox="0 0 20 20"
      width="20"
      height="20"
      fill="none"
      stroke="currentColor"
      stroke-width="1.6"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      <path d={paths[name]} />
    </svg>
  );
}

/** The name of the project as a picture: a trumpet call. */
export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
      <rect class="logo-ground" width="32" height="32" rx="9" />
      <path
        class="logo-horn"
        d="M6.500 13.700v4.600c0 .700.500 1.200 1.200 1.200h2.500l1.200 4.900c.1.500.500.800 1 .800h1.300c.700 0 1.200-.700 1-1.300l-1.200-4.400h1.700l6.600 3.600c.8.400 1.700-.1 1.700-1V9.900c0-.900-.9-1.400-1.700-1l-6.600 3.600H7.700c-.7 0-1.200.500-1.200 1.200z"
      />
      <path class="logo-sound" d="M25 12.500a5 5 0 0 1 0 7" />
    </svg>
  );
}

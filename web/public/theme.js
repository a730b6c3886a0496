// Before the first paint, so that a chosen theme never flashes in the other one.
// A file of its own because the content security policy forbids inline scripts.
try {
  const theme = localStorage.getItem('fanfare.theme');
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
} catch {
  // Storage is switched off: the system's preference decides.
}

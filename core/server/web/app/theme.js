// A classic script, loaded before the first paint: the chosen theme must not flash.
{
  let theme = null;
  try { theme = localStorage.getItem('lynk.theme'); } catch { /* Storage is switched off: the system's theme it is. */ }
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
}

// Loaded in the head, before anything is drawn: a dark page must not flash white.
(() => {
  const chosen = () => { try { return localStorage.getItem("gauntlet-theme"); } catch { return null; } };
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const effective = () => chosen() || (system.matches ? "dark" : "light");
  const apply = () => {
    document.documentElement.dataset.theme = effective();
    document.documentElement.dataset.agThemeMode = effective();
  };
  const choose = theme => {
    try { theme ? localStorage.setItem("gauntlet-theme", theme) : localStorage.removeItem("gauntlet-theme"); } catch {}
    apply();
  };
  window.gauntletTheme = { chosen, effective, choose, system, apply };
  apply();
})();

// The page Models: which runs its table shows, in their order, and which are ticked.
window.dash_clientside = window.dash_clientside || {};
window.dash_clientside.models = {
  // At first all of them are, which the page knows before there is a table: its pictures do not wait for it.
  shown: (rows, before) => {
    const ids = rows && rows.map(row => row.id);
    return ids && ids.join() !== before.join() ? ids : window.dash_clientside.no_update;
  },
  ticked: rows => (rows && rows.length ? rows.map(row => row.id) : window.dash_clientside.no_update),
};

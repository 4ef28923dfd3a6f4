// The page Models: which runs its table shows, in their order, and which are ticked.
window.dash_clientside = window.dash_clientside || {};
window.dash_clientside.models = {
  shown: rows => (rows ? rows.map(row => row.id) : window.dash_clientside.no_update),
  ticked: rows => (rows && rows.length ? rows.map(row => row.id) : window.dash_clientside.no_update),
};

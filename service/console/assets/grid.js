// Cells of tables that are more than text. Registered by name: the page's policy allows no functions as text.
(() => {
  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  const make = (...parts) => window.React.createElement(...parts);
  const follow = event => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    window.history.pushState({}, "", event.currentTarget.getAttribute("href"));
    window.dispatchEvent(new PopStateEvent("popstate"));
  };
  cells.Link = ({ value, data, colDef }) => {
    const href = data[(colDef.cellRendererParams || {}).href || "href"];
    return href && value ? make("a", { href, onClick: follow }, value) : value;
  };
  cells.Status = ({ value }) => make("span", { className: `status ${String(value || "").toLowerCase()}` }, value);
  // In a table the arrow keys move between cells; Enter follows the link of the cell.
  document.addEventListener("keydown", event => {
    const cell = event.key === "Enter" && event.target.closest && event.target.closest(".ag-cell");
    const link = cell && event.target === cell && cell.querySelector("a");
    if (link) link.click();
  });
})();

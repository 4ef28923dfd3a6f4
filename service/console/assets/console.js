// What the browser does by itself: colours of pictures, the theme, arriving at a page, saving a table.
(() => {
  // The same as bentos/palette.py; a test compares the two.
  const PALE = {
    "#2563eb": "#60a5fa", "#d97706": "#fbbf24", "#dc2626": "#f87171", "#c2410c": "#fb923c", "#475569": "#cbd5e1",
    "#94a3b8": "#64748b", "#0f766e": "#2dd4bf", "#7c3aed": "#a78bfa", "#be185d": "#f472b6", "#9a3412": "#ea580c",
  };
  const PAPER = { light: ["#1f2937", "#e5e7eb", "#9ca3af"], dark: ["#e5e7eb", "#374151", "#6b7280"] };
  const FONT = "system-ui, sans-serif", SIZE = 13;
  const told = {};

  const repaint = value => {
    if (typeof value === "string") return PALE[value] || value;
    if (Array.isArray(value)) return value.map(repaint);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, repaint(inner)]));
    }
    return value;
  };

  function coloured(layout, theme) {
    const [ink, grid, zero] = PAPER[theme];
    const found = {
      ...(theme === "dark" ? repaint(layout) : layout), paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: FONT, size: SIZE, color: ink }, uirevision: "kept", autosize: false,
      hoverlabel: { font: { family: FONT } },
    };
    // To hide labels that reach over the edge Plotly would measure every one, a quarter of its time: margins have room for them.
    const axis = {
      gridcolor: grid, zerolinecolor: zero, linecolor: grid, fixedrange: true, ticklabeloverflow: "allow",
    };
    for (const key of Object.keys(layout).filter(key => /^[xy]axis/.test(key))) found[key] = { ...axis, ...found[key] };
    if (found.polar) {
      const round = { gridcolor: grid, linecolor: grid };
      found.polar = {
        bgcolor: "rgba(0,0,0,0)", ...found.polar,
        radialaxis: { ...round, ...found.polar.radialaxis }, angularaxis: { ...round, ...found.polar.angularaxis },
      };
    }
    return found;
  }

  // Plotly chooses a heatmap's ink as if its half-transparent colours were opaque.
  const inked = (traces, ink) => traces.map(t => (t.texttemplate ? { textfont: { color: ink }, ...t } : t));

  // Where names of rows would take too much of the width, they stand above their rows instead of beside them.
  function fitted(layout, width) {
    const names = (layout.yaxis && layout.yaxis.ticktext) || [];
    const longest = Math.max(0, ...names.map(name => name.length));
    if (!names.length || 7 * longest < 0.4 * width) return layout;
    const room = Math.floor((width - 24) / 7), cut = text => (text.length > room ? `${text.slice(0, room - 1)}…` : text);
    const above = names.map((text, y) => (
      { text: cut(text), y: (layout.yaxis.tickvals || [])[y] ?? y, x: 0, xref: "paper", xanchor: "left", yshift: 20, showarrow: false }));
    const yaxis = { ...layout.yaxis, showticklabels: false, range: [names.length - 0.6, -0.9] };
    return {
      ...layout, height: layout.height + 22 * names.length, margin: { ...layout.margin, l: 8 }, bargap: 0.55,
      annotations: [...(layout.annotations || []), ...above], yaxis,
    };
  }

  // Plotly finds out what names take by drawing the picture, and then draws it a second time. Those of rows are measured
  // here instead; below, names stand aslant where there is little room, and only Plotly knows how they come to stand.
  const ruler = document.createElement("canvas").getContext("2d"), NARROW = 480;
  function roomy(layout, width) {
    const { xaxis, yaxis, margin } = layout, names = (yaxis && yaxis.showticklabels !== false && yaxis.ticktext) || [];
    if (xaxis && width < NARROW) return { ...layout, xaxis: { ...xaxis, automargin: true } };
    if (!names.length || !yaxis.automargin) return layout;
    ruler.font = `${SIZE}px ${FONT}`;
    const titled = axis => !!(axis.title && axis.title.text);
    const l = Math.ceil(Math.max(...names.map(name => ruler.measureText(name).width))) + (titled(yaxis) ? 40 : 14);
    return {
      ...layout, margin: { ...margin, l, b: Math.max(margin.b, titled(xaxis) ? 52 : 28) },
      xaxis: { ...xaxis, automargin: false }, yaxis: { ...yaxis, automargin: false },
    };
  }

  function figureOf(drawn, theme, width) {
    const layout = { ...coloured(roomy(fitted(drawn.layout, width), width), theme), width };
    const traces = inked(drawn.data, PAPER[theme][0]);
    return { data: theme === "dark" ? repaint(traces) : traces, layout };
  }

  const CONFIG = { displaylogo: false, displayModeBar: false, responsive: false };
  // Plotly's code is fetched beside all other, and may come last or not at all.
  const whenPlotly = new Promise((resolve, reject) => {
    document.addEventListener("load", event => event.target.id === "plotly" && resolve(), true);
    document.addEventListener("error", event => event.target.id === "plotly" && reject(), true);
  });
  whenPlotly.catch(() => {});  // said where a picture is missing

  // By the browser alone: of Dash, each picture would be a change of the whole page.
  function paint(frame, figure) {
    let plot = frame.querySelector(".plot");
    if (!plot) {
      plot = document.createElement("div");
      plot.className = "plot";
      frame.append(plot);
    }
    plot.style.height = `${figure.layout.height}px`;
    window.Plotly.react(plot, figure.data, figure.layout, CONFIG);
  }

  const partOf = (name, part) => document.getElementById(JSON.stringify({ name, part }));

  // Made when they are looked at, and by the browser alone: of Dash, every cell would look up at every change of the page.
  function showNumbers(name) {
    const details = partOf(name, "details"), drawn = told[name];
    if (!details || !details.open || !drawn) return;
    const row = (cells, named) => {
      const found = document.createElement("tr");
      cells.forEach((text, i) => {
        const cell = document.createElement(named(i) ? "th" : "td");
        cell.textContent = text;
        if (named(i)) cell.scope = named(i);
        if (i) cell.className = "n";
        found.append(cell);
      });
      return found;
    };
    const table = document.createElement("table");
    table.createTHead().append(row(drawn.heading, () => "col"));
    table.createTBody().append(...drawn.rows.map(cells => row(cells, i => (i ? "" : "row"))));
    partOf(name, "numbers").replaceChildren(table);
  }
  document.addEventListener("toggle", event => {
    if (event.target.id && event.target.id.startsWith("{")) showNumbers(JSON.parse(event.target.id).name);
  }, true);

  // What stands around a picture, written by the browser alone: of Dash, each word would be a change of the whole page.
  function say(name, { title, says, wrong: isWrong }, why) {
    const part = which => partOf(name, which), wrong = part("wrong"), frame = part("frame");
    if (!why) part("title").textContent = title;
    part("says").textContent = why ? "" : says;
    wrong.textContent = why || "";
    wrong.hidden = !why;
    wrong.className = isWrong ? "notice wrong" : "notice";
    frame.hidden = part("details").hidden = !!why;
    frame.setAttribute("aria-label", why ? part("title").textContent : `${title}. ${says}`);
  }

  // React may put a place into the page some moments after its data came; or never, when somebody has left the page.
  const LOOK_MS = 20, MOST_LOOKS = 250;
  function onceThere(name, then, looks = MOST_LOOKS) {
    const frame = partOf(name, "frame");
    if (frame) then(frame);
    else if (looks) setTimeout(() => onceThere(name, then, looks - 1), LOOK_MS);
  }

  function drawnIn(frame, name, drawn, theme) {
    const why = drawn.wrong || drawn.nothing;
    window.gauntletScreen.forget(frame);
    say(name, drawn, why);
    if (why) return;
    told[name] = drawn;
    showNumbers(name);
    const figure = () => figureOf(drawn, theme || window.gauntletTheme.effective(), frame.clientWidth || 640);
    const isLater = !frame.firstElementChild && !window.gauntletScreen.isSeen(frame);
    const paintNow = () => frame.isConnected && paint(frame, figure());
    frame.style.minHeight = `${figure().layout.height}px`;
    widths.observe(frame);
    whenPlotly.then(
      () => (isLater ? window.gauntletScreen.later(frame, paintNow) : paintNow()),
      () => say(name, { ...drawn, wrong: true }, "The code that draws pictures could not be loaded. Load the page again."),
    );
  }

  const label = () => {
    const button = document.getElementById("theme-button"), chosen = window.gauntletTheme.chosen();
    if (button) button.textContent = `Theme: ${chosen || "system"}`;
  };

  function arrived(_content, path) {
    const page = path && path !== "/" ? path : null;
    const links = [...document.querySelectorAll("header.top nav a")];
    let name = "";
    links.forEach((link, i) => {
      const here = page ? link.getAttribute("href") === page : i === 0;
      if (here) {
        link.setAttribute("aria-current", "page");
        link.scrollIntoView({ block: "nearest", inline: "nearest" });  // a small phone has no room for all
        name = link.textContent;
      }
      else link.removeAttribute("aria-current");
    });
    document.title = name ? `${name} · Gauntlet` : "Gauntlet";
    if (arrived.before !== undefined && arrived.before !== path) {
      const title = document.getElementById("page-title");
      if (title) title.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    }
    arrived.before = path;
    return name;
  }

  // Dash's own controls lack what those need who do not see them: names of sliders, and one stop for a dropdown, not two.
  const named = () => {
    for (const slider of document.querySelectorAll("[role=slider]:not([aria-labelledby])")) {
      const group = slider.closest("[aria-labelledby]");
      if (group) slider.setAttribute("aria-labelledby", group.getAttribute("aria-labelledby"));
    }
    for (const twice of document.querySelectorAll("[aria-hidden=true][tabindex='0']")) {
      const control = twice.nextElementSibling;
      if (control?.matches("button[tabindex='-1']:not([disabled])")) control.tabIndex = 0;  // reached through it, by Dash
      twice.tabIndex = -1;
    }
  };
  let isNaming = false;
  const nameSoon = () => {
    if (isNaming) return;
    isNaming = true;  // once for all that changes until the screen is painted again
    requestAnimationFrame(() => { isNaming = false; named(); });
  };
  new MutationObserver(nameSoon).observe(document.body, { childList: true, subtree: true });
  document.addEventListener("focusout", nameSoon);  // a dropdown that is left has its second stop again

  // Announced to those who hear the page, and seen for a moment by the others.
  function shown(text) {
    const place = document.getElementById("announced");
    place.classList.add("shown");
    clearTimeout(shown.timer);
    shown.timer = setTimeout(() => place.classList.remove("shown"), 2500);
    return text;
  }

  // A cell as text. What others named (a customer, a run) may begin as a formula does, which a spreadsheet would compute.
  const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;
  function textOf({ value, formatValue }) {
    const text = String(formatValue(value) ?? "");
    return FORMULA.test(text) && !Number.isFinite(Number(text)) ? `'${text}` : text;
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.gauntlet = {
    arrive: arrived,
    theme(clicks) {
      const { chosen, choose, effective } = window.gauntletTheme;
      if (clicks) choose({ null: "light", light: "dark", dark: null }[chosen()]);
      label();
      return effective();
    },
    draw(drawn, theme) {
      const { name } = window.dash_clientside.callback_context.outputs_list.id;
      if (drawn) onceThere(name, frame => drawnIn(frame, name, drawn, theme));
      return window.dash_clientside.no_update;
    },
    whenDrawn(first) {
      if (!first) return window.dash_clientside.no_update;
      const names = window.dash_clientside.callback_context.states_list.map(({ id }) => id.name);
      return window.gauntletScreen.drawn(names.map(name => partOf(name, "frame"))).then(() => first);
    },
    copy(clicks, subject, text) {
      if (!clicks) return window.dash_clientside.no_update;
      return navigator.clipboard.writeText(`${subject}\n\n${text}`)
        .then(() => shown("Copied."), () => shown("The browser did not let this be copied: select the text instead."));
    },
    save() {
      const pressed = window.dash_clientside.callback_context.triggered_id;
      const value = (window.dash_clientside.callback_context.triggered[0] || {}).value;
      if (!pressed || !value) return window.dash_clientside.no_update;
      const api = window.dash_ag_grid.getApi(pressed.name);
      api.exportDataAsCsv({ ...api.getGridOption("defaultCsvExportParams"), processCellCallback: textOf });
      return shown("Saved.");
    },
  };

  const themed = () => {
    window.gauntletTheme.apply();
    window.dash_clientside.set_props("theme", { data: window.gauntletTheme.effective() });
  };
  window.gauntletTheme.system.addEventListener("change", themed);

  // A grid shows what its place has room for, and would be cut off: on paper stands a plain table of the same.
  const ROWS = 50, COLUMNS = 12;
  const element = (name, text, isNumber) => {
    const found = document.createElement(name);
    found.textContent = String(text ?? "").replace(/[_/]/g, "$&\u200b");  // where a long name may be broken
    found.classList.toggle("n", !!isNumber);
    found.classList.toggle("unbroken", /[^\s_/-]{17}/.test(found.textContent));
    return found;
  };
  function paperOf(grid) {
    const api = window.dash_ag_grid.getApi(grid.id);
    const displayed = api.getAllDisplayedColumns().filter(column => column.getColDef().field);
    const columns = displayed.slice(0, COLUMNS);
    const isNumber = column => [column.getColDef().type].flat().includes("rightAligned");
    const paper = element("div"), table = element("table"), nodes = [];
    api.forEachNodeAfterFilterAndSort(node => nodes.push(node));
    const head = table.createTHead().insertRow(), body = table.createTBody();
    head.append(...columns.map(column => element("th", api.getDisplayNameForColumn(column, "header"), isNumber(column))));
    for (const rowNode of nodes.slice(0, ROWS)) {
      const value = colKey => api.getCellValue({ rowNode, colKey, useFormatter: true });
      body.insertRow().append(...columns.map(column => element("td", value(column), isNumber(column))));
    }
    const rest = [[ROWS, nodes, "rows"], [COLUMNS, displayed, "columns"]].filter(([most, all]) => all.length > most)
      .map(([most, all, what]) => `the first ${most} of ${all.length} ${what}`).join(", ");
    paper.className = "paper";
    paper.append(table, element("p", nodes.length ? rest && `Here are ${rest}; the CSV has all.` : "None."));
    grid.after(paper);
  }
  const unprint = () => document.querySelectorAll(".paper").forEach(paper => paper.remove());
  window.addEventListener("beforeprint", () => {
    unprint();
    document.querySelectorAll(".grid:has(.ag-root)").forEach(paperOf);
  });
  window.addEventListener("afterprint", unprint);

  // All pictures that are there, anew: in a theme, or those alone whose width is another one now.
  function redraw(theme, widthOf) {
    for (const plot of document.querySelectorAll(".card .plot")) {
      const frame = plot.parentElement, drawn = told[JSON.parse(frame.id).name], width = drawn && widthOf(frame);
      if (!width || (!theme && width === plot.layout.width)) continue;
      paint(frame, figureOf(drawn, theme || window.gauntletTheme.effective(), width));
    }
  }
  const roomOf = frame => frame.clientWidth;
  let isOnPaper = false, resized;
  const widths = new ResizeObserver(changed => {
    for (const { target } of changed.filter(({ target }) => !target.isConnected)) {
      widths.unobserve(target);
      target.querySelectorAll(".plot").forEach(plot => window.Plotly.purge(plot));
    }
    clearTimeout(resized);
    resized = setTimeout(() => isOnPaper || redraw(null, roomOf), 100);  // not at every step of a window that is pulled wider
  });

  // Paper is light, and as wide as it is.
  window.addEventListener("beforeprint", () => {
    isOnPaper = true;
    redraw("light", place => (place.closest(".half") ? 299 : 650));
  });
  window.addEventListener("afterprint", () => {
    isOnPaper = false;
    redraw(window.gauntletTheme.effective(), roomOf);
  });
})();

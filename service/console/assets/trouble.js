// What a page asks and does not get is said on it: Dash itself would leave everything as it was and say nothing.
(() => {
  const ask = window.fetch.bind(window), wrong = new Map();
  let heard = new Date();

  const time = () => heard.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const wordsOf = status => {
    if (status === 401) return "You are logged out, or your time is over. Nothing that you typed is lost as long as this page stays open.";
    if (status === 413) return "That is more than the console takes at once: 4 MB.";
    if (status === 403) return "The console refuses this request, as it does not seem to come from a page of its own. Load the page again.";
    if (status) return `The console failed at a part of this page (status ${status}); its log says why. The rest is as it should be.`;
    return `The console does not answer. What stands here is of ${time()}; a live page asks again by itself.`;
  };

  function show() {
    const place = document.getElementById("trouble");
    if (!place) return;
    const [status] = wrong.values();
    place.hidden = status === undefined;
    if (place.hidden || place.dataset.said === wordsOf(status)) return;
    place.dataset.said = wordsOf(status);
    place.replaceChildren(place.dataset.said);
    if (status !== 401) return;
    const login = document.createElement("a");
    login.href = `/login?next=${encodeURIComponent(window.location.pathname)}`;
    login.target = "_blank";  // so that a letter that was begun is still here afterwards
    login.textContent = "Log in in another tab";
    place.append(" ", login, ", then go on here.");
  }

  function hear(output, status) {
    if (status >= 400 || !status) wrong.set(output, status);
    else {
      heard = new Date();
      wrong.delete(output);
      const isArrival = output.includes("content.children");
      for (const [other, its] of wrong) if (isArrival || !its || its === 401) wrong.delete(other);
    }
    show();
  }

  window.fetch = async (address, options) => {
    if (!String(address).includes("/_dash-update-component")) return ask(address, options);
    const { output } = JSON.parse(options.body);
    try {
      const answer = await ask(address, options);
      hear(output, answer.status);
      return answer;
    } catch (error) {
      hear(output, 0);
      throw error;
    }
  };
})();

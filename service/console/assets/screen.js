// What is on the screen is drawn first; the rest follows when nothing on the screen is missing any more, nearest first.
(() => {
  const LOOK_MS = 40, LONGEST_MS = 3000;
  const waiting = new Map();
  const whenIdle = window.requestIdleCallback || (run => setTimeout(run, LOOK_MS));  // Safari has none
  let began = 0, isPlanned = false;

  const isSeen = element => {
    const { top, bottom } = element.getBoundingClientRect();
    return top < window.innerHeight && bottom > 0;
  };
  const isMissing = frame => !frame.hidden && !frame.firstElementChild && !waiting.has(frame) && isSeen(frame);

  function plan() {
    if (isPlanned || !waiting.size) return;
    isPlanned = true;
    began = began || performance.now();
    const isBusy = [...document.querySelectorAll(".picture")].some(isMissing) && performance.now() - began < LONGEST_MS;
    if (isBusy) setTimeout(() => { isPlanned = false; plan(); }, LOOK_MS);
    else whenIdle(drawOne, { timeout: LONGEST_MS });
  }

  function drawOne() {
    isPlanned = false;
    const distance = frame => Math.abs(frame.getBoundingClientRect().top);
    for (const frame of waiting.keys()) if (!frame.isConnected) waiting.delete(frame);
    const [next] = [...waiting.keys()].sort((a, b) => distance(a) - distance(b));
    if (next) {
      const draw = waiting.get(next);
      waiting.delete(next);
      draw();
    }
    if (!waiting.size) began = 0;
    plan();
  }

  // Resolves when none of these that is to be seen lacks its picture, or has for too long.
  function drawn(frames) {
    const until = performance.now() + LONGEST_MS;
    const isBare = frame => frame.isConnected && !frame.hidden && isSeen(frame) && !frame.querySelector(".main-svg");
    return new Promise(resolve => {
      const look = () => {
        if (frames.some(isBare) && performance.now() < until) setTimeout(look, LOOK_MS);
        else resolve();
      };
      look();
    });
  }

  window.gauntletScreen = {
    isSeen,
    drawn,
    // Takes the place of what was to be drawn there before.
    later(frame, draw) {
      waiting.set(frame, draw);
      plan();
    },
    forget(frame) { waiting.delete(frame); },
  };
})();

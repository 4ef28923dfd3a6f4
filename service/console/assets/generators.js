// What two of Dash's scripts need of regenerator's runtime: one function each that waits once and then goes on.
window.regeneratorRuntime = {
  mark: made => made,
  wrap(step) {
    const state = { prev: 0, next: 0, done: false, stop() { this.done = true; } };
    return {
      next() {
        const value = state.done ? undefined : step(state);
        return { value, done: state.done };
      },
      throw(error) {
        state.done = true;
        throw error;
      },
    };
  },
};

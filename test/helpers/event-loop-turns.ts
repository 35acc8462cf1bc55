/**
 * Runs work for which every look at the clock finds its turn of the event loop over, and tells it which turn runs. Resolves to the number of
 * turns that the work took: what does not look holds the loop, however fast the machine is.
 */
export async function inShortestTurns(work: (turn: () => number) => Promise<unknown>): Promise<number> {
  let time = 0
  performance.now = () => {
    time += 1000
    return time
  }
  let turn = 0
  let running = true
  const count = (): void => {
    turn++
    if (running) setImmediate(count)
  }
  setImmediate(count)
  try {
    await work(() => turn)
    return turn
  } finally {
    running = false
    // The prototype's own again.
    Reflect.deleteProperty(performance, 'now')
  }
}

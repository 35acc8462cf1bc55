/** Which penalty leaves a wished share of the weights: our meaning of `pruning.finalDensity` for methods that are told no share. */

export interface PenaltyTrial {
  penalty: number
  /** Share of the weights that was left. */
  density: number
}

export interface PenaltySearch {
  finalDensity: number
  /** The first penalty that is tried. */
  start: number
  /** At most so many trials. */
  runs: number
  /** A density so near to the wished one ends the search. */
  tolerance: number
  /** Density at the end of a short run with this penalty. */
  densityOf: (penalty: number) => Promise<number>
  onTrial?: (trial: PenaltyTrial) => void
}

/**
 * The trial that came nearest, the larger penalty leaving less: in steps of a factor of 4 until the wished density lies between two
 * trials, then by halving the logarithm between them.
 */
export async function searchPenalty(search: PenaltySearch): Promise<PenaltyTrial & { runs: number }> {
  const { finalDensity, tolerance } = search
  let [low, high] = [0, Number.POSITIVE_INFINITY]
  let penalty = search.start
  let nearest: PenaltyTrial | undefined
  const distance = ({ density }: PenaltyTrial) => Math.abs(density - finalDensity)
  let runs = 0
  while (runs < search.runs) {
    const trial = { penalty, density: await search.densityOf(penalty) }
    runs++
    search.onTrial?.(trial)
    if (!nearest || distance(trial) < distance(nearest)) nearest = trial
    if (distance(trial) <= tolerance) break
    if (trial.density > finalDensity) low = penalty
    else high = penalty
    if (low === 0) penalty /= 4
    else penalty = high === Number.POSITIVE_INFINITY ? penalty * 4 : Math.sqrt(low * high)
  }
  return { ...nearest!, runs }
}

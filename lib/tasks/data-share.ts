/** Random shares of a data set: part of the training examples, a held-out part. */
import { stream } from '../data/random.js'
import { StrataError } from '../errors.js'

/**
 * Numbers of the examples of a random share, ascending: the whole ones of count · fraction, at least one. With `classes` (the
 * class of each example, shape (count)) every class that occurs keeps at least one example, which may make the share larger. Shares
 * of one seed are nested: the 1 % are among the 10 % (the domain adaptation of MT-DNN, arXiv 1901.11504, draws 0.1, 1, 10 and 100 %).
 * Throws BAD_ARGUMENT on a fraction outside (0, 1].
 */
export function drawShare(count: number, fraction: number, drawSeed: number, classes?: ArrayLike<number>): Uint32Array {
  if (!(fraction > 0 && fraction <= 1)) {
    throw new StrataError('BAD_ARGUMENT', `fraction is ${fraction}; a share above 0 and at most 1 was expected`)
  }
  const order = drawOrder(count, drawSeed, 'share')
  const size = Math.min(count, Math.max(1, wholeExamples(count, fraction)))
  const drawn = [...order.subarray(0, size)]
  if (classes) {
    const seen = new Set(drawn.map((example) => classes[example]))
    for (const example of order.subarray(size)) {
      if (seen.has(classes[example])) continue
      seen.add(classes[example])
      drawn.push(example)
    }
  }
  return Uint32Array.from(drawn).sort()
}

/** What a task trains on: everything, or the random share that `fraction` asks for; `notes` then tells it. `unit`: `sentences`. */
export function trainingShare<T>(
  all: T[],
  { fraction = 1, seed, drawSeed = seed }: { fraction?: number; seed: number; drawSeed?: number },
  unit: string,
  notes: string[],
): T[] {
  if (fraction === 1) return all
  const drawn = drawShare(all.length, fraction, drawSeed)
  notes.push(`train: ${drawn.length} of ${all.length} ${unit} (fraction ${fraction}, drawn by seed ${drawSeed})`)
  return pick(all, drawn)
}

/** The items of these numbers, in their order. */
export function pick<T>(all: readonly T[], chosen: Uint32Array): T[] {
  return Array.from(chosen, (index) => all[index])
}

/**
 * Parts the examples into training and held-out ones by seed, both ascending. Classes are not balanced between them.
 * `devShare` below 1 is a share, from 1 on a number of examples. Throws BAD_ARGUMENT on one that is neither, BAD_DATA when no
 * example would be left for training.
 *
 * @param what is parted, for messages: `task mood (mood.csv): examples`
 */
export function splitBySeed(
  count: number,
  devShare: number,
  seed: number,
  what = 'examples',
): { train: Uint32Array; dev: Uint32Array } {
  if (!(devShare > 0 && (devShare < 1 || Number.isInteger(devShare)))) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `${what}: devShare is ${devShare}; a share between 0 and 1, or a number from 1 on was expected`,
    )
  }
  const held = devShare < 1 ? Math.max(1, wholeExamples(count, devShare)) : devShare
  if (held >= count) {
    throw new StrataError(
      'BAD_DATA',
      `${what}: there are ${count}, of which ${held} would be held out; that leaves none for training, give more or a smaller devShare`,
    )
  }
  const order = drawOrder(count, seed, 'split')
  return { train: order.slice(held).sort(), dev: order.slice(0, held).sort() }
}

/** 100 · 0.29 is a crumb below 29. */
function wholeExamples(count: number, share: number): number {
  return Math.floor(count * share + 1e-9)
}

function drawOrder(count: number, seed: number, purpose: string): Uint32Array {
  return stream(seed, 'task-data', purpose).shuffle(Uint32Array.from({ length: count }, (_, example) => example))
}

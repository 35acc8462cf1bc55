/**
 * Figures of a classification over a whole set, equal to scikit-learn's, also where they degenerate. Averages over batches of
 * such figures would be other numbers: predictions are collected first.
 */
import { StrataError } from '../errors.js'
import { f1Score } from './metrics.js'

/**
 * Share of right predictions; NaN for an empty set (scikit-learn refuses one).
 * Throws BAD_ARGUMENT when the lengths differ.
 */
export function accuracy(labels: ArrayLike<number>, predictions: ArrayLike<number>): number {
  checkLengths(labels, predictions)
  let hits = 0
  for (let i = 0; i < labels.length; i++) if (labels[i] === predictions[i]) hits++
  return hits / labels.length
}

/**
 * Counts of (label, prediction), shape (classes, classes) row-major: `confusion[label * classes + prediction]`.
 * Throws BAD_ARGUMENT on different lengths or a number that is no class.
 */
export function confusionMatrix(
  labels: ArrayLike<number>,
  predictions: ArrayLike<number>,
  classes: number,
): Float64Array {
  checkLengths(labels, predictions)
  const confusion = new Float64Array(classes * classes)
  for (let i = 0; i < labels.length; i++) {
    for (const [what, value] of [
      ['label', labels[i]],
      ['prediction', predictions[i]],
    ] as const) {
      if (!Number.isInteger(value) || value < 0 || value >= classes) {
        throw new StrataError('BAD_ARGUMENT', `${what} ${i} is ${value}; a class from 0 to ${classes - 1} was expected`)
      }
    }
    confusion[labels[i] * classes + predictions[i]]++
  }
  return confusion
}

/**
 * Mean of the classes' F1 over the classes that occur as label or as prediction (`average='macro'`); NaN for an empty set.
 * A class that a set never shows takes no part.
 */
export function macroF1(confusion: ArrayLike<number>, classes: number): number {
  let sum = 0
  let present = 0
  for (let c = 0; c < classes; c++) {
    let seen = 0
    for (let other = 0; other < classes; other++)
      seen += confusion[c * classes + other] + confusion[other * classes + c]
    if (seen === 0) continue
    sum += f1Score(confusion, classes, c)
    present++
  }
  return sum / present
}

/**
 * Matthews correlation for any number of classes (J. Gorodkin, 2004). 0 when all labels or all predictions are of one class, as in
 * scikit-learn; NaN for an empty set.
 */
export function matthews(confusion: ArrayLike<number>, classes: number): number {
  let hits = 0
  let count = 0
  const labelled = new Float64Array(classes)
  const predicted = new Float64Array(classes)
  for (let label = 0; label < classes; label++) {
    hits += confusion[label * classes + label]
    for (let prediction = 0; prediction < classes; prediction++) {
      const value = confusion[label * classes + prediction]
      labelled[label] += value
      predicted[prediction] += value
      count += value
    }
  }
  if (count === 0) return Number.NaN
  let both = 0
  let labels = 0
  let predictions = 0
  for (let c = 0; c < classes; c++) {
    both += labelled[c] * predicted[c]
    labels += labelled[c] ** 2
    predictions += predicted[c] ** 2
  }
  const labelSpread = count ** 2 - labels
  const predictionSpread = count ** 2 - predictions
  if (labelSpread === 0 || predictionSpread === 0) return 0
  return (hits * count - both) / Math.sqrt(labelSpread) / Math.sqrt(predictionSpread)
}

/** @internal */
export function checkLengths(labels: ArrayLike<number>, predictions: ArrayLike<number>): void {
  if (labels.length !== predictions.length) {
    throw new StrataError(
      'BAD_ARGUMENT',
      `${labels.length} labels and ${predictions.length} predictions were given; one prediction a label was expected`,
    )
  }
}

/** How tables and the progress line show a metric. */

/** Metrics that are no shares and no correlations, with their unit: what they are in stands in the number itself. */
const UNITS: Readonly<Record<string, string>> = {
  // The difference between the scores of "no answer" and of the best span that the best F1 of SQuAD 2.0 is reached at.
  bestF1Threshold: 'logits',
}

/** A share or correlation × 100; any other number as it is, with its unit. Two digits after the point. */
export function shownMetric(name: string, value: number): string {
  const unit = Object.hasOwn(UNITS, name) ? UNITS[name] : undefined
  return unit === undefined ? (100 * value).toFixed(2) : `${value.toFixed(2)} ${unit}`
}

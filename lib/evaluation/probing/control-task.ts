/**
 * Control tasks (Hewitt & Liang 2019, "Designing and interpreting probes with control tasks"): every word type gets one random class,
 * drawn with the frequencies of the real classes in training. A probe that is good at it learns words by heart; what a probe is better at
 * the real task is its selectivity.
 */
import { stream } from '../../data/random.js'

/** Random labels for words: the same word, the same label. */
export function controlLabels(
  words: readonly string[],
  trainLabels: Int32Array,
  name: { seed: number; task: string },
): Int32Array {
  const known = new Map<string, number>()
  return Int32Array.from(words, (word) => {
    let label = known.get(word)
    if (label === undefined) {
      label = trainLabels[stream(name.seed, 'control task', name.task, word).below(trainLabels.length)]
      known.set(word, label)
    }
    return label
  })
}

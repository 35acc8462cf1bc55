/** Labelled data that a small encoder learns in a few dozen steps, written as files. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stream } from '../../lib/data/index.js'

const WORDS = 'the a river mountain house people time year city water music school night light stone forest'.split(' ')

export interface SmallTasks {
  /** CSV with the columns text and mood; one word tells the class. */
  mood: string
  /** A folder in RTE's layout: entailed when both sentences name the same place. */
  rte: string
  /** JSON lines with sentence1, sentence2 and score 0 … 5: how many words the sentences share. */
  likeness: string
}

export function writeSmallTasks(folder: string, examples = 160): SmallTasks {
  const random = stream(11, 'small-tasks')
  const word = () => WORDS[random.below(WORDS.length)]
  const sentence = (length: number) => Array.from({ length }, word)

  const mood = join(folder, 'mood.csv')
  const rows = Array.from({ length: examples }, (_, index) => {
    const happy = index % 2 === 0
    const words = sentence(4 + random.below(5))
    words.splice(random.below(words.length), 0, happy ? 'music' : 'stone')
    const text = words.filter((one, at) => (happy ? one !== 'stone' : one !== 'music') || at < 0).join(' ')
    return `"${text}",${happy ? 'happy' : 'sad'}`
  })
  writeFileSync(mood, `text,mood\n${rows.join('\n')}\n`)

  const rte = join(folder, 'RTE')
  mkdirSync(rte, { recursive: true })
  for (const [split, count] of [
    ['train', examples],
    ['dev', examples / 4],
  ] as const) {
    const lines = Array.from({ length: count }, (_, index) => {
      const same = index % 2 === 0
      const place = same ? 'river' : 'forest'
      const label = same ? 'entailment' : 'not_entailment'
      return `${index}\tthe ${word()} is by the river\ta ${word()} of the ${place}\t${label}`
    })
    writeFileSync(join(rte, `${split}.tsv`), `index\tsentence1\tsentence2\tlabel\n${lines.join('\n')}\n`)
  }

  const likeness = join(folder, 'likeness.jsonl')
  const pairs = Array.from({ length: examples }, (_, index) => {
    const shared = index % 6
    const common = sentence(shared)
    const [sentence1, sentence2] = [0, 1].map(() => [...common, ...sentence(6 - shared)].join(' '))
    return JSON.stringify({ sentence1, sentence2, score: shared })
  })
  writeFileSync(likeness, `${pairs.join('\n')}\n`)
  return { mood, rte, likeness }
}

/** Definitions of the tasks that are not known by name. */
export const SMALL_DEFINITIONS = {
  mood: { definition: { text: 'text', label: 'mood' } },
  likeness: {
    definition: { kind: 'regression', text: ['sentence1', 'sentence2'], label: 'score', range: [0, 5] },
  },
}

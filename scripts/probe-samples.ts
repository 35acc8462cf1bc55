/**
 * Writes the sizes and the sample of examples into docs/probing.md, between its marks.
 *
 *     npx tsx scripts/probe-samples.ts CLEARNLP_PROBES UD_PROBES
 *
 * Both are folders of `stratabert probes build`: the first from English Wikipedia as parsed by spaCy (ClearNLP labels), the second from UD
 * English EWT. Of each task the first ten training examples of either are shown; their order is random.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BUILDABLE_PROBES, PROBE_SPLITS, type ProbeSet, probeSize, readProbeSets } from '../lib/tasks/index.js'
import { normalisedText, spell } from '../lib/tasks/probing/sentence.js'

const PAGE = join(__dirname, '../docs/probing.md')
const EACH = 10
const [BEGIN, END] = [
  '<!-- made by scripts/probe-samples.ts: begin -->',
  '<!-- made by scripts/probe-samples.ts: end -->',
]

const escaped = (text: string): string => text.replace(/[\\`*_|<>[\]#]/g, '\\$&')
const number = (count: number): string => count.toLocaleString('en-US')

function sizesTable(wiki: readonly ProbeSet[], ewt: readonly ProbeSet[]): string[] {
  const cells = (set: ProbeSet | undefined): string => {
    if (!set) return '– | –'
    return `${set.classes.length} | ${PROBE_SPLITS.map((split) => number(probeSize(set, split))).join(' / ')}`
  }
  const notes = (sets: readonly ProbeSet[], title: string): string[] => [
    '',
    `Notes of ${title}:`,
    '',
    ...sets.flatMap(({ name, notes }) => notes.map((note) => `- ${name}: ${escaped(note)}`)),
  ]
  return [
    '| task | classes, Wikipedia | train / dev / test | classes, EWT | train / dev / test |',
    '|---|---|---|---|---|',
    ...BUILDABLE_PROBES.map(({ name }) => {
      const [left, right] = [wiki, ewt].map((sets) => sets.find((set) => set.name === name))
      return `| ${name} | ${cells(left)} | ${cells(right)} |`
    }),
    '',
    `Counted in the files: Wikipedia, ${checked(wiki)}. EWT, ${checked(ewt)}.`,
    ...notes(wiki, 'the build from Wikipedia'),
    ...notes(ewt, 'the build from EWT'),
  ]
}

/** Over all tasks: how far classes of a split differ at most, and how many sentences stand in two splits of a task. */
function checked(sets: readonly ProbeSet[]): string {
  let [difference, shared] = [0, 0]
  for (const set of sets) {
    const seen = new Map<string, string>()
    for (const split of PROBE_SPLITS) {
      const counts = set.classes.map(() => 0)
      for (const example of set.splits[split]) {
        const asked = 'text' in example ? [example] : 'targets' in example ? example.targets : example.pairs
        for (const { label } of asked) counts[label]++
        const text = normalisedText('text' in example ? example.text : spell(example.words, example.spaceAfter))
        if ((seen.get(text) ?? split) !== split) shared++
        seen.set(text, split)
      }
      difference = Math.max(difference, 1 - Math.min(...counts) / Math.max(...counts))
    }
  }
  return `the classes of a split differ by at most ${(100 * difference).toFixed(2)} %; sentences in two splits of a task: ${shared}`
}

/** Class and sentence of the first examples; the words that are asked about are bold. */
function rows(set: ProbeSet | undefined): [label: string, text: string][] {
  if (!set) return []
  if (set.kind === 'sentence') {
    return set.splits.train.slice(0, EACH).map(({ text, label }) => [set.classes[label], escaped(text)])
  }
  const marked = (words: string[], spaceAfter: boolean[], bold: number[]): string =>
    spell(
      words.map((word, place) => (bold.includes(place) ? `**${escaped(word)}**` : escaped(word))),
      spaceAfter,
    )
  if (set.kind === 'token') {
    return set.splits.train.slice(0, EACH).map(({ words, spaceAfter, targets: [{ word, label }] }) => {
      return [set.classes[label], marked(words, spaceAfter, [word])]
    })
  }
  return set.splits.train.slice(0, EACH).map(({ words, spaceAfter, pairs: [{ first, second, label }] }) => {
    const pair = `${escaped(words[first])} → ${escaped(words[second])}`
    return [`${set.classes[label]}: ${pair}`, marked(words, spaceAfter, [first, second])]
  })
}

async function main(): Promise<void> {
  const [wiki, ewt] = await Promise.all(process.argv.slice(2, 4).map((folder) => readProbeSets(folder)))
  const samples = BUILDABLE_PROBES.flatMap(({ name }) => {
    const found = [wiki, ewt].flatMap((sets) => rows(sets.find((set) => set.name === name)))
    const lines = found.map(([label, text]) => `| ${label.replaceAll('_', '\\_')} | ${text} |`)
    return ['', `### ${name}`, '', '| class | example |', '|---|---|', ...lines]
  })
  const section = ['## Sizes', '', ...sizesTable(wiki, ewt), '', '## Samples', '', ...attribution(), ...samples]
  const page = readFileSync(PAGE, 'utf8')
  const [from, to] = [page.indexOf(BEGIN) + BEGIN.length, page.indexOf(END)]
  if (to < from) throw new Error(`${PAGE} lacks its marks`)
  writeFileSync(PAGE, `${page.slice(0, from)}\n${section.join('\n')}\n${page.slice(to)}`)
}

function attribution(): string[] {
  return [
    `The first ${EACH} training examples of each task from Wikipedia, then from EWT; training examples stand in random order. In BShift (I), SOMO (C) and CoordInv (I) the sentence was changed.`,
    '',
    'Sentences of English Wikipedia (dump of 2021, https://en.wikipedia.org; its authors are listed in the histories of the articles), CC BY-SA 3.0, and of UD English EWT',
    '(https://github.com/UniversalDependencies/UD_English-EWT; see examples/data/ATTRIBUTION.md), CC BY-SA 4.0. The samples stay under these licences.',
  ]
}

void main()

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import {
  BUILDABLE_PROBES,
  type BuildProbesOptions,
  buildProbeSets,
  openProbeSets,
  PROBE_SPLITS,
  type ProbeSet,
  probeSize,
  readProbeSets,
  readSentEval,
  SENTEVAL_FILES,
  writeProbeSets,
} from '../lib/tasks/index.js'
import { swappablePairs } from '../lib/tasks/probing/bigram-shift.js'
import { fillableClasses } from '../lib/tasks/probing/class-choice.js'
import { coordinatedClauses } from '../lib/tasks/probing/coordination.js'
import { Draws } from '../lib/tasks/probing/draws.js'
import { partForms } from '../lib/tasks/probing/form-splits.js'
import { mainVerbTense, objectNumber, subjectNumber } from '../lib/tasks/probing/main-clause.js'
import { Reservoir } from '../lib/tasks/probing/reservoir.js'
import { normalisedText, type ProbeSentence, sentenceOfTree } from '../lib/tasks/probing/sentence.js'
import { apportion } from '../lib/tasks/probing/sentence-pools.js'
import { headDistance } from '../lib/tasks/probing/token-probes.js'
import { type LabelScheme, parseConllu } from '../lib/text/index.js'
import { runHere } from './helpers/cli-here.js'
import { Fuzzing, mutate, mutations } from './helpers/fuzz.js'
import { refuses } from './helpers/refuses.js'
import { SHARED_DATA } from './helpers/shared-data.js'
import { asConllu, type MadeSentence, makeSentences } from './helpers/small-treebank.js'

const shared = (path: string): string | undefined => [join(SHARED_DATA, path)].find((file) => existsSync(file))
const EWT_DEV = shared('ud_ewt/en_ewt-ud-dev.conllu')
const WIKIPEDIA = shared('enwiki_parsed/enwiki_half.conllu.xz')
const SIZES = { train: 240, dev: 48, test: 48 }
type SentenceSet = Extract<ProbeSet, { kind: 'sentence' }>

/** Sentences of a probe, all splits, with their class names. */
const examplesOf = (set: ProbeSet) =>
  PROBE_SPLITS.flatMap((split) =>
    (set as SentenceSet).splits[split].map(({ text, label }) => ({ text, split, label: set.classes[label] })),
  )

const textsOf = (set: ProbeSet, split: (typeof PROBE_SPLITS)[number]): string[] =>
  set.kind === 'sentence'
    ? set.splits[split].map(({ text }) => normalisedText(text))
    : set.splits[split].map(({ words }) => normalisedText(words.join(' ')))

const labelsOf = (set: ProbeSet, split: (typeof PROBE_SPLITS)[number]): number[] => {
  if (set.kind === 'sentence') return set.splits[split].map(({ label }) => label)
  if (set.kind === 'token') return set.splits[split].flatMap(({ targets }) => targets.map(({ label }) => label))
  return set.splits[split].flatMap(({ pairs }) => pairs.map(({ label }) => label))
}

function checkSet(set: ProbeSet): void {
  const seen = new Map<string, string>()
  for (const split of PROBE_SPLITS) {
    const counts = new Array<number>(set.classes.length).fill(0)
    for (const label of labelsOf(set, split)) counts[label]++
    const [fewest, most] = [Math.min(...counts), Math.max(...counts)]
    assert.ok(fewest > 0 && most - fewest <= 0.01 * most, `${set.name} ${split}: ${counts}`)
    for (const text of textsOf(set, split)) {
      assert.ok(!seen.has(text) || (set.kind !== 'sentence' && seen.get(text) === split), `${set.name}: ${text}`)
      seen.set(text, split)
    }
  }
}

const parsed = (text: string): ProbeSentence => sentenceOfTree(parseConllu(text, { tolerant: true })[0])!

/** Rows of `form upos xpos head relation`, with a space after each but before punctuation. */
const tree = (...rows: string[]): ProbeSentence => {
  const cells = rows.map((row) => row.split(' '))
  const lines = cells.map(([form, upos, xpos, head, relation], i) => {
    const misc = cells[i + 1]?.[1] === 'PUNCT' || cells[i + 1]?.[0] === "n't" ? 'SpaceAfter=No' : '_'
    return [i + 1, form, '_', upos, xpos, '_', head, relation, '_', misc].join('\t')
  })
  return parsed(`${lines.join('\n')}\n\n`)
}

describe('probing tasks', function () {
  this.timeout(60_000)
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-probes-'))
  })
  after(() => rmSync(folder, { recursive: true }))

  const write = (name: string, content: string | Buffer): string => {
    const path = join(folder, name)
    writeFileSync(path, content)
    return path
  }
  const filesOf = (directory: string): Record<string, string> =>
    Object.fromEntries(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name), 'latin1')]))

  for (const scheme of ['ud', 'clearnlp'] as LabelScheme[]) {
    describe(`out of a treebank with ${scheme} labels`, () => {
      const made = makeSentences(1800, scheme)
      const known = new Map(made.map((sentence) => [normalisedText(sentence.text), sentence]))
      const source = ({ text }: { text: string }): MadeSentence => known.get(normalisedText(text))!
      let treebank: string
      let sets: Map<string, ProbeSet>
      const find = (name: string): ProbeSet => sets.get(name)!

      before(async () => {
        treebank = write(`${scheme}.conllu`, asConllu(made, scheme))
        const built = await buildProbeSets({ treebank: [treebank], ...SIZES })
        sets = new Map(built.map((set) => [set.name, set]))
      })

      it('all tasks: classes balanced within 1 %, no sentence in two splits', () => {
        assert.deepEqual(
          [...sets.keys()],
          BUILDABLE_PROBES.map(({ name }) => name),
        )
        for (const set of sets.values()) checkSet(set)
        for (const name of ['SentLen', 'BShift', 'SOMO', 'HeadDistance', 'Arc']) {
          const set = find(name)
          // Equal classes: at most one example a class less than asked.
          for (const split of PROBE_SPLITS) {
            const size = probeSize(set, split)
            assert.ok(size <= SIZES[split] && size > SIZES[split] - set.classes.length, `${name} ${split} ${size}`)
          }
        }
      })

      it('SentLen counts words', () => {
        for (const example of examplesOf(find('SentLen'))) {
          const [least, most] = example.label.split('-').map(Number)
          const { length } = source(example).words
          assert.ok(length >= least && length <= most, example.text)
        }
      })

      it('WC: one target a sentence, once', () => {
        const set = find('WC')
        const targets = new Set(set.classes)
        for (const example of examplesOf(set)) {
          const found = source(example).words.filter((word) => targets.has(word.toLowerCase()))
          assert.deepEqual(
            found.map((word) => word.toLowerCase()),
            [example.label],
          )
        }
        assert.match(set.notes[0], /^\d+ target words from rank \d+/)
      })

      it('BShift exchanges two neighbours inside, and leaves the others alone', () => {
        for (const { text, label } of examplesOf(find('BShift'))) {
          if (label === 'O') {
            assert.ok(known.has(normalisedText(text)), text)
            continue
          }
          const words = text.replace('.', ' .').replaceAll(',', ' ,').split(' ')
          const swaps = words.flatMap((_, i) => {
            const back = [...words]
            ;[back[i], back[i + 1]] = [back[i + 1], back[i]]
            const original = known.get(normalisedText(back.join(' ').replaceAll(' ,', ',').replace(' .', '.')))
            return original ? [i] : []
          })
          assert.ok(swaps.length > 0, text)
          assert.ok(
            swaps.some((i) => i > 0 && /^\p{L}+$/u.test(words[i]) && /^\p{L}+$/u.test(words[i + 1])),
            text,
          )
        }
      })

      it('Tense, SubjNum and ObjNum: right class, no word form in two splits', () => {
        const truth: [string, (sentence: MadeSentence) => [form: string, label: string]][] = [
          ['Tense', ({ verb, past }) => [verb, past ? 'PAST' : 'PRES']],
          ['SubjNum', ({ subject, subjectPlural }) => [subject, subjectPlural ? 'NNS' : 'NN']],
          ['ObjNum', ({ object, objectPlural }) => [object, objectPlural ? 'NNS' : 'NN']],
        ]
        for (const [name, answer] of truth) {
          const splitOf = new Map<string, string>()
          for (const example of examplesOf(find(name))) {
            const [form, label] = answer(source(example))
            assert.equal(example.label, label, example.text)
            assert.equal(splitOf.get(form) ?? example.split, example.split, `${name}: ${form}`)
            splitOf.set(form, example.split)
          }
          for (const split of PROBE_SPLITS) assert.ok([...splitOf.values()].includes(split))
        }
      })

      it('SOMO replaces one noun or verb by another of its kind; no replacement in two splits', () => {
        const tag = new Map(made.flatMap(({ words, upos, xpos }) => words.map((word, i) => [word, upos[i] + xpos[i]])))
        const replacements = new Map<string, string>()
        const words = (text: string): string[] => text.replace('.', ' .').replaceAll(',', ' ,').split(' ')
        const byLength = new Map<number, string[][]>()
        for (const { words } of made) byLength.set(words.length, [...(byLength.get(words.length) ?? []), words])
        let changed = 0
        for (const { text, label, split } of examplesOf(find('SOMO'))) {
          if (label === 'O') {
            assert.ok(known.has(normalisedText(text)), text)
            continue
          }
          assert.ok(!known.has(normalisedText(text)), text)
          const own = words(text)
          const places = byLength.get(own.length)!.flatMap((original) => {
            const differing = own.flatMap((word, i) => (word === original[i] ? [] : [i]))
            return differing.length === 1 ? [{ place: differing[0], original }] : []
          })
          assert.ok(places.length > 0, text)
          if (places.length > 1) continue
          changed++
          const [{ place, original }] = places
          assert.equal(tag.get(own[place]), tag.get(original[place]))
          assert.match(tag.get(own[place])!, /^(?:NOUN|VERB)/)
          assert.equal(replacements.get(own[place]) ?? split, split)
          replacements.set(own[place], split)
        }
        assert.ok(changed > 100)
      })

      it('CoordInv exchanges the clauses; lengths do not tell the class', () => {
        const inverted = new Map(made.flatMap(({ inverted, text }) => (inverted ? [[inverted, text]] : [])))
        const shapes: Record<string, number[]> = { O: [0, 0, 0], I: [0, 0, 0] }
        for (const { text, label } of examplesOf(find('CoordInv'))) {
          if (label === 'I') assert.ok(inverted.has(text), text)
          else assert.ok(known.get(normalisedText(text))?.inverted, text)
          const [first, second] = text.replace('.', '').split(/,? (?:and|but) /)
          shapes[label][1 + Math.sign(first.split(' ').length - second.split(' ').length)]++
        }
        assert.deepEqual(shapes.O, shapes.I)
      })

      it('DepDepth: right depth, the same lengths in all classes', () => {
        const set = find('DepDepth')
        const lengths: Record<string, number[]> = {}
        for (const example of examplesOf(set)) {
          const { heads, words } = source(example)
          const depth = (word: number): number => (heads[word] < 0 ? 0 : 1 + depth(heads[word]))
          assert.equal(String(Math.max(...heads.map((_, word) => depth(word)))), example.label)
          lengths[example.label] ??= new Array(12).fill(0)
          lengths[example.label][Math.floor((words.length - 5) / 2)]++
        }
        for (const counts of Object.values(lengths)) assert.deepEqual(counts, lengths[set.classes[0]])
      })

      it('TopDeps names what hangs on the root', () => {
        const set = find('TopDeps')
        for (const example of examplesOf(set)) {
          const { heads, relations } = source(example)
          const root = heads.indexOf(-1)
          const top = relations.flatMap((relation, i) => (i === root ? 'ROOT' : heads[i] === root ? relation : []))
          const sequence = top.slice(0, -1).join('_')
          assert.equal(set.classes.includes(sequence) ? sequence : 'OTHER', example.label)
        }
      })

      it('UPOS, DepLabel, HeadDistance and Arc: right classes', () => {
        for (const name of ['UPOS', 'DepLabel', 'HeadDistance']) {
          const set = find(name) as Extract<ProbeSet, { kind: 'token' }>
          for (const { words, targets } of PROBE_SPLITS.flatMap((split) => set.splits[split])) {
            const { upos, relations, heads } = known.get(normalisedText(words.join(' ').replaceAll(/ (?=[.,])/g, '')))!
            for (const { word, label } of targets) {
              const distance = heads[word] - word
              const found = { UPOS: upos[word], DepLabel: relations[word] }[name] ?? String(distance)
              if (name !== 'HeadDistance' || Math.abs(distance) <= 3) assert.equal(set.classes[label], found)
              else assert.match(set.classes[label], distance < 0 ? /^(?:≤-7|-6…-4)$/ : /^(?:≥7|4…6)$/)
            }
          }
        }
        const arcs = find('Arc') as Extract<ProbeSet, { kind: 'pair' }>
        const distances: Record<number, number> = {}
        for (const { words, spaceAfter, pairs } of PROBE_SPLITS.flatMap((split) => arcs.splits[split])) {
          assert.equal(spaceAfter.length, words.length)
          const { heads } = known.get(normalisedText(words.join(' ').replaceAll(/ (?=[.,])/g, '')))!
          for (const { first, second, label } of pairs) {
            assert.equal(Number(heads[first] === second), label)
            distances[second - first] = (distances[second - first] ?? 0) + (label === 1 ? 1 : -1)
          }
          assert.equal(new Set(pairs.map(({ first, second }) => `${first} ${second}`)).size, pairs.length)
        }
        assert.ok(Object.values(distances).every((difference) => difference === 0))
      })

      it('the same seed gives the same bytes, another one others; what is written is read back', async () => {
        const tasks = ['SentLen', 'Tense', 'SOMO', 'CoordInv', 'UPOS', 'Arc']
        const build = async (name: string, seed: number) => {
          const built = await buildProbeSets({ treebank: [treebank], tasks, ...SIZES, seed })
          await writeProbeSets(join(folder, name), built, { seed })
          return built
        }
        const built = await build(`${scheme}-a`, 7)
        await build(`${scheme}-b`, 7)
        await build(`${scheme}-c`, 8)
        assert.deepEqual(filesOf(join(folder, `${scheme}-a`)), filesOf(join(folder, `${scheme}-b`)))
        const other = filesOf(join(folder, `${scheme}-c`))
        for (const [name, content] of Object.entries(filesOf(join(folder, `${scheme}-a`)))) {
          assert.notEqual(content, other[name], name)
        }
        assert.deepEqual(await readProbeSets(join(folder, `${scheme}-a`)), built)
        assert.deepEqual(await readProbeSets(join(folder, `${scheme}-a`), ['upos']), [
          built.find(({ name }) => name === 'UPOS'),
        ])
      })
    })
  }

  describe('rules', () => {
    it('BShift: no sentence start, no punctuation, no quotes, no clitics, no equal words', () => {
      const rows = ['We PRON PRP 4 nsubj', 'do AUX VBP 4 aux', "n't PART RB 4 advmod", 'see VERB VB 0 root']
      const rest = [
        'That DET DT 6 det',
        'that PRON DT 4 obj',
        ', PUNCT , 4 punct',
        'Ann PROPN NNP 4 vocative',
        '. PUNCT . 4 punct',
      ]
      // "do n't" and "that , Ann" are no pairs, "That that" are equal.
      assert.deepEqual(swappablePairs(tree(...rows, ...rest)), [2, 3])
      assert.deepEqual(swappablePairs(tree(...rows, '" PUNCT `` 4 punct', 'x NOUN NN 4 obj')), [])
    })

    it('Tense: the finite main verb alone', () => {
      const tense = (verb: string) => mainVerbTense(tree('He PRON PRP 2 nsubj', verb, 'it PRON PRP 2 obj').tree!)
      assert.deepEqual(tense('saw VERB VBD 0 root'), { word: 1, label: 0 })
      assert.deepEqual(tense('sees VERB VBZ 0 root'), { word: 1, label: 1 })
      for (const other of ['seen VERB VBN 0 root', 'see VERB VB 0 root', 'home NOUN NN 0 root']) {
        assert.equal(tense(other), undefined, other)
      }
    })

    it('SubjNum and ObjNum: one common noun without coordination', () => {
      const subject = (...rows: string[]) => subjectNumber(tree(...rows).tree!)
      assert.deepEqual(subject('Dogs NOUN NNS 2 nsubj', 'bark VERB VBP 0 root'), { word: 0, label: 1 })
      assert.deepEqual(subject('Rain NOUN NN 3 nsubjpass', 'is AUX VBZ 3 auxpass', 'seen VERB VBN 0 root'), {
        word: 0,
        label: 0,
      })
      assert.equal(subject('Ann PROPN NNP 2 nsubj', 'barks VERB VBZ 0 root'), undefined)
      assert.equal(
        subject('Dogs NOUN NNS 4 nsubj', 'and CCONJ CC 3 cc', 'cats NOUN NNS 1 conj', 'bark VERB VBP 0 root'),
        undefined,
      )
      assert.equal(
        subject('Dogs NOUN NNS 3 nsubj', 'cats NOUN NNS 3 nsubj', 'bark VERB VBP 0 root'),
        undefined,
        'two subjects',
      )
      const object = (...rows: string[]) => objectNumber(tree('We PRON PRP 2 nsubj', ...rows).tree!)
      assert.deepEqual(object('see VERB VBP 0 root', 'dogs NOUN NNS 2 dobj'), { word: 2, label: 1 })
      assert.equal(object('see VERB VBP 0 root', 'dogs NOUN NNS 2 iobj'), undefined)
    })

    it('CoordInv: two clauses with subjects, one conjunction, nothing after the second', () => {
      const clauses = (...rows: string[]) => coordinatedClauses(tree(...rows))
      const first = ['It PRON PRP 2 nsubj', 'rains VERB VBZ 0 root']
      const second = ['we PRON PRP 5 nsubj', 'stay VERB VBP 2 conj', '. PUNCT . 2 punct']
      assert.deepEqual(clauses(...first, 'and CCONJ CC 5 cc', ...second), { firstEnd: 2, conjunction: 2, end: 5 })
      // As ClearNLP attaches it; without a subject; with a second conjunction; with an adverb of the first clause behind.
      assert.ok(clauses(...first, 'and CCONJ CC 2 cc', ...second))
      assert.equal(clauses(...first, 'and CCONJ CC 5 cc', 'just ADV RB 5 advmod', ...second.slice(1)), undefined)
      assert.equal(
        clauses(
          'And CCONJ CC 3 cc',
          'it PRON PRP 3 nsubj',
          'rains VERB VBZ 0 root',
          'and CCONJ CC 6 cc',
          'we PRON PRP 6 nsubj',
          'stay VERB VBP 3 conj',
          '. PUNCT . 3 punct',
        ),
        undefined,
      )
      assert.equal(
        clauses(...first, 'and CCONJ CC 5 cc', ...second.slice(0, 2), 'now ADV RB 2 advmod', '. PUNCT . 2 punct'),
        undefined,
      )
    })

    it('HeadDistance: bins on both sides; no roots, no punctuation', () => {
      const rows = Array.from(
        { length: 18 },
        (_, i) => `w${i} NOUN NN ${i === 9 ? 0 : 10} ${i === 9 ? 'root' : i === 2 ? 'punct' : 'dep'}`,
      )
      const sentence = tree(...rows)
      const found = rows.map((_, word) => headDistance(sentence, word))
      assert.deepEqual(found, [
        ...['≥7', '≥7', undefined, '4…6', '4…6', '4…6', '3', '2', '1', undefined],
        ...['-1', '-2', '-3', '-6…-4', '-6…-4', '-6…-4', '≤-7', '≤-7'],
      ])
    })

    it('form splits: apart where the counts permit, capped, else shared', () => {
      const draws = new Draws(1, 'test')
      const counts = (forms: number, each: number) =>
        [0, 1].map((label) => new Map(Array.from({ length: forms }, (_, i) => [`f${label}-${i}`, each])))
      const sizes = { train: 1000, dev: 100, test: 100 }
      const many = partForms({ candidates: counts(100, 120), frequency: () => 120 }, sizes, draws)
      assert.equal(many.leastFrequent, 100)
      assert.equal(many.formShare, 0.1)
      assert.equal(new Set(many.splitOf!.values()).size, 3)
      const rare = partForms({ candidates: counts(100, 20), frequency: () => 20 }, sizes, draws)
      assert.equal(rare.leastFrequent, 12)
      // Two forms a class cannot fill three splits.
      const few = partForms({ candidates: counts(2, 900), frequency: () => 900 }, sizes, draws)
      assert.equal(few.splitOf, undefined)
      // A form beyond SentEval's upper bound takes no part.
      const frequent = partForms(
        { candidates: counts(100, 120), frequency: (form) => (form === 'f0-1' ? 5001 : 120) },
        sizes,
        draws,
      )
      assert.equal(frequent.splitOf!.has('f0-1'), false)
    })

    it('classes below half of an even share, or of the median class, are left out', () => {
      const counts = new Map(Object.entries({ b: 60, d: 29, a: 100, c: 30 }))
      assert.deepEqual(fillableClasses(counts, 400), { kept: ['a', 'b', 'c'], dropped: [['d', 29]] })
      assert.deepEqual(fillableClasses(counts, 80), { kept: ['a', 'b', 'c', 'd'], dropped: [] })
    })

    it('a reservoir keeps the lowest priorities once, in any order', () => {
      const offers = Array.from({ length: 300 }, (_, i) => [(i * 7919) % 211, `k${(i * 7919) % 211}`] as const)
      const kept = [offers, [...offers].reverse()].map((list) => {
        const reservoir = new Reservoir<number>(20)
        for (const [priority, key] of list) reservoir.offer(priority, key, priority)
        return reservoir.sorted().map(({ priority }) => priority)
      })
      assert.deepEqual(kept[0], [...Array(20).keys()])
      assert.deepEqual(kept[1], kept[0])
    })

    it('parts numbers in proportion', () => {
      assert.deepEqual(apportion(10, [5, 5, 0]), [5, 5, 0])
      assert.deepEqual(apportion(7, [10, 5, 1]), [4, 2, 1])
      assert.deepEqual(apportion(99, [3, 4]), [3, 4])
    })
  })

  describe('data', () => {
    const build = (content: string, options: BuildProbesOptions = {}) =>
      buildProbeSets({ treebank: [write('in.conllu', content)], train: 20, dev: 4, test: 4, ...options })

    it('CoNLL-U that breaks the rules is refused with file and line', async () => {
      const good = asConllu(makeSentences(3, 'ud'), 'ud')
      const at = good.split('\n').length
      const row = (id: number, head: string, upos = 'X'): string => `${id}\tw\t_\t${upos}\t_\t_\t${head}\tdep\t_\t_\n`
      const cycle = build(`${good}${row(1, '2')}${row(2, '1')}\n`)
      await assert.rejects(cycle, refuses('BAD_DATA', `in.conllu:${at}:`, 'cycle'))
      await assert.rejects(
        build(`${good}${row(1, '0')}${row(2, '_')}\n`),
        refuses('BAD_DATA', `in.conllu:${at + 1}:`, 'no head'),
      )
      await assert.rejects(build(`${good}1\tw\tX\n\n`), refuses('BAD_DATA', `in.conllu:${at}:`, '3 columns'))
      await assert.rejects(
        build(`${good}${row(1, '7')}\n`),
        refuses('BAD_DATA', `in.conllu:${at}:`, 'outside of the sentence'),
      )
      await assert.rejects(
        build(`${good}${row(1, '0', '_')}\n`),
        refuses('BAD_DATA', `in.conllu:${at}:`, 'no part of speech'),
      )
      await assert.rejects(
        build(`${good}${row(1, '0')}${row(2, '0')}\n`),
        refuses('BAD_DATA', `in.conllu:${at + 1}:`, 'second root'),
      )
      const bytes = Buffer.concat([Buffer.from(good), Buffer.from([0xff, 10])])
      await assert.rejects(
        buildProbeSets({ treebank: [write('bytes.conllu', bytes)] }),
        refuses('BAD_DATA', `bytes.conllu:${at}:`, 'UTF-8'),
      )
    })

    it('a file without heads serves the tasks that need none', async () => {
      const flat = makeSentences(300, 'ud').map((sentence) => ({ ...sentence, heads: sentence.heads.map(() => -2) }))
      const text = asConllu(flat, 'ud').replaceAll('\t-1\t', '\t_\t')
      const sets = await build(text, { tasks: ['sentlen', 'UPOS', 'bshift'], train: 70, dev: 14, test: 14 })
      assert.deepEqual(
        sets.map(({ name }) => name),
        ['SentLen', 'BShift', 'UPOS'],
      )
      sets.forEach(checkSet)
      await assert.rejects(build(text, { tasks: ['Arc'] }), refuses('BAD_DATA', 'in.conllu:1:', 'no head'))
    })

    it('CR LF is read and counted', async () => {
      const sentences = makeSentences(200, 'clearnlp')
      const options = { tasks: ['BShift'] }
      const [set] = await build(asConllu(sentences, 'clearnlp', '\r\n'), options)
      const [same] = await build(asConllu(sentences, 'clearnlp'), options)
      assert.deepEqual((set as SentenceSet).splits, (same as SentenceSet).splits)
      assert.ok(
        set.notes.some((text) => /^200 sentences .*CR LF/.test(text)),
        set.notes.join('; '),
      )
    })

    it('too little text: shrunk evenly and noted; nothing at all is an error, or left out when asked', async () => {
      const sentences = makeSentences(150, 'ud')
      const [set] = await build(asConllu(sentences, 'ud'), { tasks: ['BShift'], train: 1000, dev: 100, test: 100 })
      checkSet(set)
      const sizes = PROBE_SPLITS.map((split) => probeSize(set, split))
      assert.ok(sizes[0] < 150 && sizes[0] >= 80 && Math.abs(sizes[1] - sizes[0] / 10) <= 2, String(sizes))
      assert.ok(
        set.notes.some((text) =>
          text.startsWith(`asked for 1000 / 100 / 100 examples, the text fills ${sizes.join(' / ')}`),
        ),
      )
      const nouns = sentences.map((sentence) => ({ ...sentence, upos: sentence.upos.map(() => 'NOUN') }))
      await assert.rejects(
        build(asConllu(nouns, 'ud'), { tasks: ['UPOS'] }),
        refuses('BAD_DATA', 'UPOS', 'only one class, NOUN'),
      )
      const past = sentences.filter((sentence) => sentence.past)
      await assert.rejects(build(asConllu(past, 'ud'), { tasks: ['Tense'] }), refuses('BAD_DATA', 'Tense', 'PRES'))
      const left: string[] = []
      const sets = await build(asConllu(past, 'ud'), {
        tasks: ['Tense', 'BShift'],
        onLeftOut: ({ message }) => left.push(message),
      })
      assert.deepEqual([sets.map(({ name }) => name), left.length], [['BShift'], 1])
      await assert.rejects(
        build(asConllu(sentences, 'ud'), { tasks: ['SentLen'], dev: 5 }),
        refuses('BAD_DATA', 'SentLen'),
      )
    })

    it('wrong requests', async () => {
      await assert.rejects(buildProbeSets({}), refuses('BAD_ARGUMENT', 'no data'))
      await assert.rejects(build('', { tasks: ['Nope'] }), refuses('BAD_ARGUMENT', 'Nope', 'SentLen'))
      await assert.rejects(build('', { train: 0 }), refuses('BAD_ARGUMENT', 'train is 0'))
      await assert.rejects(build('', { seed: 0.5 }), refuses('BAD_ARGUMENT', 'seed'))
      await assert.rejects(build('', {}), refuses('BAD_FILE', 'empty'))
      await assert.rejects(
        buildProbeSets({ corpus: ['x'], tasks: ['Tense'] }),
        refuses('BAD_ARGUMENT', 'Tense', 'treebank'),
      )
      await assert.rejects(buildProbeSets({ treebank: [join(folder, 'none')] }), refuses('NOT_FOUND', 'none'))
    })

    it('plain text gives SentLen, WC and BShift', async () => {
      const whole = readFileSync(resolve(__dirname, '../examples/data/wikipedia-sample.txt'), 'utf8')
      const corpus = [write('corpus.txt', whole.slice(0, whole.indexOf('\n\n', 400_000)))]
      const sets = await buildProbeSets({ corpus, train: 600, dev: 60, test: 60 })
      assert.deepEqual(
        sets.map(({ name }) => name),
        ['SentLen', 'WC', 'BShift'],
      )
      sets.forEach(checkSet)
      assert.equal(probeSize(sets[2], 'train'), 600)
      // A word needs a sentence of every split, whatever was asked for.
      const part = [write('part.txt', whole.slice(0, whole.indexOf('\n\n', 120_000)))]
      const [few] = await buildProbeSets({ corpus: part, tasks: ['WC'], train: 600, dev: 60, test: 1 })
      const told = few.notes.filter((note) => /asked for/.test(note))
      const count = few.classes.length
      assert.deepEqual(told, [`${count} test examples, one of each word: more than the 1 that were asked for`])
      assert.equal(probeSize(few, 'test'), count)
    })

    it('UD English EWT', async function () {
      if (!EWT_DEV) this.skip()
      const sets = await buildProbeSets({ treebank: [EWT_DEV], train: 200, dev: 20, test: 20, onLeftOut: () => {} })
      assert.ok(sets.length >= 12, sets.map(({ name }) => name).join())
      sets.forEach(checkSet)
      // Multi-word tokens: "don't" is two words without a space between them.
      const arcs = sets.find(({ name }) => name === 'Arc') as Extract<ProbeSet, { kind: 'pair' }>
      const clitics = arcs.splits.train.flatMap(({ words, spaceAfter }) =>
        words.flatMap((word, i) => (word === "n't" ? [spaceAfter[i - 1]] : [])),
      )
      assert.ok(clitics.length > 0 && clitics.every((space) => !space))
    })
  })

  it('English Wikipedia with ClearNLP labels', async function () {
    if (!WIKIPEDIA) this.skip()
    // The first sentences alone: all of it takes a minute, see docs/probing.md.
    const xz = spawn('xz', ['-dc', WIKIPEDIA], { stdio: ['ignore', 'pipe', 'ignore'] })
    xz.on('error', () => {})
    let text = ''
    try {
      for await (const chunk of xz.stdout.setEncoding('utf8')) {
        text += chunk
        if (text.length > 2_500_000) break
      }
    } catch {
      // No xz here: told by the missing text.
    }
    xz.kill()
    if (text === '') this.skip()
    const treebank = [write('wikipedia.conllu', text.slice(0, text.lastIndexOf('\n\n') + 2))]
    const sets = await buildProbeSets({ treebank, train: 400, dev: 60, test: 60, onLeftOut: () => {} })
    sets.forEach(checkSet)
    const labels = sets.find(({ name }) => name === 'DepLabel')!.classes
    for (const label of ['nsubj', 'dobj', 'prep', 'pobj']) assert.ok(labels.includes(label), labels.join())
    const names = sets.map(({ name }) => name)
    for (const name of ['Tense', 'SubjNum', 'ObjNum', 'SOMO', 'CoordInv', 'TopDeps'])
      assert.ok(names.includes(name), name)
  })

  describe("SentEval's files", () => {
    const lines = (count: number, label: (i: number) => string, mark: string) =>
      Array.from({ length: count }, (_, i) => `${mark}\t${label(i)}\tsentence ${mark} number ${i} .\n`).join('')
    const binary = (i: number): string => (i % 2 === 0 ? 'O' : 'I')
    const whole = lines(6, binary, 'tr') + lines(2, binary, 'va') + lines(4, binary, 'te')
    const read = async (content: string | Buffer, name = 'bigram_shift.txt') => {
      const directory = mkdtempSync(join(folder, 'senteval-'))
      writeFileSync(join(directory, name), content)
      return (await readSentEval(directory))[0]
    }

    it('are read under their names', async () => {
      const directory = join(folder, 'ten')
      mkdirSync(directory)
      for (const stem of Object.keys(SENTEVAL_FILES)) writeFileSync(join(directory, `${stem}.txt`), whole)
      const sets = await readSentEval(directory)
      assert.deepEqual(
        sets.map(({ name }) => name),
        ['SentLen', 'WC', 'TreeDepth', 'TopConst', 'BShift', 'Tense', 'SubjNum', 'ObjNum', 'SOMO', 'CoordInv'],
      )
      assert.deepEqual(sets[0].classes, ['I', 'O'])
      assert.deepEqual(sets[0].splits.dev, [
        { text: 'sentence va number 0 .', label: 1 },
        { text: 'sentence va number 1 .', label: 0 },
      ])
      assert.deepEqual([sets[9].source, sets[9].notes], ["SentEval's file coordination_inversion.txt", []])
      assert.equal((await read(whole, 'TreeDepth.txt')).name, 'TreeDepth')
    })

    it('classes that are numbers stand in their order; CR LF, blank lines, columns and doubles are counted', async () => {
      const depth = (i: number): string => String(9 + (i % 3))
      const text = lines(6, depth, 'tr') + lines(3, depth, 'va') + lines(3, depth, 'te')
      assert.deepEqual((await read(text)).classes, ['9', '10', '11'])
      const { notes, splits } = await read(
        `${whole.replaceAll('\n', '\r\n')}\r\nte\tO\tmore\tSentence TR  number 0 .\n`,
      )
      assert.equal(notes.length, 4)
      assert.match(
        notes.join('\n'),
        /^13 lines end in CR LF.*\n1 blank.*\n1 lines have more than three.*\n1 dev and test/,
      )
      assert.equal(splits.test.at(-1)!.text, 'Sentence TR  number 0 .')
    })

    const bad: [string, string | Buffer, ...string[]][] = [
      ['two columns', `${whole}te\tsentence\n`, ':13:', '2 columns'],
      ['an unknown split', `tx\tO\tsentence\n${whole}`, ':1:', '"tx"', 'tr, va or te'],
      ['an empty sentence', `${whole}te\tO\t \n`, ':13:', 'empty'],
      ['a class that training lacks', `${whole}te\tX\tsentence\n`, ':13:', '"X"', 'I, O'],
      [
        'one class',
        lines(6, () => 'O', 'tr') + lines(2, () => 'O', 'va') + lines(2, () => 'O', 'te'),
        ':1:',
        'one class',
      ],
      [
        'fewer examples than classes',
        lines(6, (i) => `c${i}`, 'tr') + lines(5, (i) => `c${i}`, 'va') + lines(6, (i) => `c${i}`, 'te'),
        ':11:',
        '5 dev examples for 6 classes',
      ],
      ['no dev part', lines(6, binary, 'tr') + lines(2, binary, 'te'), ':8:', 'without dev'],
      ['invalid UTF-8', Buffer.concat([Buffer.from(`${whole}te\tO\t`), Buffer.from([0xc3, 10])]), ':13:', 'UTF-8'],
    ]
    for (const [what, content, ...parts] of bad) {
      it(`refused with file and line: ${what}`, () =>
        assert.rejects(read(content), refuses('BAD_DATA', `bigram_shift.txt${parts[0]}`, ...parts.slice(1))))
    }

    it('changed bytes are read or refused, never anything else', async () => {
      const fuzzing = new Fuzzing()
      const directory = join(folder, 'fuzz')
      mkdirSync(directory)
      await fuzzing.check(mutations, 150, async (changes) => {
        writeFileSync(join(directory, 'bigram_shift.txt'), mutate(Buffer.from(whole), changes))
        const [set] = await readSentEval(directory)
        for (const split of PROBE_SPLITS) {
          for (const { text, label } of set.splits[split]) assert.ok(text !== '' && label < set.classes.length)
        }
      })
      assert.ok(fuzzing.refused > 20, String(fuzzing.refused))
    })

    it('a folder without them names what was expected', async () => {
      await assert.rejects(read(whole, 'other.txt'), refuses('NOT_FOUND', 'sentence_length.txt', 'other.txt'))
      await assert.rejects(readSentEval(join(folder, 'nowhere')), refuses('NOT_FOUND', 'nowhere'))
    })
  })

  describe('files of our own', () => {
    const set: ProbeSet = {
      name: 'Own',
      kind: 'token',
      classes: ['a', 'b'],
      source: 'here',
      notes: ['n'],
      splits: {
        train: [
          {
            words: ['x', 'y'],
            spaceAfter: [true, false],
            targets: [
              { word: 0, label: 0 },
              { word: 1, label: 1 },
            ],
          },
        ],
        dev: [{ words: ['y'], spaceAfter: [false], targets: [{ word: 0, label: 1 }] }],
        test: [{ words: ['z'], spaceAfter: [false], targets: [{ word: 0, label: 0 }] }],
      },
    }

    it('changed files are refused with file and line', async () => {
      const directory = join(folder, 'own')
      await writeProbeSets(directory, [set])
      assert.deepEqual(await readProbeSets(directory), [set])
      const path = join(directory, 'Own.jsonl')
      const whole = readFileSync(path, 'utf8')
      const refuse = async (content: string, ...parts: string[]) => {
        writeFileSync(path, content)
        await assert.rejects(readProbeSets(directory), refuses('BAD_DATA', ...parts))
      }
      await refuse(whole.replace('"label":1', '"label":2'), 'Own.jsonl:1:', 'label 2')
      await refuse(whole.replace('"word":1', '"word":9'), 'Own.jsonl:1:', 'word 9 of 2')
      await refuse(`${whole}{\n`, 'Own.jsonl:4:', 'no JSON')
      await refuse(whole.replace('[true,false]', '[true]'), 'Own.jsonl:1:', 'spaceAfter')
      await refuse(whole.split('\n').slice(0, 2).join('\n'), 'Own.jsonl:2:', 'without test')
      await refuse(whole + whole.split('\n')[2], 'holds 2 test examples')
      writeFileSync(join(directory, 'probes.json'), '{"format":1,"tasks":3}')
      await assert.rejects(readProbeSets(directory), refuses('BAD_FILE', 'probes.json'))
      await assert.rejects(readProbeSets(join(folder, 'nowhere')), refuses('NOT_FOUND', 'nowhere'))
    })

    it('changed bytes of examples and of probes.json are read or refused', async () => {
      const fuzzing = new Fuzzing()
      const directory = join(folder, 'own-fuzz')
      await writeProbeSets(directory, [set])
      for (const name of ['Own.jsonl', 'probes.json']) {
        const path = join(directory, name)
        const whole = readFileSync(path)
        await fuzzing.check(mutations, 100, async (changes) => {
          writeFileSync(path, mutate(whole, changes))
          await readProbeSets(directory)
        })
        writeFileSync(path, whole)
      }
      assert.ok(fuzzing.refused > 50, String(fuzzing.refused))
    })

    it('openProbeSets takes each task from the first that has it', async () => {
      const senteval = join(folder, 'two')
      mkdirSync(senteval)
      const text = ['tr', 'tr', 'va', 'va', 'te', 'te'].map((mark, i) => `${mark}\t${i % 2}\tsentence ${i}\n`).join('')
      for (const name of ['bigram_shift.txt', 'tree_depth.txt']) writeFileSync(join(senteval, name), text)
      const probes = join(folder, 'probes')
      await writeProbeSets(probes, [{ ...set, name: 'UPOS' }])
      const treebank = [write('open.conllu', asConllu(makeSentences(300, 'ud'), 'ud'))]
      const sizes = { train: 20, dev: 6, test: 6 }
      const tasks = ['upos', 'BShift', 'treedepth', 'SentLen']
      const sets = await openProbeSets({ senteval, probes, treebank, tasks, ...sizes })
      assert.deepEqual(
        sets.map(({ name, source }) => [name, source]),
        [
          ['SentLen', 'built from open.conllu, seed 1'],
          ['TreeDepth', "SentEval's file tree_depth.txt"],
          ['BShift', "SentEval's file bigram_shift.txt"],
          ['UPOS', 'here'],
        ],
      )
      await assert.rejects(openProbeSets({ probes, tasks: ['Arc'] }), refuses('BAD_ARGUMENT', 'Arc', 'UPOS'))
      await assert.rejects(openProbeSets({}), refuses('BAD_ARGUMENT', 'no data'))
    })
  })

  describe('stratabert probes build', () => {
    it('writes the folder; says what was left out and shrunk', async () => {
      const treebank = write('cli.conllu', asConllu(makeSentences(400, 'clearnlp'), 'clearnlp'))
      const output = join(folder, 'cli')
      const flags = ['--train', '60', '--dev', '12', '--test', '12', '--seed', '3']
      const { code, stdout, stderr } = await runHere(
        'probes',
        'build',
        '--data',
        `treebank=${treebank}`,
        '--output',
        output,
        ...flags,
        '--json',
      )
      assert.equal(code, 0, stderr)
      const { tasks, seed } = JSON.parse(stdout)
      const sets = await readProbeSets(output)
      assert.equal(seed, 3)
      assert.deepEqual(
        tasks.map(({ name, sizes }: any) => [name, sizes.train]),
        sets.map((set) => [set.name, probeSize(set, 'train')]),
      )
      const one = await runHere(
        'probes',
        'build',
        '--data',
        `treebank=${treebank},${treebank}`,
        '--tasks',
        'sentlen,arc',
        '--output',
        output,
        ...flags,
      )
      assert.equal(one.code, 0, one.stderr)
      assert.match(one.stdout, /^2 tasks in /)
    })

    it('refuses wrong requests with exit code 2', async () => {
      const run = (...args: string[]) => runHere('probes', 'build', '--output', join(folder, 'x'), ...args)
      for (const [args, message] of [
        [['--data', 'tree=x'], /--data came as "tree=x", expected NAME=PATH with a name of treebank, corpus/],
        [['--data', 'treebank='], /--data came as "treebank="/],
        [['--data', `corpus=${join(folder, 'none.txt')}`], /none\.txt does not exist/],
        [['--data', 'treebank=x', '--tasks', 'what'], /unknown probing task "what"; known are SentLen/],
        [[], /--data <name=path> is missing/],
      ] as [string[], RegExp][]) {
        const { code, stderr } = await run(...args)
        assert.equal(code, 2, stderr)
        assert.match(stderr, message)
      }
    })
  })
})

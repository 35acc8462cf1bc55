import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { StrataError } from '../lib/errors.js'
import { DEPENDENCY_METRICS, scoreDependencies } from '../lib/evaluation/dependency-score.js'
import { annotate } from '../lib/text/conllu.js'
import { parseConllu } from '../lib/text/conllu-reader.js'

/** Made by golden/dependency_score.py with the shared task's own script. */
interface Golden {
  gold: string
  systems: {
    name: string
    text: string
    /** correct, gold, system, aligned, precision, recall, F1, accuracy of the aligned words; or the script's error */
    figures: Record<string, (number | null)[]> & { error?: string }
  }[]
}

const golden: Golden = JSON.parse(
  gunzipSync(readFileSync(join(__dirname, 'golden/dependency_score.json.gz'))).toString('utf8'),
)

describe('Dependency scores', () => {
  const gold = parseConllu(golden.gold, { source: 'gold', strict: true })
  const score = (text: string) => scoreDependencies(gold, parseConllu(text, { source: 'system', strict: true }))

  it('has at least 20 scored and 8 refused files', () => {
    const refused = golden.systems.filter(({ figures }) => figures.error).length
    assert.ok(refused >= 8 && golden.systems.length - refused >= 20)
  })

  for (const { name, text, figures } of golden.systems) {
    if (figures.error) {
      it(`refuses as the official script does: ${name}`, () => {
        assert.throws(
          () => score(text),
          (error) => {
            assert.ok(error instanceof StrataError && error.code === 'BAD_DATA', String(error))
            if (name !== 'other text') assert.match(error.message, /^system:\d+: /)
            return true
          },
        )
      })
    } else {
      it(`equals the official script: ${name}`, () => {
        const scores = score(text)
        for (const metric of DEPENDENCY_METRICS) {
          const [correct, goldTotal, system, aligned, precision, recall, f1, alignedAccuracy] = figures[metric]
          const expected: Record<string, unknown> = { correct, gold: goldTotal, system, precision, recall, f1 }
          if (aligned !== null) Object.assign(expected, { aligned, alignedAccuracy })
          assert.deepEqual(scores[metric], expected, metric)
        }
      })
    }
  }

  it('scores trees that were set by a parser, and refuses those that are none', () => {
    const chain = gold.map((sentence) => annotate(sentence, { heads: sentence.heads.map((_, word) => word) }))
    const scores = scoreDependencies(gold, chain)
    assert.equal(scores.Words.f1, 1)
    assert.equal(scores.UPOS.f1, 1)
    let right = 0
    for (const { heads } of gold) right += heads.filter((head, word) => head === word).length
    assert.equal(scores.UAS.correct, right)
    const broken: [number[], RegExp][] = [
      [[0, 0], /second root/],
      [[2, 1], /cycle/],
      [[0, 3], /no word of the sentence/],
      [[0, -1], /no word of the sentence/],
    ]
    const [pair] = parseConllu('1\ta\t_\t_\t_\t_\t0\troot\t_\t_\n2\tb\t_\t_\t_\t_\t1\tdep\t_\t_\n\n')
    for (const [heads, message] of broken) {
      assert.throws(() => scoreDependencies([pair], [annotate(pair, { heads })]), message)
    }
  })

  it('takes any lemma where the treebank has none, but not none where it has one', () => {
    const [none, some] = ['_', 'be'].map((lemma) => parseConllu(`1\tis\t${lemma}\tAUX\t_\t_\t0\troot\t_\t_\n\n`))
    assert.deepEqual(
      [scoreDependencies(none, some), scoreDependencies(some, none)].map(({ Lemmas }) => Lemmas.correct),
      [1, 0],
    )
  })

  it('gives zeros for nothing', () => {
    assert.deepEqual(scoreDependencies([], []).LAS, {
      correct: 0,
      gold: 0,
      system: 0,
      precision: 0,
      recall: 0,
      f1: 0,
      aligned: 0,
      alignedAccuracy: 0,
    })
  })
})

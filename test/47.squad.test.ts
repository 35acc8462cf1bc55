import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { normalizeAnswer, scoreSquad11, scoreSquad20 } from '../lib/evaluation/index.js'

interface GoldenQuestion {
  id: string
  answers: string[]
  prediction: string | null
  noAnswer?: number | null
}
const scores = JSON.parse(readFileSync(join(__dirname, 'golden/squad_score.json'), 'utf8')) as {
  normalized: { text: string; normalized: string }[]
  squad11: { questions: GoldenQuestion[]; exactMatch: number; f1: number; official: Record<string, number> }[]
  squad20: { questions: GoldenQuestion[]; threshold: number; official: Record<string, number> }[]
}

const gold = (questions: GoldenQuestion[]) =>
  questions.map(({ id, answers }) => ({ id, answers: answers.map((text) => ({ text })) }))
const predictionsOf = (questions: GoldenQuestion[]): Map<string, string> =>
  new Map(questions.flatMap(({ id, prediction }) => (prediction === null ? [] : [[id, prediction] as const])))

describe('SQuAD scores', () => {
  it('texts are normalised as Python does, whatever character stands around an article', () => {
    assert.ok(scores.normalized.length > 1000)
    for (const { text, normalized } of scores.normalized) {
      assert.equal(normalizeAnswer(text), normalized, JSON.stringify(text))
    }
  })

  it('SQuAD 1.1: the official script’s figures to the last digit', () => {
    for (const { questions, exactMatch, f1, official } of scores.squad11) {
      const predictions = predictionsOf(questions)
      const result = scoreSquad11(gold(questions), predictions)
      assert.deepEqual(result.official, official)
      assert.deepEqual([result.exactMatch, result.f1], [exactMatch, f1])
      assert.equal(result.missing, questions.length - predictions.size)
    }
  })

  it('SQuAD 2.0: the official script’s figures to the last digit, with the best thresholds', () => {
    for (const { questions, threshold, official } of scores.squad20) {
      const noAnswer = new Map(questions.map(({ id, noAnswer }) => [id, noAnswer as number]))
      const options = questions[0].noAnswer === null ? { threshold } : { noAnswer, threshold }
      const result = scoreSquad20(gold(questions), predictionsOf(questions), options)
      assert.deepEqual(result.official, official)
    }
  })

  it('two texts without a word: exact in both versions, F1 0 in 1.1 and 1 in 2.0', () => {
    const questions = [{ id: 'q', answers: [{ text: 'The' }] }]
    const first = scoreSquad11(questions, { q: '!' })
    assert.deepEqual([first.exactMatch, first.f1], [1, 0])
    const second = scoreSquad20(questions, { q: '!' })
    assert.deepEqual([second.exactMatch, second.f1], [1, 1])
  })

  it('what cannot be scored is refused with the question’s id', () => {
    const open = [
      { id: 'has', answers: [{ text: 'x' }] },
      { id: 'none', answers: [] },
    ]
    assert.throws(() => scoreSquad11(open, {}), /question none has no answer.*SQuAD 2.0/)
    assert.throws(() => scoreSquad20(open, { has: 'x' }), /1 of 2 questions have no prediction \(none\)/)
    assert.throws(
      () => scoreSquad20(open, { has: 'x', none: '' }, { noAnswer: { none: 1 } }),
      /1 of 2 questions have no no-answer probability \(has\)/,
    )
    assert.throws(() => scoreSquad11([], {}), /no question/)
  })
})

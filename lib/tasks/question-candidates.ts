/**
 * Questions with the sentences of their paragraphs as candidates, as QNLI was made from SQuAD (Wang et al. 2018, arXiv 1804.07461 §3.3;
 * Demszky et al. 2018, arXiv 1809.02922) and as MT-DNN ranks them (Liu et al. 2019, arXiv 1901.11504 §3, relevance ranking). Unlike
 * QNLI all sentences are kept, none is left out for its lack of common words.
 */
import type { SquadSet } from '../data/index.js'
import { sentenceBorders } from '../text/index.js'

/** A question with its candidates; exactly one is right, or `right` is -1 in a set without labels. */
export interface CandidateQuestion {
  question: string
  candidates: string[]
  /** Index of the right candidate. */
  right: number
  id?: string
  /** The SQuAD context that the candidates come from. */
  context?: string
  /** Where the question (its first row) was read: line of a table, number of the question in a SQuAD file; from 1. */
  line: number
}

export interface SentencePairs {
  questions: CandidateQuestion[]
  /** Questions left out, by cause. */
  leftOut: {
    /** The answer runs over the border of two sentences. */
    crossing: number
    /** The paragraph has one sentence only. */
    single: number
    /** The context has no answer (SQuAD 2.0). */
    withoutAnswer: number
  }
}

/** Pairs each question with each sentence of its paragraph; the one that holds the (first) answer is the right one. */
export function sentencePairs(set: SquadSet): SentencePairs {
  const sentences = set.contexts.map(({ text }) => sentencesOf(text))
  const leftOut = { crossing: 0, single: 0, withoutAnswer: 0 }
  const questions: CandidateQuestion[] = []
  for (const { id, question, context, answers, number } of set.questions) {
    const candidates = sentences[context]
    const [answer] = answers
    if (!answer) {
      leftOut.withoutAnswer++
      continue
    }
    if (candidates.length < 2) {
      leftOut.single++
      continue
    }
    // The white space around an answer belongs to no sentence.
    const start = answer.start + answer.text.length - answer.text.trimStart().length
    const end = answer.start + answer.text.trimEnd().length
    const right = candidates.findIndex((sentence) => start >= sentence.start && end <= sentence.end)
    if (right < 0) {
      leftOut.crossing++
      continue
    }
    const { text: source } = set.contexts[context]
    const texts = candidates.map(({ text }) => text)
    questions.push({ id, question, candidates: texts, right, context: source, line: number })
  }
  return { questions, leftOut }
}

function sentencesOf(text: string): { text: string; start: number; end: number }[] {
  const sentences: { text: string; start: number; end: number }[] = []
  let from = 0
  for (const to of sentenceBorders(text)) {
    const part = text.slice(from, to)
    const sentence = part.trim()
    const start = from + part.length - part.trimStart().length
    if (sentence !== '') sentences.push({ text: sentence, start, end: start + sentence.length })
    from = to
  }
  return sentences
}

/**
 * The pairs as a table in QNLI's layout (`index question sentence label`), for a pair classifier on the same data. Tabs and line ends
 * within a text become spaces, as the layout has no quotes.
 */
export function qnliTable(questions: readonly CandidateQuestion[]): string {
  const rows = ['index\tquestion\tsentence\tlabel']
  const plain = (text: string): string => text.replace(/[\t\r\n]+/g, ' ')
  for (const { question, candidates, right } of questions) {
    candidates.forEach((sentence, index) => {
      const label = index === right ? 'entailment' : 'not_entailment'
      rows.push(`${rows.length - 1}\t${plain(question)}\t${plain(sentence)}\t${label}`)
    })
  }
  return `${rows.join('\n')}\n`
}

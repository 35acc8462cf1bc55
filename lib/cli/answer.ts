import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { fileError, StrataError } from '../errors.js'
import type { Answer } from '../inference/index.js'
import { anyNumber, example, gather, wholeNumber } from './arguments.js'
import { answered } from './asked.js'
import { inputLines } from './input-lines.js'
import { printJson, printLines } from './output.js'
import { type HeadFlags, headOptions, loadEncoder } from './text-inputs.js'

interface AnswerFlags extends HeadFlags {
  question?: string[]
  context?: string
  contextFile?: string
  input?: string
  topK: number
  /** What commander makes of --no-answer: false; of --no-answer-threshold: the number; without them true. */
  answer: boolean
  answerThreshold: number | true
  wholeWords: boolean
  maxAnswerTokens?: number
  stride?: number
}

interface Question {
  id?: unknown
  question: string
  context: string
  /** How messages call it. */
  place: string
}

export function registerAnswer(program: Command): void {
  const command = program
    .command('answer')
    .description('the part of a context that answers a question')
    .argument('<checkpoint>', 'checkpoint, run or Hugging Face folder with a span head')
    .option('--question <text>', 'a question; may be repeated', gather)
    .option('--context <text>', 'the text that holds the answer')
    .option('--context-file <file>', 'a file with that text')
    .option('--input <file>', 'one JSON object a line: { "question", "context" }; - reads stdin')
    .option('--top-k <n>', 'candidates listed', wholeNumber(1), 1)
    .option('--no-answer', 'allow "there is no answer" (default: as the task was trained)')
    .option(
      '--no-answer-threshold <x>',
      "allow it, and give it when it scores better than the best answer by more than this (default: the task's own, else 0)",
      anyNumber,
    )
    .option('--no-whole-words', 'answers end where the model ends them, within a word too')
    .option('--max-answer-tokens <n>', "longest answer in tokens (default: the task's own, else 30)", wholeNumber(1))
    .option('--stride <n>', "context tokens between windows (default: the task's own)", wholeNumber(1))
  example(
    headOptions(command, gather).action(answer),
    'stratabert answer runs/squad --question "Where is the hat?" --context "The man has a hat on his head."',
  )
}

async function answer(checkpoint: string, flags: AnswerFlags): Promise<void> {
  const questions = await questionsOf(flags)
  await using encoder = await loadEncoder(checkpoint, flags)
  const { task, topK, maxTokens, wholeWords, maxAnswerTokens, stride } = flags
  const noAnswerThreshold = flags.answerThreshold === true ? undefined : flags.answerThreshold
  const noAnswer = flags.answer === false || noAnswerThreshold !== undefined ? true : undefined
  const options = { task, topK, maxTokens, wholeWords, maxAnswerTokens, stride, noAnswer, noAnswerThreshold }
  const results: unknown[] = []
  const found = answered(
    questions,
    (asked) => encoder.answer(asked, options),
    (message, { place }) => message.replace(/^asked\[\d+\]\./, `${place}: the `),
  )
  for await (const [{ id, question }, answer] of found) {
    if (flags.json) results.push({ ...(id === undefined ? {} : { id }), question, ...answer })
    else printLines([...(topK > 1 ? [question] : []), ...lines(answer, topK)])
  }
  if (flags.json) printJson(results)
}

function lines(found: Answer, topK: number): string[] {
  const say = (text: string, score: number): string => `${text === '' ? '(no answer)' : text}\t${score.toFixed(3)}`
  if (topK === 1) return [say(found.text, found.score)]
  return found.candidates.map(({ text, score }) => `  ${say(text, score)}`)
}

async function questionsOf(flags: AnswerFlags): Promise<AsyncIterable<Question> | Question[]> {
  if (flags.input) return questionLines(flags.input)
  if (!flags.question)
    throw new StrataError('BAD_ARGUMENT', 'no question came, expected --question "…" or --input FILE')
  if ((flags.context === undefined) === (flags.contextFile === undefined)) {
    throw new StrataError('BAD_ARGUMENT', 'expected one of --context "…" and --context-file FILE beside --question')
  }
  const file = flags.contextFile
  const context =
    flags.context ??
    (await readFile(file!, 'utf8').catch((error) => {
      throw fileError(error, file!, 'read the context')
    }))
  return flags.question.map((question, index) => ({ question, context, place: `question ${index + 1}` }))
}

async function* questionLines(input: string): AsyncGenerator<Question> {
  let line = 0
  for await (const text of inputLines(input)) {
    line++
    if (text.trim() === '') continue
    const place = `${input === '-' ? 'stdin' : input}:${line}`
    let value: Partial<Question> | undefined
    try {
      value = JSON.parse(text)
    } catch {
      // Told below, with the line.
    }
    if (typeof value?.question !== 'string' || typeof value.context !== 'string') {
      throw new StrataError('BAD_DATA', `${place}: expected a JSON object with the texts "question" and "context"`)
    }
    yield { id: value.id, question: value.question, context: value.context, place }
  }
}

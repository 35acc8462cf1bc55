/** Files that other commands wrote: unreadable or unexpected content is an error with file and line. */
import { readFile } from 'node:fs/promises'
import { LineCounter, parseDocument } from 'yaml'
import { z } from 'zod'
import { fileError, StrataError } from '../errors.js'

/** A number as the logs write it: JSON lacks what is not finite, so its name stands for it. */
export const loggedNumber = z.union([z.number(), z.enum(['NaN', 'Infinity', '-Infinity'])])
export type LoggedNumber = z.infer<typeof loggedNumber>

/** For drawing: null where there is nothing to draw. */
export const finite = (value: LoggedNumber | null | undefined): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? value : null

export async function readText(path: string, what: string): Promise<string> {
  return readFile(path, 'utf8').catch((error) => {
    throw fileError(error, path, `read ${what}`)
  })
}

/** One JSON document of the given shape. Throws NOT_FOUND or BAD_FILE with `file:line`. */
export async function readJson<Shape extends z.ZodType>(
  path: string,
  what: string,
  shape: Shape,
): Promise<z.infer<Shape>> {
  const text = await readText(path, what)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const line = jsonErrorLine(text)
    throw badFile(path, line, `is no JSON (${(error as Error).message})`, what, error)
  }
  const result = shape.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw badFile(path, lineOfKey(text, issue.path), complaint(issue), what, result.error)
}

export interface JsonLine {
  /** Line of the file, from 1. */
  line: number
  value: unknown
}

/**
 * JSON lines. A last line without its end is one that is being written: it is left out, and `unfinished` says so. Any other line
 * that is no JSON throws BAD_FILE.
 */
export async function readJsonLines(path: string, what: string): Promise<{ lines: JsonLine[]; unfinished: boolean }> {
  const text = await readText(path, what)
  const pieces = text.split('\n')
  const rest = pieces.pop() ?? ''
  const lines = pieces.flatMap((piece, i) => {
    if (piece.trim() === '') return []
    try {
      return [{ line: i + 1, value: JSON.parse(piece) as unknown }]
    } catch (error) {
      throw badFile(path, i + 1, `is no JSON (${(error as Error).message})`, what, error)
    }
  })
  return { lines, unfinished: rest.trim() !== '' }
}

/** Checks one line's shape. */
export function checkLine<Shape extends z.ZodType>(
  path: string,
  { line, value }: JsonLine,
  what: string,
  shape: Shape,
): z.infer<Shape> {
  const result = shape.safeParse(value)
  if (result.success) return result.data
  throw badFile(path, line, complaint(result.error.issues[0]), what, result.error)
}

function badFile(path: string, line: number, fault: string, what: string, cause: unknown): StrataError {
  return new StrataError(
    'BAD_FILE',
    `${path}:${line}: ${fault}; ${what} was expected here: take the file as it was written, or run the command that writes it again`,
    { cause, details: { path, line } },
  )
}

const complaint = (issue: z.core.$ZodIssue): string => {
  const key = issue.path.map(String).join('.')
  return key === '' ? issue.message : `${key}: ${issue.message}`
}

/** JSON is YAML: its parser knows places, which JSON.parse does not tell in a stable way. */
function jsonErrorLine(text: string): number {
  const document = parseDocument(text, { prettyErrors: true, logLevel: 'silent' })
  return document.errors[0]?.linePos?.[0].line ?? 1
}

/** Line of the value under a path, or of the nearest one above it that is there. */
function lineOfKey(text: string, path: readonly PropertyKey[]): number {
  const counter = new LineCounter()
  const document = parseDocument(text, { lineCounter: counter, logLevel: 'silent' })
  for (let length = path.length; length >= 0; length--) {
    const node = document.getIn(path.slice(0, length), true) as { range?: [number, number, number] } | undefined
    if (node?.range) return counter.linePos(node.range[0]).line
  }
  return 1
}

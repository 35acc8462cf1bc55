/** metrics.jsonl: one event a line, whole lines only, one curve even over a resume. */
import { existsSync } from 'node:fs'
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { fileError } from '../errors.js'
import { syncFile } from '../sync-path.js'
import { replaceFile } from './durable-files.js'
import type { Logger, TrainingEvent } from './events.js'

export interface MetricsLog extends Logger {
  close(): Promise<void>
}

/**
 * Appends events to a file. Lines of steps after `resumeStep` belong to work that was lost: they are cut before the first
 * event, as is a last line without its end. A `rollback` event cuts in the same way.
 */
export async function openMetricsLog(path: string, resumeStep: number): Promise<MetricsLog> {
  await cutAfter(path, resumeStep)
  let file = await openAppend(path)
  return {
    async log(event) {
      if (event.type === 'rollback') {
        await file.close()
        await cutAfter(path, event.step)
        file = await openAppend(path)
      }
      try {
        await file.appendFile(toLine(event))
        if (event.type === 'checkpoint' || event.type === 'end') await syncFile(file)
      } catch (error) {
        throw fileError(error, path, 'write the metrics')
      }
    },
    close: () => file.close(),
  }
}

/** JSON has no NaN: a number that is not finite is written as its name, never hidden. */
function toLine(event: TrainingEvent): string {
  const time = new Date().toISOString()
  const value = (_key: string, item: unknown) =>
    typeof item === 'number' && !Number.isFinite(item) ? String(item) : item
  return `${JSON.stringify({ ...event, time }, value)}\n`
}

async function cutAfter(path: string, step: number): Promise<void> {
  if (!existsSync(path)) return
  const text = await readFile(path, 'utf8').catch((error) => {
    throw fileError(error, path, 'read the metrics')
  })
  const kept = text
    .split('\n')
    .slice(0, -1)
    .filter((line) => stepOf(line) <= step)
  const whole = kept.map((line) => `${line}\n`).join('')
  if (whole === text) return
  await replaceFile(path, whole).catch((error) => {
    throw fileError(error, path, 'cut the metrics')
  })
}

/** A line that cannot be read counts as one of the future: it goes. */
function stepOf(line: string): number {
  try {
    return (JSON.parse(line) as { step: number }).step
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

async function openAppend(path: string): Promise<FileHandle> {
  return open(path, 'a').catch((error) => {
    throw fileError(error, path, 'write the metrics')
  })
}

/**
 * Files that a user names for results. A plain one is written beside its place, under a name that carries this process, and comes to stand
 * under its own when it is whole: until then, and after a failure, what stood there stays. A pipe or a device takes the bytes as they come.
 * A symbolic link stays one: what it leads to is written.
 */
import { once } from 'node:events'
import { constants, createWriteStream, open } from 'node:fs'
import { lstat, readlink, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { promisify } from 'node:util'
import { fileError } from './errors.js'
import { syncDescriptor, syncPath } from './sync-path.js'

/** Resolves when more may be written. Who works on meanwhile learns of a failure at the next call, or when all is written. */
export type Write = (content: string | Uint8Array) => Promise<void>

export interface OutputOptions {
  /** Flushed, its name too, before it counts as written: a power cut leaves the old or the new file. Default false. */
  durable?: boolean
}

/**
 * Writes what `work` hands to `write`, with back-pressure, and returns what `work` returns. `doing` reads like "write the vectors". Throws
 * what `work` throws, and NOT_FOUND, BAD_FILE, READ_ONLY, DISK_FULL or IO_ERROR as soon as the file fails; `signal` aborts then, too.
 */
export async function writeOutput<Result>(
  path: string,
  doing: string,
  work: (write: Write, signal: AbortSignal) => Promise<Result>,
  options: OutputOptions = {},
): Promise<Result> {
  const typed = (error: unknown): never => {
    throw fileError(error, path, doing)
  }
  const output = await openOutput(path, options).catch(typed)
  const { stream } = output
  const broken = new AbortController()
  const fail = (error: Error): void => broken.abort(fileError(error, path, doing))
  const failed = new Promise<never>((_, reject) => {
    broken.signal.addEventListener('abort', () => reject(broken.signal.reason))
  })
  failed.catch(() => {})
  stream.once('error', fail)
  let drained: Promise<void> | undefined
  const write: Write = (content) => {
    if (stream.write(content)) return Promise.resolve()
    drained ??= Promise.race([failed, once(stream, 'drain')]).then(() => {
      drained = undefined
    })
    // Nobody may be waiting for it yet.
    drained.catch(() => {})
    return drained
  }
  try {
    const result = await Promise.race([failed, work(write, broken.signal)])
    await output.keep().catch(typed)
    return result
  } catch (error) {
    await output.drop()
    throw error
  } finally {
    stream.off('error', fail)
  }
}

/** Writes a whole file at once. Throws the file system's own errors. */
export async function replaceOutput(path: string, content: string, options: OutputOptions = {}): Promise<void> {
  const output = await openOutput(path, options)
  try {
    output.stream.write(content)
    await output.keep()
  } catch (error) {
    await output.drop()
    throw error
  }
}

/** What is open for writing, but does not stand under its name yet. */
interface Output {
  stream: Writable
  /** All is written: it comes to stand under its name. */
  keep(): Promise<void>
  /** What stood there stays. */
  drop(): Promise<void>
}

async function openOutput(path: string, { durable = false }: OutputOptions): Promise<Output> {
  // Follows links, and finds those that run in a circle.
  const found = await stat(path).catch(unlessMissing)
  const place = await placeOf(path)
  if (typeof place === 'number') return openDescriptor(place)
  if (found && !found.isFile()) return openSpecial(place)
  return openPart(place, { mode: found && found.mode & 0o777, durable })
}

const openFile = promisify(open)

/** Where a path leads through its links, or the number of the open file of this process that it is a name of (`/dev/stdout`). */
async function placeOf(path: string): Promise<string | number> {
  let place = resolve(path)
  for (;;) {
    const found = await lstat(place).catch(unlessMissing)
    if (!found?.isSymbolicLink()) return place
    const folder = await realpath(dirname(place))
    if (folder === `/proc/${process.pid}/fd`) return Number(basename(place))
    place = resolve(folder, await readlink(place))
  }
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

async function openPart(
  place: string,
  { mode, durable }: { mode: number | undefined; durable: boolean },
): Promise<Output> {
  const part = `${place}.${process.pid}.part`
  const descriptor = await openFile(part, 'w', mode)
  const stream = streamOf(descriptor)
  return {
    stream,
    async keep() {
      stream.end()
      await finished(stream)
      if (durable) await syncDescriptor(descriptor)
      await closed(stream)
      await rename(part, place)
      if (durable) await syncPath(dirname(place))
    },
    async drop() {
      await closed(stream).catch(() => {})
      await rm(part, { force: true })
    },
  }
}

/** A pipe waits for its reader. A folder is refused. */
async function openSpecial(place: string): Promise<Output> {
  const stream = streamOf(await openFile(place, constants.O_WRONLY))
  return {
    stream,
    async keep() {
      stream.end()
      await finished(stream)
      await closed(stream)
    },
    drop: () => closed(stream).catch(() => {}),
  }
}

/** Not opened anew, which would write over the beginning of a file that a shell has open; and it stays open. */
function openDescriptor(descriptor: number): Output {
  const stream = descriptor === 1 ? process.stdout : descriptor === 2 ? process.stderr : streamOf(descriptor)
  return {
    stream,
    keep: () =>
      new Promise<void>((done, fail) => {
        if (stream.errored) return fail(stream.errored)
        stream.once('error', fail).write('', (error) => {
          stream.off('error', fail)
          if (error) fail(error)
          else done()
        })
      }),
    drop: async () => {},
  }
}

/** Closed by {@link closed} alone, so that it can be flushed before. Whoever writes asks for errors by promises. */
function streamOf(descriptor: number): Writable {
  return createWriteStream('', { fd: descriptor, autoClose: false, highWaterMark: 1 << 16 }).on('error', () => {})
}

/** Waits for what is being written and closes the file. */
async function closed(stream: Writable): Promise<void> {
  if (stream.closed) return
  const closing = once(stream, 'close')
  stream.destroy()
  await closing
}

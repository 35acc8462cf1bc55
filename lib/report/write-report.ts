import { mkdir, open, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { fileError, StrataError } from '../errors.js'
import { replaceOutput } from '../output-file.js'
import { html } from './html.js'
import { readInputs } from './inputs.js'
import { readPageAssets } from './page-assets.js'
import { GENERATOR, pageDocument } from './page-document.js'
import { reportSections } from './sections.js'

export interface ReportOptions {
  /** Run folders and output folders of `probe`, `layers` and `compare`, or one of their files. */
  inputs: readonly string[]
  /** The HTML file; a report that is there is replaced, any other file is refused. A pipe or device is written straight. */
  output: string
  /** Default: the inputs' names. */
  title?: string
}

export interface WrittenReport {
  output: string
  bytes: number
  runs: number
  figures: number
  /** Ids of the sections that the inputs filled. */
  sections: string[]
  /** What the page says of incomplete inputs. */
  notes: string[]
}

/**
 * Writes one self-contained page: curves, scores, probes, layers, mixes, pruning, comparisons, recipe, environment and commands, as far as
 * the inputs have them. The page loads nothing and runs only its own script; every drawing has its values in a table.
 * Throws NOT_FOUND, BAD_ARGUMENT, BAD_FILE (with file and line), and what writing a file throws.
 */
export async function writeReport({ inputs: paths, output, title }: ReportOptions): Promise<WrittenReport> {
  const path = resolve(output)
  await refuseOtherFiles(path)
  const inputs = await readInputs(paths)
  const sections = reportSections(inputs, { folder: dirname(path) })
  const { runs, probes, layers, comparisons } = inputs
  const names = [
    ...new Set([
      ...comparisons.map(({ report }) => report.name),
      ...[...runs.filter(({ experiment }) => !experiment), ...probes, ...layers].map(({ name }) => name),
    ]),
  ]
  const longest = Math.max(0, ...runs.map(({ steps }) => steps.length))
  const page = pageDocument(sections, await readPageAssets(), {
    folder: dirname(path),
    title: title ?? `Report: ${names.slice(0, 4).join(', ')}${names.length > 4 ? ` and ${names.length - 4} more` : ''}`,
    subtitle: html`<p>Written ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC.</p>`,
    footer: html`<p>Written by stratabert report. Drawings: Observable Plot and D3 (ISC), inside this page with their licences.</p>`,
    // A moving average says nothing over a handful of values.
    smoothing: longest >= 40 ? 0.6 : 0,
  })
  await replace(path, page)
  return {
    output: path,
    bytes: Buffer.byteLength(page),
    runs: runs.length,
    figures: sections.reduce((sum, { figures }) => sum + (figures?.length ?? 0), 0),
    sections: sections.map(({ id }) => id),
    notes: [...runs, ...comparisons].flatMap(({ name, notes }) => notes.map((note) => `${name}: ${note}`)),
  }
}

/** Only a page of our own may be replaced: a slip of the hand shall not cost a metrics.jsonl. */
async function refuseOtherFiles(path: string): Promise<void> {
  // A pipe or device has nothing to lose, and waits for a writer when it is read.
  const found = await stat(path).catch(() => undefined)
  if (!found || found.isFIFO() || found.isCharacterDevice() || found.isSocket()) return
  try {
    await using file = await open(path)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0)
    if (buffer.toString('utf8', 0, bytesRead).includes(`content="${GENERATOR}"`)) return
  } catch (error) {
    throw fileError(error, path, 'write the report')
  }
  throw new StrataError('BAD_ARGUMENT', `${path} exists and is no report; choose another file for --output`, {
    details: { path },
  })
}

async function replace(path: string, content: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true })
    await replaceOutput(path, content)
  } catch (error) {
    throw fileError(error, path, 'write the report')
  }
}

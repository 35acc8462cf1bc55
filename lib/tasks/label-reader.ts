/** Label cells to class numbers or values. */
import { StrataError } from '../errors.js'
import type { TextTaskDefinition } from './text-definition.js'

/** More classes than this in a user's own data are a wrong column. */
const MOST_CLASSES = 10_000

/** A class number or value; undefined = the row says that it has none. */
export type Label = number | undefined

/**
 * Reads the label cells of a task's files. Class names have the definition's numbers; copies that hold those numbers instead of names
 * are understood. Without a list of names they are collected from the training rows: numbers are then provisional until
 * {@link settle} sorts the names.
 */
export class LabelReader {
  readonly #task: string
  readonly #definition: TextTaskDefinition
  readonly #classes = new Map<string, number>()
  /** Cells may hold the numbers of the definition's classes. */
  readonly #numbersCount: boolean
  #collecting: boolean
  #settled: readonly string[] | undefined

  constructor(task: string, definition: TextTaskDefinition) {
    this.#task = task
    this.#definition = definition
    this.#collecting = definition.kind === 'classification' && !definition.labels
    const { labels = [], labelAliases = {} } = definition
    // Names come last: a class called "1" is itself, whatever number it has.
    this.#numbersCount = labels.length > 0 && !labels.some((label) => /^\d+$/.test(label))
    if (this.#numbersCount) {
      for (const index of labels.keys()) this.#classes.set(String(index), index)
    }
    for (const [alias, name] of Object.entries(labelAliases)) this.#classes.set(alias, labels.indexOf(name))
    for (const [index, label] of labels.entries()) this.#classes.set(label, index)
  }

  /**
   * Throws BAD_DATA on a label that the task does not know, is no number, or lies out of range; `collect` = the row is a training
   * row and may name a new class.
   */
  read(cell: string, file: string, line: number, collect = false): Label {
    const text = cell.trim()
    if (this.#definition.noLabel?.includes(text)) return undefined
    return this.#definition.kind === 'regression'
      ? this.#readValue(text, file, line)
      : this.#readClass(text, file, line, collect)
  }

  #readClass(text: string, file: string, line: number, collect: boolean): number {
    const known = this.#classes.get(text)
    if (known !== undefined) return known
    if (this.#collecting && collect) {
      if (this.#classes.size === MOST_CLASSES) {
        throw this.#refuse(file, line, `more than ${MOST_CLASSES} different labels; check the label column`)
      }
      this.#classes.set(text, this.#classes.size)
      return this.#classes.size - 1
    }
    const names = this.#definition.labels ?? [...this.#classes.keys()]
    if (this.#numbersCount && text === String(names.length)) throw this.#refuse(file, line, countedFromOne(names))
    const list = names.slice(0, 20).map((name) => `"${name}"`)
    if (names.length > 20) list.push('…')
    throw this.#refuse(
      file,
      line,
      names.length === 0
        ? 'the classes are not known without training rows; list them as labels in the definition'
        : `unknown label "${text.slice(0, 60)}"; known are ${list.join(', ')}: correct the row, or list the class in labels of the definition`,
    )
  }

  #readValue(text: string, file: string, line: number): number {
    const value = text === '' ? Number.NaN : Number(text)
    if (!Number.isFinite(value)) {
      const what = `label "${text.slice(0, 60)}" is no number; a regression learns numbers, check the label column`
      throw this.#refuse(file, line, what)
    }
    const { range, targetDivisor = 1 } = this.#definition
    if (range && (value < range[0] || value > range[1])) {
      const what = `label ${value} is out of range; ${range[0]} … ${range[1]} was expected, correct the row or range of the definition`
      throw this.#refuse(file, line, what)
    }
    return value / targetDivisor
  }

  #refuse(file: string, line: number, what: string): StrataError {
    return new StrataError('BAD_DATA', `${file}:${line}: task ${this.#task}: ${what}`, {
      details: { task: this.#task, path: file, line },
    })
  }

  /** The name of a class; provisional numbers are understood while names are collected. */
  nameOf(number: number): string {
    return this.#definition.labels?.[number] ?? [...this.#classes].find(([, known]) => known === number)![0]
  }

  /** Class names by number, once they are known. */
  get names(): readonly string[] | undefined {
    return this.#definition.labels ?? this.#settled
  }

  /**
   * Ends collecting: sorts the names (as numbers when all are) and returns the final number of each provisional one; undefined when
   * the names were known already.
   */
  settle(): { labels: string[]; renumbered: Int32Array } | undefined {
    if (!this.#collecting) return undefined
    const names = [...this.#classes.keys()]
    const numeric = names.every((name) => name !== '' && Number.isFinite(Number(name)))
    const labels = [...names].sort(numeric ? (a, b) => Number(a) - Number(b) : (a, b) => (a < b ? -1 : a > b ? 1 : 0))
    const renumbered = Int32Array.from(names, (name) => labels.indexOf(name))
    this.restore(labels)
    return { labels, renumbered }
  }

  /** Ends collecting with names from an earlier time. */
  restore(labels: readonly string[]): void {
    this.#collecting = false
    this.#settled = labels
    for (const [index, label] of labels.entries()) this.#classes.set(label, index)
  }
}

/** Of a number just behind those of the classes, as files have it whose numbers begin at 1. */
function countedFromOne(names: readonly string[]): string {
  const [first, last, count] = [names[0], names.at(-1), names.length]
  return `label ${count} is none of the class numbers, which count from 0 (0 = "${first}" … ${count - 1} = "${last}"). If the file counts from 1 (1 = "${first}" … ${count} = "${last}"), every row would get the class after its own: put the classes' names, or numbers from 0, into the label column; else correct the row, or list the class in labels of the definition`
}
